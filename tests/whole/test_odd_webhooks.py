"""Webhooks that are not as the documents say, from the carrier's post to the API's answer.

Through ingress, log, worker and projector, each a process of its own.
"""

import asyncio
import json
import re
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from offhook.cli.embedded.stack import Stack, with_free_ports
from offhook.events import session_id_from
from offhook.jetstream.stream import MESSAGE_BYTES_MAX
from offhook.settings import Settings
from tests.whole.callers import post_body

DEADLINE_S = 180.0

ODD_VALUES = {
    "half a pair": rb'"cut off \ud83d"',
    "latin-1": b'"Jos\xe9"',
    "cesu-8": b'"\xed\xa0\xbd\xed\xb8\x80"',
    "control characters": b'"a\tb\nc\x00d"',
    "nul": rb'"a\u0000b"',
    "nan": b"NaN",
    "infinity": b"1e999",
    "integer": b"9" * 40,
    "digits": b"9" * 5_000,
    "nested": b"[" * 900 + b"]" * 900,
    "too deep": b"[" * 5_000 + b"]" * 5_000,
}
PLACES = ("call_quality_stats", "unheard_of")  # into a column of JSON, and into the payload alone

OTHERS = (
    b'{"data":{"event_type":"message.received","id":"other-1","payload":{"to":[]}}}',
    b'{"data":{"event_type":"fax.received","id":"other-2","payload":{"fax_id":"f"}}}',
    b'{"data":{"event_type":"number_order.complete","id":"other-3"}}',
    b"CallSid=1&CallStatus=ringing",
    b'{"data":{"event_type":"call.hang',
    b"{}",
)


TRANSCRIPT = "\u0928\u092e\u0938\u094d\u0924\u0947 " * 160_000
"""In Hindi: 5.9 MB of JSON with escapes, several times what is said in 4 hours."""


def test_a_call_whose_webhooks_are_odd_is_followed_to_its_end(tmp_path: Path) -> None:
    odd = [call(place, value) for value in ODD_VALUES.values() for place in PLACES]
    bodies = [body for each in odd for body in each]
    bodies += [without_id(body) for body in call("unheard_of", b"null")]
    long_call = call("unheard_of", b"null")
    session_of_long_call = json.loads(long_call[0])["data"]["payload"]["call_session_id"]
    bodies += [long_call[0], transcript_of(long_call[0]), long_call[1]]
    settings = with_free_ports(Settings(carrier_key="none", flows=("tests.whole.flows:watching",)))
    with Stack(tmp_path / "stack", settings, workers=1, with_simulator=False) as stack:
        again = asyncio.run(deliver(stack, [*OTHERS, *bodies]))
        seen = ended(stack, len(odd) + 2)
        for session in seen:
            assert (session["flow"], session["parked"], session["fold_error"]) == (
                "watching",
                False,
                None,
            )
            session_id = session["session_id"]
            [leg] = get(stack, f"/sessions/{session_id}")["data"]["legs"]
            assert (leg["direction"], leg["hangup_cause"]) == ("incoming", "normal_clearing")
            assert (leg["from_number"], leg["to_number"]) == ("+12025550170", "+12025550101")
            timeline = get(stack, f"/sessions/{session_id}/timeline")["data"]
            assert {each["error"] for each in timeline} == {""}
            webhooks = [each["fields"] for each in timeline if each["type"] == "WebhookReceived"]
            assert len(webhooks) == (3 if session_id == session_of_long_call else 2)
        long_timeline = get(stack, f"/sessions/{session_of_long_call}/timeline")["data"]
        texts = [each["fields"].get("transcription_text") for each in long_timeline]
        assert [text for text in texts if text] == [TRANSCRIPT]
        # What is of no call is kept, and no session.
        assert len(get(stack, "/sessions?limit=250")["data"]) == len(seen)
        other = session_id_from("other-1")
        assert len(get(stack, f"/sessions/{other}/timeline")["data"]) == 2
        assert get(stack, f"/sessions/{other}", status=404)["errors"]
        url = f"{stack.url_of('ingress')}/metrics"
        metrics = httpx.get(url, timeout=DEADLINE_S, trust_env=False).text
    for oddity, count in (("no_call", 3), ("no_id", 2), ("not_json", 2), ("no_event", 1)):
        counted = re.search(
            rf'^offhook_webhooks_odd_total{{oddity="{oddity}"}} (\d+)', metrics, re.M
        )
        assert counted, oddity
        # One that was stored although it was refused is a known one when it comes again.
        assert count - again <= int(counted[1]) <= count


def call(place: str, value: bytes) -> list[bytes]:
    """The webhooks of a call that is given up, with a JSON value in a place of the payload."""
    # Just now: a call that began hours ago is past its time limit, so it counts as ended at once.
    began_at = datetime.now(UTC)
    leg = {
        "call_control_id": f"v3:{uuid.uuid4().hex}",
        "call_session_id": str(uuid.uuid4()),
        "direction": "incoming",
        "from": "+12025550170",
        "to": "+12025550101",
        "hangup_cause": "normal_clearing",
        place: "#",
    }
    return [
        json.dumps(
            {
                "data": {
                    "event_type": event_type,
                    "id": str(uuid.uuid4()),
                    "occurred_at": (began_at + timedelta(seconds=second)).isoformat(),
                    "payload": leg,
                }
            }
        )
        .encode()
        .replace(b'"#"', value)
        for second, event_type in enumerate(("call.initiated", "call.hangup"))
    ]


def transcript_of(initiated: bytes) -> bytes:
    document = json.loads(initiated)
    document["data"]["event_type"] = "call.recording.transcription.saved"
    document["data"]["id"] = str(uuid.uuid4())
    document["data"]["payload"]["transcription_text"] = TRANSCRIPT
    body = json.dumps(document).encode()
    assert 5_900_000 < len(body) < MESSAGE_BYTES_MAX
    return body


def without_id(body: bytes) -> bytes:
    document = json.loads(body)
    del document["data"]["id"]
    return json.dumps(document).encode()


async def deliver(stack: Stack, bodies: Sequence[bytes]) -> int:
    """How many were refused at first, and posted again."""
    async with httpx.AsyncClient(trust_env=False, timeout=DEADLINE_S) as http:
        return sum([await post_body(http, stack, body) > 1 for body in bodies])


def ended(stack: Stack, count: int) -> list[dict[str, Any]]:
    """The sessions that have ended and that the flow was asked for, once there are so many."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        found = get(stack, "/sessions?status=ended&limit=250")["data"]
        asked = [session for session in found if session["flow"]]
        if len(asked) >= count:
            return asked
        assert time.monotonic() < deadline, f"{len(found)} ended, {len(asked)} asked, of {count}"
        time.sleep(0.2)


def get(stack: Stack, path: str, *, status: int = 200) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {stack.token}"}
    url = f"{stack.url_of('api')}{path}"
    answer = httpx.get(url, headers=headers, trust_env=False, timeout=DEADLINE_S)
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found
