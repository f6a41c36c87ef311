"""Composition root of ingress: settings → log → one route, on FastStream's ASGI application."""

import asyncio
import time

from faststream.asgi import AsgiFastStream

from offhook.errors import OffhookError, SettingInvalid
from offhook.ingress.webhook import Metrics, WebhookEndpoint
from offhook.jetstream.broker import Broker
from offhook.jetstream.connection import (
    WATCH_S,
    client_options,
    first_connection,
    until_refused,
)
from offhook.jetstream.health.log_health import LogHealth
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.provisioning.provision import require_provisioned
from offhook.process.asgi import AsgiApp, Receive, Scope, Send, respond
from offhook.process.health import health_routes
from offhook.process.serve import first_of, serve
from offhook.settings import Settings
from offhook.telnyx.signature import public_keys_from
from offhook.telnyx.webhook_path import WEBHOOK_PATH


async def run(settings: Settings, *, watch_s: float = WATCH_S) -> None:
    """Take webhooks until SIGTERM. Raises OffhookError if it cannot start, or not go on."""
    if not settings.public_keys:
        raise SettingInvalid(
            "OFFHOOK_PUBLIC_KEYS is not set; expected the base64 public key that the portal shows"
        )
    keys = public_keys_from(settings.public_keys)
    broker = Broker(**client_options(settings.nats_url, "ingress"), logger=None)
    client = await first_connection(settings.nats_url, broker.connect())
    try:
        await require_provisioned(client, settings.nats_monitor_urls)
    except OffhookError:
        await broker.stop()
        raise

    health = LogHealth(client, settings.nats_monitor_urls)
    metrics = Metrics()
    health.register(metrics.registry)
    endpoint = WebhookEndpoint(
        log=JetStreamLog(client, health.appends),
        keys=keys,
        tolerance_s=settings.signature_tolerance_s,
        now_s=time.time,
        metrics=metrics,
    )
    routes: list[tuple[str, AsgiApp]] = [
        (WEBHOOK_PATH, endpoint),
        *health_routes(
            health.trouble,
            metrics.registry,
            metrics_token=settings.metrics_token,
            warnings=health.warnings,
        ),
    ]
    ending = asyncio.Event()
    app = _Ingress(broker, asgi_routes=routes, logger=None, on_shutdown=[ending.set])
    await first_of(
        serve(app, host=settings.ingress_host, port=settings.ingress_port),
        until_refused(client, "ingress", ending, watch_s),
        health.watch(),
    )


class _Ingress(AsgiFastStream):
    """Tells whoever has the wrong address of the right one: the carrier's portal shows answers."""

    async def not_found(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await super().not_found(scope, receive, send)
            return
        await respond(send, 404, f"webhooks are taken at POST {WEBHOOK_PATH}\n".encode())
