"""Webhooks that are not authentic: refused, counted, and not stored."""

import asyncio
import base64
import uuid

import httpx
import pytest
from nacl.signing import SigningKey
from nats.aio.client import Client

from offhook.telnyx.signature import SIGNATURE_HEADER, TIMESTAMP_HEADER
from tests.ingress.stand import (
    KEY,
    Ingress,
    body_of,
    post,
    signed,
    stored,
)


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
