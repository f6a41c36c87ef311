"""Composition root of ingress: settings → log → one route, on FastStream's ASGI application."""

import time

from faststream.asgi import AsgiFastStream

from offhook.errors import SettingInvalid
from offhook.ingress.metrics import IngressMetrics
from offhook.ingress.webhook import WebhookEndpoint
from offhook.jetstream.client.connection import WATCH_S
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.roles.role import connected_with_broker
from offhook.process.asgi import Receive, Scope, Send, respond
from offhook.settings import Settings
from offhook.telnyx.signature import public_keys_from
from offhook.telnyx.webhook_path import WEBHOOK_PATH


async def run(settings: Settings, *, watch_s: float = WATCH_S) -> None:
    """Accept webhooks until SIGTERM. Raises OffhookError if it cannot start or continue."""
    if not settings.public_keys:
        raise SettingInvalid(
            "OFFHOOK_PUBLIC_KEYS is not set; expected the base64 public key that the portal shows"
        )
    keys = public_keys_from(settings.public_keys)
    async with connected_with_broker("ingress", settings.nats_url, settings.nats_monitor_urls) as (
        role,
        broker,
    ):
        metrics = IngressMetrics()
        endpoint = WebhookEndpoint(
            log=JetStreamLog(role.client, role.health.appends, partitions=role.partitions),
            keys=keys,
            tolerance_s=settings.signature_tolerance_s,
            now_s=time.time,
            metrics=metrics,
        )
        health = role.health_routes(metrics.registry, metrics_token=settings.metrics_token)
        app = _Ingress(
            broker,
            asgi_routes=[(WEBHOOK_PATH, endpoint), *health],
            logger=None,
            on_shutdown=[role.ending.set],
        )
        await role.serve(
            app, host=settings.ingress_host, port=settings.ingress_port, watch_s=watch_s
        )


class _Ingress(AsgiFastStream):
    """Answers a wrong path with the right one, because the carrier's portal shows responses."""

    async def not_found(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await super().not_found(scope, receive, send)
            return
        await respond(send, 404, f"send webhooks to POST {WEBHOOK_PATH}\n".encode())
