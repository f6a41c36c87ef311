"""What every kind of request to ingress is answered, over real HTTP and the real log."""

import asyncio
import base64
import json
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from nacl.signing import SigningKey
from nats.aio.client import Client

from offhook.cli.embedded.nats_server import NatsServer
from offhook.codec.webhooks import read_webhook
from offhook.events import WebhookReceived, session_id_from
from offhook.ingress import webhook
from offhook.ingress.body import SMALL_BYTES_MAX, LargeBodySlot, read_body
from offhook.ingress.metrics import IngressMetrics
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.message import ID_HEADER, TYPE_HEADER, VERSION_HEADER
from offhook.jetstream.stream import MESSAGE_BYTES_MAX
from offhook.jetstream.subjects import parse
from offhook.process.asgi import Message
from offhook.telnyx.signature import SIGNATURE_HEADER, TIMESTAMP_HEADER, verify
from tests.ingress.stand import (
    KEY,
    PATH,
    PATIENCE_S,
    PATIENT_LOG_TIMEOUT_S,
    Ingress,
    body_of,
    last_seq,
    post,
    provisioned,
    running_ingress,
    settings_on,
    signed,
    stored,
    until,
)
from tests.memory_log import MemoryLog

OLD_KEY = SigningKey.generate()


@pytest.fixture(scope="module")
def ingress(nats_server: NatsServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ingress]:
    asyncio.run(provisioned(nats_server))
    log_path: Path = tmp_path_factory.mktemp("ingress") / "log"
    settings = settings_on(nats_server, OLD_KEY, KEY)
    with running_ingress(settings, log_path, PATIENT_LOG_TIMEOUT_S) as running:
        yield running


@pytest.fixture
async def nats_client(nats_server: NatsServer) -> AsyncIterator[Client]:
    client = await connect(nats_server.url, "test")
    yield client
    await close(client)


def of_size(size: int, session_id: str) -> bytes:
    bare = len(body_of(session_id=session_id, filler=""))
    body = body_of(session_id=session_id, filler="x" * (size - bare))
    assert len(body) == size
    return body


# ------------------------------------------------------------------ 200


async def test_an_authentic_webhook_is_stored_as_it_came(
    http: httpx.AsyncClient, nats_client: Client
) -> None:
    session_id, event_id = str(uuid.uuid4()), str(uuid.uuid4())
    # Spaces, an escape and a number that no JSON round trip would keep.
    body = body_of(event_id=event_id, session_id=session_id).replace(b'"meta"', b'  "m\\u0065ta"')
    headers = signed(body)

    answer = await post(http, body, headers)

    assert (answer.status_code, answer.content) == (200, b"")
    (message,) = await stored(nats_client, session_id)
    assert answer.headers["offhook-position"] == str(message.seq)
    again = await post(http, body, signed(body))
    assert again.headers["offhook-position"] == str(message.seq)
    assert message.data == body
    assert message.headers == {
        ID_HEADER: event_id,
        TYPE_HEADER: "WebhookReceived",
        VERSION_HEADER: "1",
        SIGNATURE_HEADER: headers[SIGNATURE_HEADER],
        TIMESTAMP_HEADER: headers[TIMESTAMP_HEADER],
    }


async def test_what_is_stored_can_be_verified_again(
    http: httpx.AsyncClient, nats_client: Client
) -> None:
    session_id = str(uuid.uuid4())
    await post(http, body_of(session_id=session_id))
    (message,) = await stored(nats_client, session_id)
    assert message.data is not None
    assert message.headers is not None
    verify(message.data, message.headers, [KEY.verify_key], time.time())


async def test_the_log_reads_it_as_the_event_it_is(
    http: httpx.AsyncClient, nats_client: Client
) -> None:
    session_id, event_id = str(uuid.uuid4()), str(uuid.uuid4())
    await post(http, body_of(event_id=event_id, session_id=session_id))
    (record,) = await JetStreamLog(nats_client).read(session_id)
    assert (record.fact_id, record.session_id) == (event_id, session_id)


async def test_a_trace_is_kept_if_it_is_one(http: httpx.AsyncClient, nats_client: Client) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for given, kept in ((trace, trace), ("00-nonsense", None)):
        session_id = str(uuid.uuid4())
        body = body_of(session_id=session_id)
        await post(http, body, {**signed(body), "traceparent": given})
        (message,) = await stored(nats_client, session_id)
        assert (message.headers or {}).get("traceparent") == kept


