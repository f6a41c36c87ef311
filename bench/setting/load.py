"""The load: signed webhooks, each unique, over kept-alive HTTP connections.

Uses plain asyncio protocols instead of an HTTP library, so that one core is enough to saturate a
server on another core.
"""

import asyncio
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

from nacl.signing import SigningKey

from bench.setting.machine import hold_collections
from offhook.codec.webhooks import wire_body
from offhook.events import CallInitiated
from offhook.telnyx.signature import sign

PATH = "/webhooks/telnyx"
BACKLOG_MAX = 100_000


@dataclass(frozen=True, kw_only=True)
class SignedWebhook:
    """One request, ready for the wire."""

    call_control_id: str
    request: bytes


@dataclass(kw_only=True)
class Measured:
    """What a server answered. `taken` counts status 200, `seconds` is the length of the run.

    `answered` are the requests behind `taken` and `refused`.
    """

    taken: int = 0
    refused: int = 0
    answered: tuple[list[bytes], list[bytes]] = field(default_factory=lambda: ([], []))
    seconds: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)

    @property
    def per_s(self) -> float:
        return self.taken / self.seconds


def webhooks(count: int, key: SigningKey, *, per_session: int) -> list[SignedWebhook]:
    """`call.initiated` webhooks of realistic size (about 1 kB), each of its own leg, signed now."""
    now_s = time.time()
    made: list[SignedWebhook] = []
    session_id = ""
    for number in range(count):
        if number % per_session == 0:
            session_id = str(uuid.uuid4())
        call_control_id = f"v3:{uuid.uuid4().hex}{uuid.uuid4().hex[:22]}"
        body = _body(call_control_id, session_id)
        made.append(signed_webhook(body, key, now_s, call_control_id))
    return made


def signed_webhook(
    body: bytes, key: SigningKey, now_s: float, call_control_id: str
) -> SignedWebhook:
    head = "".join(f"{name}: {value}\r\n" for name, value in sign(body, key, now_s).items())
    request = (
        f"POST {PATH} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        f"user-agent: telnyx-webhooks\r\n{head}content-length: {len(body)}\r\n\r\n"
    )
    return SignedWebhook(call_control_id=call_control_id, request=request.encode() + body)


def body_of(request: bytes) -> bytes:
    return request.partition(b"\r\n\r\n")[2]


async def saturate(
    port: int, work: Sequence[SignedWebhook], *, connections: int, seconds: float
) -> Measured:
    """Keep every connection busy until the time is up or the work is done."""
    measured = Measured()
    waiting = iter(work)
    started = time.perf_counter()
    done = asyncio.Event()
    open_ = connections

    def send_next(connection: _Connection) -> None:
        nonlocal open_
        webhook = next(waiting, None) if time.perf_counter() - started < seconds else None
        if webhook is None:
            open_ -= 1
            if not open_:
                done.set()
            return
        connection.send(webhook.request, time.perf_counter())

    pool = await _connected(port, connections, measured, send_next)
    hold_collections()
    started = time.perf_counter()
    for connection in pool:
        send_next(connection)
    await done.wait()
    measured.seconds = time.perf_counter() - started
    _close(pool)
    return measured


async def at_rate(
    port: int,
    work: Sequence[SignedWebhook],
    *,
    per_s: float,
    connections: int,
    sending: Callable[[SignedWebhook, float], None] = lambda webhook, at: None,
) -> Measured:
    """Send on schedule, whatever the server does; latencies include waiting for a connection."""
    measured = Measured()
    idle: deque[_Connection] = deque()
    backlog: deque[tuple[bytes, float]] = deque(maxlen=BACKLOG_MAX)
    left = len(work)
    done = asyncio.Event()

    def answered(connection: _Connection) -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set()
        if backlog:
            connection.send(*backlog.popleft())
        else:
            idle.append(connection)

    pool = await _connected(port, connections, measured, answered)
    idle.extend(pool)
    hold_collections()
    started = time.perf_counter()
    for number, webhook in enumerate(work):
        await asyncio.sleep(max(0.0, started + number / per_s - time.perf_counter()))
        now = time.perf_counter()
        sending(webhook, now)
        if idle:
            idle.popleft().send(webhook.request, now)
        else:
            backlog.append((webhook.request, now))
    await done.wait()
    measured.seconds = time.perf_counter() - started
    _close(pool)
    return measured


class _Connection(asyncio.Protocol):
    """One request at a time; `answered` is called with the connection after each answer."""

    def __init__(self, measured: Measured, answered: "Callable[[_Connection], None]") -> None:
        self._measured = measured
        self._answered = answered
        self._transport: asyncio.Transport | None = None
        self._sent_at = 0.0
        self._request = b""
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is not a subclass

    def send(self, request: bytes, since: float) -> None:
        assert self._transport is not None
        self._sent_at, self._request = since, request
        self._transport.write(request)

    def close(self) -> None:
        assert self._transport is not None
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end or len(body) < _content_length(head):
            return
        self._received = b""
        self._measured.latencies_ms.append((time.perf_counter() - self._sent_at) * 1000)
        taken, refused = self._measured.answered
        if head.startswith(b"HTTP/1.1 200"):
            self._measured.taken += 1
            taken.append(self._request)
        else:
            self._measured.refused += 1
            refused.append(self._request)
        self._answered(self)


async def _connected(
    port: int, count: int, measured: Measured, answered: Callable[[_Connection], None]
) -> list[_Connection]:
    loop = asyncio.get_running_loop()
    return [
        (await loop.create_connection(lambda: _Connection(measured, answered), "127.0.0.1", port))[
            1
        ]
        for _ in range(count)
    ]


def _close(pool: Sequence[_Connection]) -> None:
    for connection in pool:
        connection.close()


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def _body(call_control_id: str, session_id: str) -> bytes:
    return wire_body(
        CallInitiated(
            event_id=str(uuid.uuid4()),
            call_control_id=call_control_id,
            call_leg_id=str(uuid.uuid4()),
            call_session_id=session_id,
            connection_id="2811212257810187875",
            direction="incoming",
            state="parked",
            from_="+12025550101",
            to="+12025550102",
            calling_party_type="pstn",
            from_sip_uri="2025550101@203.0.113.10:5060",
            to_sip_uri="+12025550102@192.76.120.10:5060",
            caller_id_name="+12025550101",
            payload={
                "client_state": None,
                "connection_codecs": "PCMA,PCMU,VP8,H264",
                "offered_codecs": "PCMU,G729",
                "occurred_at": "2026-11-22T03:30:00.076316Z",
                "start_time": "2026-11-22T03:30:00.076316Z",
            },
        ),
        delivered_to="https://hooks.example.com/telnyx-webhook",
    )
