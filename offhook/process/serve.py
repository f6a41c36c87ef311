"""A process from start to graceful shutdown: its event loop, its HTTP server, its signals."""

import asyncio
import gc
import logging
import os
import signal
import socket
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any, cast

import uvicorn
import uvloop

from offhook.errors import AddressUnusable
from offhook.process.connections import (
    BACKLOG,
    KEEP_ALIVE_S,
    Connection,
    Connections,
    connections_max,
)
from offhook.process.ending import end
from offhook.process.limited_log import LimitedLog

GRACE_S = 20
"""How long a graceful shutdown may take; compose waits 30 s before it kills."""

COLLECTION_THRESHOLDS = (700, 10, 1_000)
"""As `gc.set_threshold` takes them: Python's own but for the last. A full collection stops the
process while it walks everything in memory, such as the sessions that a worker or projector keeps:
50 ms and more, in which no command is sent. They have no cycles, and are freed without it."""

_log = logging.getLogger(__name__)


def run_to_end(main: Coroutine[Any, Any, None]) -> None:
    """Run a process's coroutine on uvloop, which spends less time in the loop than asyncio."""
    # The loaded modules stay until the end: no collection has to look through them again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTION_THRESHOLDS)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


async def serve(
    app: Any, *, host: str, port: int, on_exit: Callable[[], None] | None = None
) -> None:
    """Serve until SIGTERM or SIGINT, then finish the requests in progress. Port 0: a free one.

    `on_exit` is called at the signal: an answer that has no end of its own must end then.
    The limits on clients are in `offhook.process.connections`. Raises AddressUnusable if it cannot
    listen there.
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
    server = _HttpServer(config, connections, on_exit)
    with _limited(logging.getLogger("uvicorn.error")):
        await server.serve()
    if not server.started:
        raise SystemExit(1)  # uvicorn has logged why


async def first_of(*work: Coroutine[Any, Any, None]) -> None:
    """Run all until one ends, cancel the others and wait for them; raise what the one raised."""
    tasks = {asyncio.create_task(each) for each in work}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await end(tasks)  # they may be using what the caller closes next


@contextmanager
def _limited(log: logging.Logger) -> Iterator[None]:
    """Count uvicorn's warnings, not write each: every request that is not HTTP causes one."""
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


class _HttpServer(uvicorn.Server):
    """Logs where it listens (with port 0 nobody else knows), and returns when it has shut down.

    uvicorn raises the signal again after draining, so nothing after `serve` would ever run.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        connections: Connections,
        on_exit: Callable[[], None] | None,
    ) -> None:
        super().__init__(config)
        self._connections = connections
        self._on_exit = on_exit

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        if self._on_exit is not None:
            self._on_exit()

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
            # uvicorn exits at once; the OSError behind it says what is wrong.
            if not isinstance(error := ended.__context__, OSError):
                raise
            # asyncio's text repeats the address; the error of a host name has no number.
            plain = isinstance(error, socket.gaierror) or error.errno is None
            why = error.strerror if plain else os.strerror(error.errno or 0)
            where = f"{self.config.host}:{self.config.port}"
            raise AddressUnusable(f"cannot listen on {where}: {why}") from None
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            _log.info("listening", extra={"host": host, "port": port})
