"""Liveness, readiness and metrics over HTTP, the same for every process.

GET /health/live     200 while the process runs
GET /health/ready    200, with warnings if there are any, or 503 with what is wrong
GET /metrics         Prometheus text
"""

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable, Sequence

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from offhook.process.asgi import AsgiApp, Receive, Scope, Send, respond

READY_FOR_S = 1.0
"""How long a readiness answer is reused, however many ask."""

READY_TIMEOUT_S = 10.0
"""A check that takes longer counts as failed, so that nobody waits for it forever."""

_log = logging.getLogger(__name__)

Ready = Callable[[], Awaitable[str]]
"""What keeps the process from being ready, as one line; empty if nothing does."""

Warnings = Callable[[], Sequence[str]]
"""What an operator should look at while the process is ready, a line each."""


def health_routes(
    ready: "Readiness",
    registry: CollectorRegistry,
    *,
    metrics_token: str = "",
    warnings: Warnings = tuple,
) -> list[tuple[str, AsgiApp]]:
    """The three paths above. With a `metrics_token` the metrics ask for it as a bearer token."""

    async def live(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, 200, msgspec.json.encode({"live": True}), "application/json")

    async def readiness(scope: Scope, receive: Receive, send: Send) -> None:
        because = await ready()
        answer: dict[str, object] = {"ready": not because, "because": because or None}
        if found := list(warnings()):
            answer["warnings"] = found
        body = msgspec.json.encode(answer)
        await respond(send, 503 if because else 200, body, "application/json")

    async def metrics(scope: Scope, receive: Receive, send: Send) -> None:
        if metrics_token and not _bears(scope, metrics_token):
            text = b"OFFHOOK_METRICS_TOKEN is expected as a bearer token\n"
            await respond(send, 401, text, headers=[(b"www-authenticate", b"Bearer")])
            return
        await respond(send, 200, generate_latest(registry), CONTENT_TYPE_LATEST)

    return [("/health/live", live), ("/health/ready", readiness), ("/metrics", metrics)]


class Readiness:
    """One check answers every request that arrives while it runs, and for READY_FOR_S after it.

    The check opens connections, and anybody may ask: 150 requests at once exhausted Postgres.
    """

    def __init__(self, ready: Ready) -> None:
        self._ready = ready
        self._checking: asyncio.Task[str] | None = None
        self._because: str | None = None
        self._until = float("-inf")  # in the loop's time

    async def __call__(self) -> str:
        loop = asyncio.get_running_loop()
        if self._because is not None and loop.time() < self._until:
            return self._because
        if self._checking is None:
            self._checking = loop.create_task(self._check())
        # The request that started it may be cancelled while others wait for it.
        return await asyncio.shield(self._checking)

    async def latest(self, within_s: float) -> str | None:
        """The same after at most `within_s`: an earlier result if need be, None without one."""
        try:
            async with asyncio.timeout(within_s):
                return await self()
        except TimeoutError:
            return self._because

    async def _check(self) -> str:
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                because = await self._ready()
        except TimeoutError:
            because = f"the readiness check did not end within {READY_TIMEOUT_S:g} s"
        except Exception as error:
            _log.exception("the readiness check failed")
            because = f"the readiness check failed: {error!r}"
        finally:
            self._checking = None
        self._because = because
        self._until = asyncio.get_running_loop().time() + READY_FOR_S
        return because


def _bears(scope: Scope, token: str) -> bool:
    given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
    scheme, _, found = given.partition(b" ")
    return scheme.lower() == b"bearer" and hmac.compare_digest(found, token.encode())