async def test_a_repeated_webhook_is_taken_and_stored_once(
    ingress: Ingress, http: httpx.AsyncClient, nats_client: Client
) -> None:
    session_id = str(uuid.uuid4())
    body = body_of(session_id=session_id)
    before = ingress.counted("duplicate")
    answers = [await post(http, body) for _ in range(3)]
    assert [(each.status_code, each.content) for each in answers] == [(200, b"")] * 3
    assert len(await stored(nats_client, session_id)) == 1
    assert ingress.counted("duplicate") - before == 2


async def test_copies_at_the_same_time_are_stored_once(
    http: httpx.AsyncClient, nats_client: Client
) -> None:
    session_id = str(uuid.uuid4())
    body = body_of(session_id=session_id)
    answers = await asyncio.gather(*[post(http, body) for _ in range(20)])
    assert {each.status_code for each in answers} == {200}
    assert len(await stored(nats_client, session_id)) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not JSON at all \x00\xff\xfe",
        b'"a text"',
        b"[1, 2, 3]",
        b"[" * 5000,
        b'{"data": null}',
        b'{"data": {"event_type": "call.initiated", "id": 7, "payload": {}}}',
        b'{"data": {"event_type": "call.initiated", "id": "\\ud800", "payload": {}}}',
        b'{"event_type": "call_initiated", "id": "e", "payload": {"call_session_id": "s"}}',
    ],
    ids=["empty", "bytes", "text", "list", "deep", "null", "number-id", "surrogate", "v1-shape"],
)
async def test_an_authentic_body_of_any_shape_is_stored_in_a_session_of_its_own(
    http: httpx.AsyncClient, nats_client: Client, body: bytes
) -> None:
    answer = await post(http, body)
    assert (answer.status_code, answer.content) == (200, b"")
    (message,) = await stored(nats_client, read_webhook(body).session_id)
    assert (message.data or b"") == body


@pytest.mark.parametrize("event_type", ["call.dreamt_of", "conference.created", "message.received"])
async def test_an_event_type_nobody_knows_is_stored_with_its_session(
    http: httpx.AsyncClient, nats_client: Client, event_type: str
) -> None:
    session_id = str(uuid.uuid4())
    body = body_of(session_id=session_id, event_type=event_type)
    assert (await post(http, body)).status_code == 200
    (message,) = await stored(nats_client, session_id)
    assert message.data == body


ODD_CHARACTER = (
    b'{"data":{"event_type":"call.initiated","id":"#",'
    b'"payload":{"call_session_id":"#","note":"\\ud83d"}}}'
)
WITHOUT_ID = b'{"data":{"event_type":"call.initiated","payload":{"call_session_id":"#"}}}'
MESSAGE = b'{"data":{"event_type":"message.received","id":"#","payload":{"text":"hello"}}}'


@pytest.mark.parametrize(
    ("body", "oddity", "version", "is_logged"),
    [
        (ODD_CHARACTER, "lenient_json", "2", True),
        (WITHOUT_ID, "no_id", "2", False),
        (MESSAGE, "no_call", "1", False),
        (b"CallSid=#&CallStatus=ringing", "not_json", "1", True),
        (b'{"hello": "#"}', "no_event", "2", True),
    ],
    ids=["odd character", "no id", "message", "texml", "no event"],
)
async def test_an_odd_webhook_is_stored_and_counted_once(
    ingress: Ingress,
    http: httpx.AsyncClient,
    nats_client: Client,
    body: bytes,
    oddity: str,
    version: str,
    is_logged: bool,
) -> None:
    body = body.replace(b"#", str(uuid.uuid4()).encode())
    before = ingress.odd(oddity)
    for _ in range(2):
        assert (await post(http, body)).status_code == 200
    assert ingress.odd(oddity) == before + 1
    webhook = read_webhook(body)
    (message,) = await stored(nats_client, webhook.session_id)
    assert message.data == body
    assert (message.headers or {})[VERSION_HEADER] == version
    # Of each kind the first is logged at once, and the others once in a while.
    logged = [line for line in ingress.log_lines() if oddity in line.get("oddities", ())]
    assert bool(logged) == is_logged
    assert all(line["session_id"] and line["event_id"] for line in logged)
    (record,) = await JetStreamLog(nats_client).read(webhook.session_id)
    assert isinstance(record.fact, WebhookReceived)
    assert record.fact.event == webhook.event


