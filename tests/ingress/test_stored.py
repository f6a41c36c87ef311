"""What is stored of an authentic webhook, over real HTTP and the real log."""

import asyncio
import json
import time
import uuid

import httpx
import pytest
from nats.aio.client import Client

from offhook.codec.webhooks import read_webhook
from offhook.events import WebhookReceived, session_id_from
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.message import ID_HEADER, TYPE_HEADER, VERSION_HEADER
from offhook.jetstream.subjects import parse
from offhook.telnyx.signature import SIGNATURE_HEADER, TIMESTAMP_HEADER, verify
from tests.ingress.stand import (
    KEY,
    OLD_KEY,
    Ingress,
    body_of,
    post,
    signed,
    stored,
)


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
