"""What every process does around its work: logs, liveness, readiness, metrics, an orderly end.

GET /health/live     200 while the process runs
GET /health/ready    200, or 503 with what is wrong
GET /metrics         Prometheus text
"""

import asyncio
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import uvicorn
import uvloop
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from offhook.errors import AddressUnusable

GRACE_S = 20
"""How long an orderly end may take; compose gives 30 s before it kills."""

KEEP_ALIVE_S = 75
"""How long an idle connection is kept: longer than clients do (httpx 5 s, load balancers 60 s).
Who asks must be who ends it, for what is sent while the other end closes is lost in silence."""

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_log = logging.getLogger(__name__)

Ready = Callable[[], Awaitable[str]]
"""What keeps the process from being ready, as one line; empty if nothing does."""


def health_routes(ready: Ready, registry: CollectorRegistry) -> list[tuple[str, AsgiApp]]:
    """The three paths above."""

    async def live(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, 200, msgspec.json.encode({"live": True}), "application/json")

    async def readiness(scope: Scope, receive: Receive, send: Send) -> None:
        because = await ready()
        body = msgspec.json.encode({"ready": not because, "because": because or None})
        await respond(send, 503 if because else 200, body, "application/json")

    async def metrics(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, 200, generate_latest(registry), CONTENT_TYPE_LATEST)

    return [("/health/live", live), ("/health/ready", readiness), ("/metrics", metrics)]


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

    Raises AddressUnusable if it cannot listen there.
    """
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nobody here asks who the client is
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
    )
    server = _Server(config)
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


class _Server(uvicorn.Server):
    """Says where it listens (with port 0 nobody else knows), and ends like any other program.

    uvicorn raises the signal again once it has drained, so nothing after `serve` would ever run.
    """

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


def configure_logs(role: str) -> None:
    """One JSON object a line on standard error, with whatever was given as `extra`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines(role))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for quiet in ("httpx", "httpcore", "faststream", "uvicorn", "alembic"):
        logging.getLogger(quiet).setLevel(logging.WARNING)


class _JsonLines(logging.Formatter):
    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = role

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
        return json.dumps(line, default=str)


_OWN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
