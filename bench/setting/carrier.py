"""A stub of the carrier that accepts everything, at once or after a delay, and records arrivals."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar, cast
from urllib.parse import unquote


@dataclass(kw_only=True)
class StubCarrier:
    """`arrived_at` is when the first command for a call control id arrived, by `perf_counter`.

    Each response is sent `answer_s` seconds after its command.
    """

    answer_s: float = 0.0
    port: int = 0
    commands: int = 0
    arrived_at: dict[str, float] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v2"

    def arrived(self, call_control_id: str, command_id: str) -> None:
        self.commands += 1
        self.arrived_at.setdefault(call_control_id, time.perf_counter())

    def answered(self) -> None:
        """Called after each response."""


AnyCarrier = TypeVar("AnyCarrier", bound=StubCarrier)


@asynccontextmanager
async def listening(carrier: AnyCarrier) -> AsyncIterator[AnyCarrier]:
    """The carrier, on a free loopback port while the block runs."""
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

    def __init__(self, carrier: StubCarrier) -> None:
        self._carrier = carrier
        self._transport: asyncio.Transport | None = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is not a subclass

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not end or len(body) < (int(length[1]) if length else 0):
            return
        self._received = b""
        call = _CALL.match(head)
        assert call is not None, head
        command_id = _COMMAND_ID.search(body)
        assert command_id is not None, body
        self._carrier.arrived(unquote(call[1].decode()), command_id[1].decode())
        if self._carrier.answer_s:
            asyncio.get_running_loop().call_later(self._carrier.answer_s, self._answer)
        else:
            self._answer()

    def _answer(self) -> None:
        assert self._transport is not None
        if not self._transport.is_closing():  # it is if its client was killed
            self._transport.write(_ACCEPTED)
        self._carrier.answered()


_CALL = re.compile(rb"POST /v2/calls/([^/]+)/actions/[a-z_]+ ")
_COMMAND_ID = re.compile(rb'"command_id" *: *"([^"]+)"')
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_BODY = b'{"data":{"result":"ok"}}'
_ACCEPTED = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(_BODY)
) + _BODY
