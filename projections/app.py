"""Composition root of the projector: settings → log, Postgres → one projector, on FastStream."""

import asyncio
import logging

from faststream.asgi import AsgiFastStream

from offhook.errors import OffhookError
from offhook.jetstream.broker import Broker
from offhook.jetstream.connection import (
    WATCH_S,
    client_options,
    first_connection,
    until_refused,
)
from offhook.jetstream.stream import PROJECTOR, require_provisioned
from offhook.process import health_routes, serve
from offhook.settings import Settings
from projections.database import open_database
from projections.metrics import registry_of
from projections.project import Projector
from projections.schema import require_migrated

REPORT_S = 60.0

_log = logging.getLogger(__name__)


async def run(settings: Settings, *, watch_s: float = WATCH_S) -> None:
    """Project until SIGTERM. Raises OffhookError if it cannot start or must not go on."""
    broker = Broker(**client_options(settings.nats_url, "projector"), logger=None)
    client = await first_connection(settings.nats_url, broker.connect())
    await require_provisioned(client, settings.nats_monitor_urls, PROJECTOR)
    await require_migrated(settings.postgres_url)
    engine = open_database(settings.postgres_url, "offhook-projector")
    projector = Projector(client, engine)
    stopping = asyncio.Event()

    async def unready() -> str:
        if projector.progress.trouble:
            return projector.progress.trouble
        try:
            await require_provisioned(client, settings.nats_monitor_urls, PROJECTOR)
        except OffhookError as error:
            return str(error)
        return ""

    projecting = asyncio.create_task(projector.run(stopping))

    async def drain() -> None:
        stopping.set()
        await asyncio.wait([projecting])

    app = AsgiFastStream(
        broker,
        asgi_routes=health_routes(
            unready, registry_of(projector.progress), metrics_token=settings.metrics_token
        ),
        logger=None,
        on_shutdown=[drain],
    )
    serving = asyncio.create_task(
        serve(app, host=settings.projector_host, port=settings.projector_port)
    )
    reporting = asyncio.create_task(_report(projector))
    watching = asyncio.create_task(until_refused(client, "projector", stopping, watch_s))
    try:
        await asyncio.wait({projecting, serving, watching}, return_when=asyncio.FIRST_COMPLETED)
        for task in (projecting, watching):
            if task.done():
                task.result()
        await serving
    finally:
        tasks = (reporting, watching, serving, projecting)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await engine.dispose()


async def _report(projector: Projector) -> None:
    while True:
        await asyncio.sleep(REPORT_S)
        _log.info("progress", extra=vars(projector.progress))
