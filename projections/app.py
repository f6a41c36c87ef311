"""Composition root of the projector: settings → log, Postgres → one projector, on FastStream."""

import asyncio
import logging

from faststream.asgi import AsgiFastStream

from offhook.jetstream.broker import Broker
from offhook.jetstream.connection import (
    WATCH_S,
    client_options,
    first_connection,
    until_refused,
)
from offhook.jetstream.health.log_health import LogHealth
from offhook.jetstream.provisioning.provision import require_provisioned
from offhook.jetstream.stream import PROJECTOR
from offhook.process.health import health_routes
from offhook.process.serve import serve
from offhook.projections.projector.metrics import registry_of
from offhook.projections.projector.project import Projector
from offhook.projections.views.database import open_database
from offhook.projections.views.schema import require_migrated
from offhook.settings import Settings

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
    health = LogHealth(client, settings.nats_monitor_urls, PROJECTOR)
    registry = registry_of(projector.progress)
    health.register(registry)
    stopping = asyncio.Event()

    async def unready() -> str:
        return projector.progress.trouble or await health.trouble()

    projecting = asyncio.create_task(projector.run(stopping))

    async def drain() -> None:
        stopping.set()
        await asyncio.wait([projecting])

    app = AsgiFastStream(
        broker,
        asgi_routes=health_routes(
            unready, registry, metrics_token=settings.metrics_token, warnings=health.warnings
        ),
        logger=None,
        on_shutdown=[drain],
    )
    serving = asyncio.create_task(
        serve(app, host=settings.projector_host, port=settings.projector_port)
    )
    reporting = asyncio.create_task(_report(projector))
    looking = asyncio.create_task(health.watch())
    watching = asyncio.create_task(until_refused(client, "projector", stopping, watch_s))
    try:
        await asyncio.wait({projecting, serving, watching}, return_when=asyncio.FIRST_COMPLETED)
        for task in (projecting, watching):
            if task.done():
                task.result()
        await serving
    finally:
        tasks = (reporting, looking, watching, serving, projecting)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await engine.dispose()


async def _report(projector: Projector) -> None:
    while True:
        await asyncio.sleep(REPORT_S)
        _log.info("progress", extra=vars(projector.progress))