async def test_a_retry_of_an_event_without_an_id_is_a_duplicate(
    ingress: Ingress, http: httpx.AsyncClient, nats_client: Client
) -> None:
    session_id = str(uuid.uuid4())
    data = {"event_type": "call.initiated", "payload": {"call_session_id": session_id}}
    before = ingress.counted("duplicate")
    for attempt in (1, 2, 3):
        body = json.dumps({"data": data, "meta": {"attempt": attempt}}).encode()
        assert (await post(http, body)).status_code == 200
    assert ingress.counted("duplicate") == before + 2
    assert len(await stored(nats_client, session_id)) == 1


async def test_either_of_two_keys_may_sign_during_a_rotation(
    http: httpx.AsyncClient, nats_client: Client
) -> None:
    for key in (OLD_KEY, KEY):
        session_id = str(uuid.uuid4())
        body = body_of(session_id=session_id)
        assert (await post(http, body, signed(body, key))).status_code == 200
        assert len(await stored(nats_client, session_id)) == 1


# ------------------------------------------------------------------ ids and sessions


@pytest.mark.parametrize(
    "event_id",
    [
        "x" * 10_000,
        "x\r\nNats-Rollup: all",
        "x\nx",
        "\x00\x01\x7f",
        "with a space",
        "ünïcode ☎",
        "*.>",
        "x" * 128,
    ],
    ids=["10-kB", "header", "line", "control", "space", "unicode", "wildcards", "128"],
)
async def test_any_event_id_is_stored_once_and_adds_no_header(
    http: httpx.AsyncClient, nats_client: Client, event_id: str
) -> None:
    session_id = str(uuid.uuid4())
    body = body_of(event_id=event_id + session_id[:8], session_id=session_id)
    for _ in range(2):
        assert (await post(http, body)).status_code == 200
    (message,) = await stored(nats_client, session_id)
    assert message.data == body
    assert set(message.headers or {}) == {
        ID_HEADER,
        TYPE_HEADER,
        VERSION_HEADER,
        SIGNATURE_HEADER,
        TIMESTAMP_HEADER,
    }


async def test_ids_that_differ_by_a_last_line_break_are_two_events(
    http: httpx.AsyncClient, nats_client: Client
) -> None:
    session_id, event_id = str(uuid.uuid4()), str(uuid.uuid4())
    for each in (event_id, f"{event_id}\n"):
        body = body_of(event_id=each, session_id=session_id)
        assert (await post(http, body)).status_code == 200
    assert len(await stored(nats_client, session_id)) == 2


@pytest.mark.parametrize(
    "text",
    ["with space ", "a.b.c ", "*", ">", "a.*.>", "ünï-☎-", "x" * 200, "\r\nPUB x 0", "$JS.API"],
)
@pytest.mark.parametrize("name", ["call_session_id", "creator_call_session_id", "conference_id"])
async def test_any_session_id_becomes_a_subject_of_the_log(
    http: httpx.AsyncClient, nats_client: Client, text: str, name: str
) -> None:
    text = text + uuid.uuid4().hex
    payload = {"call_session_id": None, name: text}
    data = {"event_type": "call.answered", "id": str(uuid.uuid4()), "payload": payload}
    body = json.dumps({"data": data}).encode()
    assert (await post(http, body)).status_code == 200
    session_id = session_id_from(text)
    (message,) = await stored(nats_client, session_id)
    assert message.data == body
    assert message.subject is not None
    place = parse(message.subject)
    assert place is not None
    assert place.session_id == session_id


# ------------------------------------------------------------------ refused


