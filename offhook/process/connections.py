"""Limits on the clients of a server: connections, time, and bytes of headers.

uvicorn limits the time of an idle connection only. A client that sends half a request keeps its
connection, and one of the process's file descriptors, for as long as it likes. When they run out,
no connection is accepted any more, and a lost connection to the log cannot be reopened.

    state of a connection                 since                       closed after
    waiting for a request's first byte    it was opened               KEEP_ALIVE_S
    waiting for the rest of a request     its first byte              REQUEST_S (408 in a header)
    waiting for its answer to be read     the client stopped          REQUEST_S
    answering                             –                           never: the delay is ours
    idle                                  its last answer             KEEP_ALIVE_S

When all connections are in use, a new one replaces the one that has waited longest, else the one
that has been idle longest; else it is closed itself. A complete request always gets its answer.
"""

import asyncio
import logging
import resource
from collections import OrderedDict
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from offhook.process.limited_log import LimitedLog

CONNECTIONS_MAX = 4096
"""About 15 KB each while it is idle."""

BACKLOG = 512
"""Connections that may wait to be accepted. They are accepted all at once, before any other can be
closed for them, so each needs a file descriptor."""

FILES_BESIDE = 256
"""File descriptors for everything else: the log, the carrier, Postgres, the interpreter."""

REQUEST_S = 20.0
"""From a request's first byte to its last. Endpoints that read bodies give up earlier, with 408."""

KEEP_ALIVE_S = 75
"""Longer than clients keep a connection (httpx 5 s, load balancers 60 s). The client must be the
one that closes it: a request sent while the server closes is lost without an error."""

BESIDE_BODY_BYTES_MAX = 64 * 1024
"""Bytes of a request's line, headers and trailers; the parser has no limit of its own."""

CHUNK_FRAMING = 8
"""Bytes on the wire for each byte of a body, at most: a chunk of one byte is `1\\r\\nx\\r\\n`."""

_log = logging.getLogger(__name__)


class Connections:
    """The open connections of one server, by what they wait for. Times are the event loop's."""

    def __init__(self, *, connections_max: int = CONNECTIONS_MAX) -> None:
        self._connections_max = connections_max
        self._open: set[Connection] = set()
        # Each ordered by time, oldest first.
        self._waiting: OrderedDict[Connection, float] = OrderedDict()
        self._idle: OrderedDict[Connection, float] = OrderedDict()
        self._limited = LimitedLog(_log)

    def opened(self, connection: "Connection", now: float) -> bool:
        """Add it; False if there is no room for it."""
        if len(self._open) >= self._connections_max:
            self._limited.warning(
                "too many connections, one was closed",
                kind="full",
                extra={"connections_max": self._connections_max},
            )
            longest = next(iter(self._waiting), None) or next(iter(self._idle), None)
            if longest is None:
                return False
            self._end(longest)
        self._open.add(connection)
        self._waiting[connection] = now
        return True

    def closed(self, connection: "Connection") -> None:
        """Forget it."""
        self._open.discard(connection)
        self.answering(connection)

    def waiting(self, connection: "Connection", now: float) -> None:
        """It waits for the client to send, or to read."""
        self.answering(connection)
        self._waiting[connection] = now

    def answering(self, connection: "Connection") -> None:
        """It waits for us, and not for the client."""
        self._waiting.pop(connection, None)
        self._idle.pop(connection, None)

    def idle(self, connection: "Connection", now: float) -> None:
        """It has its answer, and no request of it has begun."""
        self.answering(connection)
        if connection in self._open:
            self._idle[connection] = now

    def sweep(self, now: float) -> None:
        """Close the connections that have taken too long. To be called about every second."""
        late = [
            connection
            for connection, since in self._waiting.items()
            if now - since > (REQUEST_S if connection.begun else KEEP_ALIVE_S)
        ]
        for connection in late:
            if connection.begun:
                self._limited.warning(
                    "a client took too long, its connection was closed",
                    kind="slow",
                    extra={"limit_s": REQUEST_S},
                )
            self._end(connection)
        while self._idle and now - next(iter(self._idle.values())) > KEEP_ALIVE_S:
            self._end(next(iter(self._idle)))

    def _end(self, connection: "Connection") -> None:
        self.closed(connection)  # at once: the transport reports it in a later loop iteration
        connection.end()


class Connection(HttpToolsProtocol):
    """uvicorn's connection, which reports to `Connections` what it waits for."""

    def __init__(self, connections: Connections, **more: Any) -> None:
        super().__init__(**more)
        self._connections = connections
        self._incomplete = False  # a request has begun, and its last byte has not arrived
        self._beside_body = 0  # bytes of the request so far, without its body
        self.begun = False  # in the middle of a request, or of reading an answer

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if not self._connections.opened(self, self.loop.time()):
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.closed(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._beside_body += len(data)
        super().data_received(data)
        if self._beside_body > BESIDE_BODY_BYTES_MAX and not self.transport.is_closing():
            self._refuse(431, b"Request Header Fields Too Large")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._incomplete = True
        if self._is_free():
            self._wait()

    def on_body(self, body: bytes) -> None:
        self._beside_body -= len(body) * CHUNK_FRAMING
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._incomplete = self.begun = False
        self._beside_body = 0
        if self._is_free():  # answered before its body was complete
            self._connections.idle(self, self.loop.time())
        else:
            self._connections.answering(self)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._incomplete:
            self._wait()  # for the rest of the body, or of a request behind this one
        elif self._is_free():
            self._connections.idle(self, self.loop.time())

    def pause_writing(self) -> None:
        super().pause_writing()
        self._wait()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._incomplete:
            return  # it waits anyway
        self.begun = False
        if self._is_free():
            self._connections.idle(self, self.loop.time())
        else:
            self._connections.answering(self)

    def end(self) -> None:
        """Close it now."""
        if self._incomplete and self._is_free() and not self.flow.write_paused:
            self._refuse(408, b"Request Timeout")
        else:
            self.transport.abort()  # close() would wait for a client that does not read

    def _wait(self) -> None:
        self.begun = True
        if not self.transport.is_closing():
            self._connections.waiting(self, self.loop.time())

    def _is_free(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def _unsupported_upgrade_warning(self) -> None:
        """Nothing: it is answered as the plain request it is, and anybody can send thousands."""

    def _refuse(self, status: int, phrase: bytes) -> None:
        self.transport.write(
            b"HTTP/1.1 %d %b\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % (status, phrase)
        )
        self.transport.close()


def connections_max() -> int:
    """How many connections a server may have; raises the process's limit on files if it can.

    Many systems start a process with 1,024 and allow more.
    """
    beside = BACKLOG + FILES_BESIDE
    wanted = CONNECTIONS_MAX + beside
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        if soft < wanted:
            _log.warning("few files may be open, so few connections too", extra={"files_max": soft})
    files = wanted if soft == resource.RLIM_INFINITY else soft
    return min(CONNECTIONS_MAX, max(files // 4, files - beside))
