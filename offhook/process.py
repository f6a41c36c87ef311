"""What every process does around its work: logs, liveness, readiness, metrics, an orderly end.

GET /health/live     200 while the process runs
GET /health/ready    200, with warnings if there are any, or 503 with what is wrong
GET /metrics         Prometheus text
"""

import asyncio
import hmac
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import msgspec
import uvicorn
import uvloop
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from offhook.connections import BACKLOG, KEEP_ALIVE_S, Connection, Connections, connections_max
from offhook.errors import AddressUnusable
from offhook.limited_log import LimitedLog

GRACE_S = 20
"""How long an orderly end may take; compose gives 30 s before it kills."""

READY_FOR_S = 1.0
"""How long an answer about readiness holds: whoever asks, and how often, it is found out once."""

READY_TIMEOUT_S = 10.0
"""A check that takes longer counts as failed: nobody must wait for an answer without end."""

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_log = logging.getLogger(__name__)

Ready = Callable[[], Awaitable[str]]
"""What keeps the process from being ready, as one line; empty if nothing does."""

Warnings = Callable[[], Sequence[str]]
"""What an operator should look at while the process is ready, a line each."""


def health_routes(
    ready: Ready,
    registry: CollectorRegistry,
    *,
    metrics_token: str = "",
    warnings: Warnings = tuple,
) -> list[tuple[str, AsgiApp]]:
    """The three paths above. With a `metrics_token` the metrics ask for it as a bearer token."""
    readiness_of = _Readiness(ready)

    async def live(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, 200, msgspec.json.encode({"live": True}), "application/json")

    async def readiness(scope: Scope, receive: Receive, send: Send) -> None:
        because = await readiness_of()
        told: dict[str, object] = {"ready": not because, "because": because or None}
        if found := list(warnings()):
            told["warnings"] = found
        body = msgspec.json.encode(told)
        await respond(send, 503 if because else 200, body, "application/json")

    async def metrics(scope: Scope, receive: Receive, send: Send) -> None:
        if metrics_token and not _bears(scope, metrics_token):
            text = b"OFFHOOK_METRICS_TOKEN is expected as a bearer token\n"
            await respond(send, 401, text, headers=[(b"www-authenticate", b"Bearer")])
            return
        await respond(send, 200, generate_latest(registry), CONTENT_TYPE_LATEST)

    return [("/health/live", live), ("/health/ready", readiness), ("/metrics", metrics)]


class _Readiness:
    """The answer of one check for all who ask while it runs, and for READY_FOR_S after it.

    The check opens connections, and anybody may ask: 150 who did at once used up Postgres.
    """

    def __init__(self, ready: Ready) -> None:
        self._ready = ready
        self._checking: asyncio.Task[str] | None = None
        self._because = ""
        self._until = float("-inf")  # in the loop's time

    async def __call__(self) -> str:
        loop = asyncio.get_running_loop()
        if loop.time() < self._until:
            return self._because
        if self._checking is None:
            self._checking = loop.create_task(self._check())
        # Whoever started it may leave; the others still wait for it.
        return await asyncio.shield(self._checking)

    async def _check(self) -> str:
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                self._because = await self._ready()
        except TimeoutError:
            self._because = f"the readiness check did not end within {READY_TIMEOUT_S:g} s"
        except Exception as error:
            _log.exception("the readiness check failed")
            self._because = f"the readiness check failed: {error!r}"
        finally:
            self._checking = None
        self._until = asyncio.get_running_loop().time() + READY_FOR_S
        return self._because


def _bears(scope: Scope, token: str) -> bool:
    given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
    scheme, _, found = given.partition(b" ")
    return scheme.lower() == b"bearer" and hmac.compare_digest(found, token.encode())


async def respond(
    send: Send,
    status: int,
    body: bytes = b"",
    content_type: str = "text/plain; charset=utf-8",
    headers: Sequence[tuple[bytes, bytes]] = (),
) -> None:
    """One whole HTTP answer."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", content_type.encode()),
                (b"content-length", str(len(body)).encode()),
                *headers,
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})


def run_to_end(main: Coroutine[Any, Any, None]) -> None:
    """Run a process's coroutine, on uvloop: less time in the loop than asyncio's own."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


async def serve(app: Any, *, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is under way. Port 0 takes a free one.

    What a client may take is in `offhook.connections`. Raises AddressUnusable if it cannot listen
    there.
    """
    connections = Connections(connections_max=connections_max())
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nobody here asks who the client is
        backlog=BACKLOG,
        http=cast(Any, partial(Connection, connections)),
        ws="none",
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
    )
    server = _Server(config, connections)
    with _limited(logging.getLogger("uvicorn.error")):
        await server.serve()
    if not server.started:
        raise SystemExit(1)  # uvicorn has logged why


async def first_of(*work: Coroutine[Any, Any, None]) -> None:
    """Run all until one ends, and raise what it raised."""
    tasks = {asyncio.create_task(each) for each in work}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()


@contextmanager
def _limited(log: logging.Logger) -> Iterator[None]:
    """Count uvicorn's warnings rather than write each: a request that is no HTTP gives one."""
    limited = LimitedLog(_log)

    def keep(record: logging.LogRecord) -> bool:
        if record.levelno != logging.WARNING:
            return True
        limited.warning(record.getMessage(), kind=str(record.msg), extra={})
        return False

    log.addFilter(keep)
    try:
        yield
    finally:
        log.removeFilter(keep)


_TICKS_OF_A_SECOND = 10  # uvicorn's main loop


class _Server(uvicorn.Server):
    """Says where it listens (with port 0 nobody else knows), and ends like any other program.

    uvicorn raises the signal again once it has drained, so nothing after `serve` would ever run.
    """

    def __init__(self, config: uvicorn.Config, connections: Connections) -> None:
        super().__init__(config)
        self._connections = connections

    async def on_tick(self, counter: int) -> bool:
        if counter % _TICKS_OF_A_SECOND == 0:
            self._connections.sweep(asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit as ended:
            # uvicorn ends the process where it stands; the error behind it tells who can mend it.
            if not isinstance(error := ended.__context__, OSError):
                raise
            # What asyncio says of a socket repeats the address; a name's own error has no number.
            plain = isinstance(error, socket.gaierror) or error.errno is None
            why = error.strerror if plain else os.strerror(error.errno or 0)
            where = f"{self.config.host}:{self.config.port}"
            raise AddressUnusable(f"cannot listen on {where}: {why}") from None
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            _log.info("listening", extra={"host": host, "port": port})


def configure_logs(role: str, secrets: Sequence[str] = ()) -> None:
    """One JSON object a line on standard error, with whatever was given as `extra`.

    `secrets` are replaced wherever they come up: in the error of a library, for one.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines(role, secrets))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for quiet in ("httpx", "httpcore", "faststream", "uvicorn", "alembic"):
        logging.getLogger(quiet).setLevel(logging.WARNING)


def redacted(text: str, secrets: Sequence[str]) -> str:
    """The text without the secrets."""
    for secret in secrets:
        text = text.replace(secret, "[secret]")
    return text


class _JsonLines(logging.Formatter):
    def __init__(self, role: str, secrets: Sequence[str]) -> None:
        super().__init__()
        self._role = role
        # As they are in JSON, too: a quotation mark has a backslash there.
        self._secrets = [each for text in secrets for each in (text, json.dumps(text)[1:-1])]

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "at": f"{at}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "role": self._role,
            "what": record.getMessage(),
        }
        line |= {key: value for key, value in vars(record).items() if key not in _OWN_FIELDS}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return redacted(json.dumps(line, default=str), self._secrets)


_OWN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