@pytest.mark.parametrize(
    ("case", "status", "reason", "words"),
    [
        ("no-signature", 403, "no_signature", "telnyx-signature-ed25519 is missing"),
        ("no-timestamp", 403, "no_signature", "telnyx-timestamp is missing"),
        ("neither", 403, "no_signature", "telnyx-signature-ed25519 is missing"),
        ("empty", 403, "no_signature", "is missing or empty"),
        ("wrong-key", 403, "bad_signature", "fits none of 2 known public keys"),
        ("altered-body", 403, "bad_signature", "fits none of 2 known public keys"),
        ("altered-time", 403, "bad_signature", "fits none of 2 known public keys"),
        ("no-base64", 403, "bad_signature", "fits none of 2 known public keys"),
        ("short", 403, "bad_signature", "fits none of 2 known public keys"),
        ("word-time", 403, "bad_signature", "expected Unix seconds"),
        ("endless-time", 403, "bad_signature", "expected Unix seconds"),
        ("stale-and-altered", 403, "bad_signature", "fits none of 2 known public keys"),
        ("stale", 408, "timestamp", "the tolerance is 300 s"),
        ("ahead", 408, "timestamp", "the tolerance is 300 s"),
        ("api-v1", 403, "api_v1", 'set webhook_api_version of the application to "2"'),
    ],
)
async def test_what_is_not_authentic_is_refused_counted_and_not_stored(
    ingress: Ingress,
    http: httpx.AsyncClient,
    nats_client: Client,
    case: str,
    status: int,
    reason: str,
    words: str,
) -> None:
    session_id = str(uuid.uuid4())
    body = body_of(session_id=session_id)
    good = signed(body)
    now = good[TIMESTAMP_HEADER]
    headers = {
        "no-signature": {TIMESTAMP_HEADER: now},
        "no-timestamp": {SIGNATURE_HEADER: good[SIGNATURE_HEADER]},
        "neither": {},
        "empty": {**good, SIGNATURE_HEADER: ""},
        "wrong-key": signed(body, SigningKey.generate()),
        "altered-body": signed(body + b" "),
        "altered-time": {**good, TIMESTAMP_HEADER: str(int(now) - 1)},
        "no-base64": {**good, SIGNATURE_HEADER: "%%%"},
        "short": {**good, SIGNATURE_HEADER: "AAAA"},
        "word-time": {**good, TIMESTAMP_HEADER: "today"},
        "endless-time": _signed_at("9" * 400, body),
        "stale-and-altered": signed(body + b" ", age_s=400),
        "stale": signed(body, age_s=310),
        "ahead": signed(body, age_s=-310),
        "api-v1": {"x-telnyx-signature": "t=1763868600,h=3f2a"},
    }[case]
    before = ingress.counted(reason)

    answer = await post(http, body, headers)

    assert answer.status_code == status
    assert words in answer.text
    assert ingress.counted(reason) - before == 1
    assert await stored(nats_client, session_id) == []
    # The first of each reason is logged at once; the others are counted, see below.
    line = next(line for line in ingress.log_lines() if line.get("reason") == reason)
    assert (line["what"], line["status"]) == ("webhook refused", status)
    assert line["detail"]


async def test_refused_webhooks_do_not_fill_the_log(
    ingress: Ingress, http: httpx.AsyncClient
) -> None:
    """Anybody can send them: one line each was 14 GB a day at 790 a second."""
    before, lines = ingress.counted("no_signature"), len(ingress.log_lines())
    answers = await asyncio.gather(*(post(http, b"{}", {}) for _ in range(60)))
    assert {answer.status_code for answer in answers} == {403}
    assert ingress.counted("no_signature") - before == 60
    assert len(ingress.log_lines()) - lines < 10


def _signed_at(timestamp: str, body: bytes) -> dict[str, str]:
    signature = base64.b64encode(KEY.sign(timestamp.encode() + b"|" + body).signature).decode()
    return {SIGNATURE_HEADER: signature, TIMESTAMP_HEADER: timestamp}


# ------------------------------------------------------------------ sizes and methods


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


# ------------------------------------------------------------------ health


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
    for _ in range(2):
        writer.write(b"GET /health/live HTTP/1.1\r\nhost: ingress\r\n\r\n")
        async with asyncio.timeout(PATIENCE_S):
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
            await reader.readuntil(b'{"live":true}')
        await asyncio.sleep(kept_s + 1)
    writer.close()
    await writer.wait_closed()


async def _parts(body: bytes) -> AsyncIterator[bytes]:
    """An iterator has no length, so httpx sends it chunked."""
    for start in range(0, len(body), 65_536):
        yield body[start : start + 65_536]
