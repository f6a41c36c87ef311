"""Composition root of the API: settings → log, views, carrier → routes, on FastAPI."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from starlette.responses import RedirectResponse
from starlette.routing import Mount, Route

from offhook.api.auth import tokens_from
from offhook.api.console.app import console
from offhook.api.docs import docs_routes
from offhook.api.errors import install
from offhook.api.freshness import Views
from offhook.api.headlines import Headlines
from offhook.api.metrics import Metrics
from offhook.api.openapi import ERRORS, TAGS, describe_parameters
from offhook.api.own.analytics.definitions import definitions_router
from offhook.api.own.analytics.figures import figures_router
from offhook.api.own.analytics.groups import groups_router
from offhook.api.own.analytics.queues import queue_figures_router
from offhook.api.own.analytics.summary import analytics_router
from offhook.api.own.commands import commands_router
from offhook.api.own.health import health_router
from offhook.api.own.live import Live
from offhook.api.own.queues import queues_router
from offhook.api.own.sessions.commands import session_commands_router
from offhook.api.own.sessions.exports import exports_router
from offhook.api.own.sessions.failures import failures_router
from offhook.api.own.sessions.flow_tests import flow_tests_router
from offhook.api.own.sessions.parked import parked_router
from offhook.api.own.sessions.records import records_router
from offhook.api.own.sessions.sessions import sessions_router
from offhook.api.own.streams import streams_router
from offhook.api.own.up import up_router
from offhook.api.own.whoami import whoami_router
from offhook.api.telnyx.applications import CONNECTIONS_MAX, applications_router
from offhook.api.telnyx.calls import calls_router
from offhook.api.telnyx.commands import CommandRunner
from offhook.api.telnyx.idempotency import Idempotency
from offhook.api.telnyx.legs import Legs
from offhook.api.telnyx.outcomes import Outcomes
from offhook.api.telnyx.schemas import parameter_objects
from offhook.api.telnyx.status import status_router
from offhook.errors import OffhookError, PassingFault, words_of
from offhook.jetstream.health.log_health import LogHealth
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.lookup import StreamLookup
from offhook.jetstream.roles.role import connected
from offhook.process.asgi import AsgiApp, Receive, Scope, Send
from offhook.process.health import Ready
from offhook.projections.maintenance import fold_again
from offhook.projections.views.database.engine import open_database
from offhook.projections.views.database.errors import DATABASE_ERRORS, reason_of
from offhook.projections.views.database.silence import SILENT_S
from offhook.projections.views.progress.waiting import PositionWatch
from offhook.projections.views.schema.migrate import require_migrated
from offhook.settings import Settings
from offhook.telnyx.http import TelnyxHttp


async def run(settings: Settings) -> None:
    """Serve until SIGTERM. Raises OffhookError if it cannot start or continue."""
    tokens = tokens_from(settings.api_tokens)
    carrier = TelnyxHttp(
        base_url=settings.carrier_url,
        key=settings.carrier_key,
        timeout_s=settings.answer_timeout_s,
        connections_max=CONNECTIONS_MAX,
    )
    async with connected("api", settings.nats_url, settings.nats_monitor_urls) as role:
        await _require_views(settings.postgres_url)
        engine = open_database(settings.postgres_url, "offhook-api")
        role.closing.push_async_callback(engine.dispose)
        role.closing.push_async_callback(carrier.aclose)
        log = JetStreamLog(role.client, role.health.appends, partitions=role.partitions)
        stream = StreamLookup(role.client, partitions=role.partitions)
        watching = open_database(settings.postgres_url, "offhook-api")
        role.closing.push_async_callback(watching.dispose)
        watch = await role.closing.enter_async_context(PositionWatch(watching))
        outcomes = await role.closing.enter_async_context(Outcomes(role.client, log))
        views = Views(engine, watch, stream, _now, partitions=role.partitions)
        live = await role.closing.enter_async_context(
            Live(engine, watch, partitions=role.partitions)
        )
        legs = Legs(views)
        commands = CommandRunner(
            log=log,
            stream=stream,
            outcomes=outcomes,
            legs=legs,
            answer_timeout_s=settings.answer_timeout_s,
            webhook_url=settings.webhook_url,
        )
        idempotency = Idempotency(views=views, log=log, now=_now)
        metrics = Metrics()
        headlines = Headlines(views, _now)
        metrics.registry.register(headlines)

        async def again(session_id: str) -> str:
            async with views.connection() as connection, connection.begin():
                return await fold_again(connection, session_id)

        app = application(
            calls_router(
                tokens=tokens, commands=commands, idempotency=idempotency, metrics=metrics
            ),
            status_router(tokens=tokens, legs=legs, views=views, now=_now),
            applications_router(tokens=tokens, carrier=carrier),
            streams_router(tokens=tokens, views=views, live=live, now=_now),
            exports_router(tokens=tokens, views=views, now=_now),
            failures_router(tokens=tokens, views=views, now=_now),
            sessions_router(tokens=tokens, views=views, now=_now),
            session_commands_router(tokens=tokens, views=views),
            records_router(
                tokens=tokens, views=views, stream=stream, public_keys=settings.public_keys
            ),
            flow_tests_router(tokens=tokens, views=views, flows=settings.flows),
            commands_router(tokens=tokens, views=views),
            analytics_router(tokens=tokens, views=views, now=_now),
            groups_router(tokens=tokens, views=views, now=_now),
            definitions_router(tokens=tokens),
            figures_router(tokens=tokens, views=views, now=_now),
            queues_router(tokens=tokens, views=views),
            queue_figures_router(tokens=tokens, views=views, now=_now),
            up_router(tokens=tokens, views=views, now=_now, dials_per_s=settings.dials_per_s),
            whoami_router(tokens=tokens),
            health_router(tokens=tokens, views=views, stream=stream, client=role.client, now=_now),
            parked_router(tokens=tokens, views=views, log=log, fold_again=again),
            with_docs=settings.api_docs,
        )
        routes = role.health_routes(
            metrics.registry,
            metrics_token=settings.metrics_token,
            unready=_readiness(settings, role.health),
        )
        for path, endpoint in routes:
            app.router.routes.append(Route(path, _Endpoint(endpoint)))
        if settings.console:
            app.router.routes.append(Mount("/console", console(app)))
            app.router.routes.append(Route("/", _to_console))
        # `ending` is never set: the connection is closed when nothing is served any more.
        await role.serve(
            metrics.counting(app),
            host=settings.api_host,
            port=settings.api_port,
            beside=[headlines.run()],
            on_exit=live.end,
        )


def application(*routers: APIRouter, with_docs: bool) -> FastAPI:
    """All routes in one application, with one shape of errors."""
    app = FastAPI(
        title="Offhook",
        summary="Event-sourced call sessions for Telnyx Call Control",
        version="1",
        docs_url=None,
        openapi_url=None,
        redoc_url=None,
        openapi_tags=TAGS,
        responses={"4XX": ERRORS, "5XX": ERRORS},
    )
    for router in routers:
        app.include_router(router)
    install(app)
    if with_docs:
        app.router.routes.extend(docs_routes(app.title, partial(_document_of, app)))
    return app


def _document_of(app: FastAPI) -> Mapping[str, Any]:
    """The OpenAPI document, with what FastAPI does not know of commands' bodies and parameters."""
    document = app.openapi()
    components = document.setdefault("components", {})
    components.setdefault("schemas", {}).update(parameter_objects())
    describe_parameters(document)
    return document


def _readiness(settings: Settings, health: LogHealth) -> Ready:
    async def unready() -> str:
        if trouble := await health.trouble():
            return trouble
        try:
            async with asyncio.timeout(SILENT_S):
                await _require_views(settings.postgres_url)
        except OffhookError as error:
            return words_of(error)
        except TimeoutError:
            return f"Postgres has not answered within {SILENT_S:g} s"
        return ""

    return unready


async def _require_views(postgres_url: str) -> None:
    """Raise OffhookError unless Postgres is there, with the tables this version reads."""
    try:
        await require_migrated(postgres_url)
    except DATABASE_ERRORS as error:
        raise PassingFault(f"the views cannot be read: {reason_of(error)}") from error


async def _to_console(_: Request) -> Response:
    return RedirectResponse("/console/")


class _Endpoint:
    """An ASGI application as a route's endpoint; a plain function would be taken for a handler."""

    def __init__(self, app: AsgiApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


def _now() -> datetime:
    return datetime.now(UTC)
