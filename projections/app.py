"""Composition root of the projector: settings → log, Postgres → one projector, on FastStream."""

import asyncio
import logging
from datetime import UTC, datetime

from faststream.asgi import AsgiFastStream

from offhook.jetstream.client.connection import WATCH_S
from offhook.jetstream.roles.role import connected_with_broker
from offhook.jetstream.stream import PROJECTOR
from offhook.projections.projector.lag import LagWatch
from offhook.projections.projector.progress import registry_of
from offhook.projections.projector.project import Projector
from offhook.projections.rebuild.cutover import end_graces
from offhook.projections.views.analytics.hourly.keeping import keep_hours
from offhook.projections.views.database.engine import open_database
from offhook.projections.views.schema.migrate import require_migrated
from offhook.settings import Settings

REPORT_S = 60.0

_log = logging.getLogger(__name__)


async def run(settings: Settings, *, watch_s: float = WATCH_S) -> None:
    """Project until SIGTERM. Raises OffhookError if it cannot start or must not go on."""
    async with connected_with_broker(
        "projector", settings.nats_url, settings.nats_monitor_urls, consumer=PROJECTOR
    ) as (role, broker):
        await require_migrated(settings.postgres_url)
        engine = open_database(settings.postgres_url, "offhook-projector")
        role.closing.push_async_callback(engine.dispose)
        projector = Projector(role.client, engine, partitions=role.partitions)
        lag = LagWatch(role.client, engine, PROJECTOR, _now)
        has_stopped = asyncio.Event()

        async def project() -> None:
            try:
                await projector.run(role.ending)
            finally:
                has_stopped.set()
            await asyncio.Event().wait()  # the HTTP server ends last, and with it the role

        async def drain() -> None:
            role.ending.set()
            await has_stopped.wait()

        async def unready() -> str:
            return projector.progress.trouble or lag.trouble() or await role.health.trouble()

        app = AsgiFastStream(
            broker,
            asgi_routes=role.health_routes(
                registry_of(projector.progress, lag),
                metrics_token=settings.metrics_token,
                unready=unready,
            ),
            logger=None,
            on_shutdown=[drain],
        )
        await role.serve(
            app,
            host=settings.projector_host,
            port=settings.projector_port,
            beside=[
                project(),
                lag.run(),
                _report(projector, lag),
                end_graces(engine),
                keep_hours(engine),
            ],
            watch_s=watch_s,
        )


async def _report(projector: Projector, lag: LagWatch) -> None:
    while True:
        await asyncio.sleep(REPORT_S)
        lags = {partition: vars(each) for partition, each in lag.lags.items()}
        _log.info("progress", extra=projector.progress.as_fields() | {"lag": lags})


def _now() -> datetime:
    return datetime.now(UTC)
