"""A carrier that accepts everything at once and remembers when each call's command arrived."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import unquote


@dataclass(kw_only=True)
class Carrier:
    """`arrived_at` is by `perf_counter`, of the first command for a call control id."""

    port: int = 0
    commands: int = 0
    arrived_at: dict[str, float] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v2"


@asynccontextmanager
async def listening() -> AsyncIterator[Carrier]:
    carrier = Carrier()
    server = await asyncio.get_running_loop().create_server(
        lambda: _Exchange(carrier), "127.0.0.1", 0
    )
    carrier.port = server.sockets[0].getsockname()[1]
    try:
        yield carrier
    finally:
        server.close()


class _Exchange(asyncio.Protocol):
    """One kept-alive connection; the clients measured here never pipeline."""

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self._transport: asyncio.Transport | None = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by class

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not end or len(body) < (int(length[1]) if length else 0):
            return
        self._received = b""
        call = _CALL.match(head)
        assert call is not None, head
        self._carrier.commands += 1
        self._carrier.arrived_at.setdefault(unquote(call[1].decode()), time.perf_counter())
        assert self._transport is not None
        self._transport.write(_ACCEPTED)


_CALL = re.compile(rb"POST /v2/calls/([^/]+)/actions/answer ")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_BODY = b'{"data":{"result":"ok"}}'
_ACCEPTED = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(_BODY)
) + _BODY
