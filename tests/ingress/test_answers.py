"""What requests of any size, method and path are answered, and health."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator

import httpx
import pytest
from nats.aio.client import Client

from offhook.ingress import webhook
from offhook.ingress.body import SMALL_BYTES_MAX, LargeBodySlot, read_body
from offhook.ingress.metrics import IngressMetrics
from offhook.jetstream.stream import MESSAGE_BYTES_MAX
from offhook.process.asgi import Message
from tests.ingress.stand import (
    PATH,
    PATIENCE_S,
    Ingress,
    body_of,
    last_seq,
    post,
    signed,
    stored,
    until,
)
from tests.memory_log import MemoryLog


def of_size(size: int, session_id: str) -> bytes:
    bare = len(body_of(session_id=session_id, filler=""))
    body = body_of(session_id=session_id, filler="x" * (size - bare))
    assert len(body) == size
    return body


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
async def test_a_body_of_the_full_size_is_stored(
    http: httpx.AsyncClient, nats_client: Client, chunked: bool
) -> None:
    session_id = str(uuid.uuid4())
    body = of_size(MESSAGE_BYTES_MAX, session_id)
    answer = await http.post(PATH, content=_parts(body) if chunked else body, headers=signed(body))
    assert answer.status_code == 200
    (message,) = await stored(nats_client, session_id)
    assert message.data == body


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("size", [MESSAGE_BYTES_MAX + 1, MESSAGE_BYTES_MAX + 750_000])
async def test_a_body_over_the_size_is_refused(
    ingress: Ingress, http: httpx.AsyncClient, nats_client: Client, size: int, chunked: bool
) -> None:
    session_id = str(uuid.uuid4())
    body = of_size(size, session_id)
    before = ingress.counted("too_large")
    answer = await http.post(PATH, content=_parts(body) if chunked else body, headers=signed(body))
    assert (answer.status_code, answer.text) == (413, "the body is over 6291456 bytes\n")
    assert ingress.counted("too_large") - before == 1
    assert await stored(nats_client, session_id) == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_only_post_is_taken(http: httpx.AsyncClient, method: str) -> None:
    answer = await http.request(method, PATH)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_any_other_path_is_not_found(http: httpx.AsyncClient, nats_client: Client) -> None:
    before = await last_seq(nats_client)
    body = body_of()
    answer = await http.post("/webhooks", content=body, headers=signed(body))
    assert answer.status_code == 404
    assert await last_seq(nats_client) == before


async def test_a_sender_that_leaves_in_the_middle_is_not_answered_and_not_stored(
    ingress: Ingress, http: httpx.AsyncClient, nats_client: Client
) -> None:
    session_id = str(uuid.uuid4())
    body = body_of(session_id=session_id)
    refused = ingress.counted("bad_signature")
    before = ingress.counted("left")
    _, writer = await asyncio.open_connection("127.0.0.1", ingress.port)
    head = "".join(f"{name}: {value}\r\n" for name, value in signed(body).items())
    start = f"POST {PATH} HTTP/1.1\r\nhost: x\r\n{head}content-length: {len(body)}\r\n\r\n"
    writer.write(start.encode() + body[:50])
    await writer.drain()
    await asyncio.sleep(0.2)
    writer.close()
    await writer.wait_closed()

    async def counted() -> bool:
        return ingress.counted("left") == before + 1

    await until(counted)
    assert ingress.counted("bad_signature") == refused
    assert await stored(nats_client, session_id) == []


async def test_large_bodies_wait_for_one_another_and_small_ones_do_not() -> None:
    large = asyncio.Semaphore(1)
    first, second, small = (asyncio.Queue[Message]() for _ in range(3))
    piece = b"x" * SMALL_BYTES_MAX

    async def read(messages: "asyncio.Queue[Message]") -> int:
        async with LargeBodySlot(large) as slot:
            body = await read_body(messages.get, slot)
            return -1 if body is None else len(body)

    def put(messages: "asyncio.Queue[Message]", body: bytes, *, more: bool) -> None:
        messages.put_nowait({"type": "http.request", "body": body, "more_body": more})

    put(first, piece, more=True)
    put(first, b"x", more=True)
    reading_first = asyncio.create_task(read(first))
    await asyncio.sleep(0)
    put(second, piece + b"xx", more=False)
    reading_second = asyncio.create_task(read(second))
    put(small, piece, more=False)
    assert await read(small) == len(piece)
    await asyncio.sleep(0.01)
    assert not reading_second.done()  # nothing of it was lost, and it is not held twice
    put(first, b"", more=False)
    assert await reading_first == len(piece) + 1
    assert await reading_second == len(piece) + 2

    too_large = asyncio.Queue[Message]()
    put(too_large, b"x" * (MESSAGE_BYTES_MAX + 1), more=True)
    reading = asyncio.create_task(read(too_large))
    await asyncio.sleep(0)
    assert not large.locked()  # what is discarded takes no slot
    put(too_large, b"", more=False)
    assert await reading == -1
    assert not large.locked()


async def test_a_sender_that_stops_in_the_middle_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(webhook, "BODY_TIMEOUT_S", 0.05)
    parts: list[Message] = [{"type": "http.request", "body": b"{", "more_body": True}]
    sent: list[Message] = []

    async def receive() -> Message:
        if not parts:
            await asyncio.Future()
        return parts.pop()

    async def send(message: Message) -> None:
        sent.append(message)

    endpoint = webhook.WebhookEndpoint(
        log=MemoryLog(),
        keys=[],
        tolerance_s=300,
        now_s=time.time,
        metrics=IngressMetrics(),
    )
    await endpoint({"type": "http", "method": "POST", "headers": []}, receive, send)
    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]


async def test_another_path_is_told_the_right_one(http: httpx.AsyncClient) -> None:
    for path in ("/", "/webhooks", "/webhooks/telnyx/"):
        answer = await http.post(path, content=b"{}")
        assert answer.status_code == 404
        assert answer.text == "send webhooks to POST /webhooks/telnyx\n"


async def test_health_and_metrics_are_told(http: httpx.AsyncClient) -> None:
    await post(http, body_of())
    live = await http.get("/health/live")
    assert (live.status_code, live.json()) == (200, {"live": True})
    ready = await http.get("/health/ready")
    assert (ready.status_code, ready.json()) == (200, {"ready": True, "because": None})
    metrics = (await http.get("/metrics")).text
    assert 'offhook_webhooks_total{result="stored"}' in metrics
    assert "offhook_webhook_seconds_bucket" in metrics


async def test_a_connection_is_kept_longer_than_clients_keep_it(ingress: Ingress) -> None:
    kept_s = httpx.Limits().keepalive_expiry
    assert kept_s
    reader, writer = await asyncio.open_connection("127.0.0.1", ingress.port)
    for pause_s in (0.0, kept_s + 1):
        await asyncio.sleep(pause_s)
        writer.write(b"GET /health/live HTTP/1.1\r\nhost: ingress\r\n\r\n")
        async with asyncio.timeout(PATIENCE_S):
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
            await reader.readuntil(b'{"live":true}')
    writer.close()
    await writer.wait_closed()


async def _parts(body: bytes) -> AsyncIterator[bytes]:
    """An iterator has no length, so httpx sends it chunked."""
    for start in range(0, len(body), 65_536):
        yield body[start : start + 65_536]
