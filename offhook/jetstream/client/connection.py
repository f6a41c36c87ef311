"""One connection to NATS, with the settings that live calls need."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from typing import Any

from nats.aio.client import Client
from nats.errors import Error as NatsError

from offhook.errors import LogUnavailable, LogUnreachable, shown_url
from offhook.jetstream.client.headers import read_headers_fast
from offhook.process.ending import end
from offhook.process.limited_log import LimitedLog

RECONNECT_WAIT_S = 0.25
PING_INTERVAL_S = 10
DRAIN_TIMEOUT_S = 5
CONNECT_TIMEOUT_S = 2
FIRST_CONNECTION_S = 5
WATCH_S = 10.0

PENDING_BYTES_MAX = 16 * 1024 * 1024
"""Bytes that may wait to be sent: over two of the largest records; nats-py's 2 MiB hold not one."""

_log = logging.getLogger(__name__)


async def connect(url: str, role: str) -> Client:
    """A client that reconnects forever. Raises LogUnreachable if nobody listens at `url`."""
    return await first_connection(url, opened(client_options(url, role)))


async def opened(options: Mapping[str, Any]) -> Client:
    """A client that is connected. Raises what nats-py does.

    If a handshake is cancelled, as by a timeout, nats-py leaves its socket open; here it is closed.
    """
    client = _Client()
    try:
        await client.connect(**options)
    except BaseException:
        if client.is_connecting:
            with contextlib.suppress(OSError):
                await client.close()
        raise
    return client


def client_options(url: str, role: str) -> dict[str, Any]:
    """The settings of every client, FastStream's broker included.

    The defaults of nats-py give up after two minutes and notice a dead link after four; a denied
    publish is reported to the error callback alone, so it is logged.
    """

    limited = LimitedLog(_log)

    async def on_error(error: Exception) -> None:
        extra = {"error": repr(error)}
        if isinstance(error, OSError):
            # At every attempt to connect, four a second, for as long as a server is away.
            where = {"servers": shown_url(url)}
            limited.warning("nats error", kind=type(error).__name__, extra=extra | where)
        else:
            _log.warning("nats error", extra=extra)

    async def on_disconnected() -> None:
        _log.info("nats disconnected")  # also at a graceful shutdown

    async def on_reconnected() -> None:
        _log.info("nats reconnected")

    return {
        "servers": [part.strip() for part in url.split(",")],
        "name": f"offhook-{role}",
        "inbox_prefix": f"_INBOX.{role}",
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": RECONNECT_WAIT_S,
        "ping_interval": PING_INTERVAL_S,
        "max_outstanding_pings": 2,
        "drain_timeout": DRAIN_TIMEOUT_S,
        "connect_timeout": CONNECT_TIMEOUT_S,
        "pending_size": PENDING_BYTES_MAX,
        "error_cb": on_error,
        "disconnected_cb": on_disconnected,
        "reconnected_cb": on_reconnected,
    }


class _Client(Client):
    """Closes the connection of an attempt before it makes the next.

    nats-py forgets it, so a server that accepts connections and does not greet would keep them all.
    """

    async def _connect_to_server(self, s: Any) -> None:
        if self._transport is not None:
            self._transport.close()  # type: ignore[no-untyped-call]
        await super()._connect_to_server(s)


async def first_connection(url: str, connecting: Coroutine[Any, Any, Client]) -> Client:
    """The client, once connected. Raises LogUnreachable if that takes too long.

    With endless reconnecting nats-py also retries the very first connection forever, and a wrong
    address would never be reported. It drops a cancellation now and then: see `end`.
    """
    task = asyncio.ensure_future(connecting)
    try:
        done, _ = await asyncio.wait([task], timeout=FIRST_CONNECTION_S)
        if not done:
            await end([task])
            if task.cancelled():
                raise TimeoutError
        client = task.result()
    except asyncio.CancelledError:
        await end([task])
        if not task.cancelled() and task.exception() is None:
            await close(task.result())
        raise
    except (OSError, NatsError, TimeoutError) as error:
        tried = isinstance(error, TimeoutError)
        why = f"tried for {FIRST_CONNECTION_S} s" if tried else repr(error)
        where = shown_url(url)
        raise LogUnreachable(
            f"no NATS server answers at {where}: {why}; see OFFHOOK_NATS_URL"
        ) from error
    read_headers_fast(client)
    return client


def when_reconnected(client: Client, do: Callable[[], None]) -> Callable[[], None]:
    """Call `do` each time the client has reconnected, until the returned function is called."""
    reconnected = client._reconnected_cb  # nats-py has one callback, and no way to add a second
    if not isinstance(reconnected, _Reconnected):
        reconnected = client._reconnected_cb = _Reconnected(reconnected)
    calls = reconnected.calls
    calls.add(do)
    return lambda: calls.discard(do)


@contextlib.contextmanager
def unread(client: Client) -> Iterator[None]:
    """Leave what arrives in the socket meanwhile, for some milliseconds.

    Messages that come one by one wake the process for each of them; afterwards, one read has all.
    """
    transport = _socket_of(client)
    if transport is None:
        yield
        return
    transport.pause_reading()
    try:
        yield
    finally:
        if not transport.is_closing():
            transport.resume_reading()


def _socket_of(client: Client) -> asyncio.ReadTransport | None:
    """None if it is not connected, or not by TCP."""
    writer = getattr(client._transport, "_io_writer", None)
    transport = None if writer is None else writer.transport
    return None if transport is None or transport.is_closing() else transport


class _Reconnected:
    """A callback that calls many, after the one that was set before."""

    def __init__(self, before: Callable[[], Awaitable[None]] | None) -> None:
        self.calls: set[Callable[[], None]] = set()
        self._before = before

    async def __call__(self) -> None:
        if self._before is not None:
            await self._before()
        for do in tuple(self.calls):
            do()


async def until_refused(client: Client, who: str, ending: asyncio.Event, every_s: float) -> None:
    """Raise LogUnavailable once the server has refused the connection; not while we are ending.

    Such a client never comes back, also when it would be let in again: nats-py closes it, or
    FastStream's error callback ends the reconnecting in the middle of a handshake.
    """
    was_refused = False
    while True:
        await asyncio.sleep(every_s)
        if ending.is_set():
            continue
        # A server that is merely down shows as an OSError or a timeout, and comes back.
        error = client.last_error
        is_refused = (
            client.is_connecting
            and isinstance(error, NatsError)
            and not isinstance(error, TimeoutError)
        )
        if client.is_closed or (is_refused and was_refused):
            raise LogUnavailable(f"the NATS server refuses this {who}: {error!r}")
        was_refused = is_refused


async def close(client: Client) -> None:
    """Drain within a time limit; a client that cannot drain is closed."""
    try:
        await client.drain()
    except (NatsError, TimeoutError):
        with contextlib.suppress(OSError):  # it tries to send the rest to a lost connection
            await client.close()
