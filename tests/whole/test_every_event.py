"""One event of every type, and every captured webhook, from the carrier's post to the API's answer.

Through ingress, log, worker and projector, each a process of its own; doubled and in any order.
"""

import asyncio
import dataclasses
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec

from offhook.carrier_events import BY_TYPE, OF_A_CONFERENCE_ALONE
from offhook.cli.embedded.stack import Stack, with_free_ports
from offhook.cli.send.run import body_of
from offhook.codec.webhooks import Webhook, read_webhook, wire_body
from offhook.events import CallEvent, UnknownEvent
from offhook.settings import Settings
from tests.example_events import example_event
from tests.whole.callers import post_body

SESSION = "example-session"
DEADLINE_S = 180.0


def examples() -> list[CallEvent]:
    """An event of every type, a second apart, all of one session."""
    no_leg = {"call_control_id": None, "call_leg_id": None, "call_session_id": None}
    events = []
    for second, event_type in enumerate(BY_TYPE):
        told: dict[str, Any] = {}
        if BY_TYPE[event_type] in OF_A_CONFERENCE_ALONE:
            told = {**no_leg, "creator_call_session_id": SESSION}
        elif event_type == "call.cost":
            told = {"total_cost": "0.0040", "cost_parts": [{"cost": "0.0040", "currency": "USD"}]}
        events.append(example_event(event_type, second=second, **told))
    return events


def test_every_event_type_and_every_captured_webhook_is_shown(
    capture_files: list[Path], tmp_path: Path
) -> None:
    sent = [wire_body(event) for event in examples()] + captured_bodies(capture_files)
    webhooks = [read_webhook(body) for body in sent]
    assert [each for each in webhooks if isinstance(each.event, UnknownEvent)] == []

    settings = with_free_ports(Settings(carrier_key="none"))
    with Stack(tmp_path / "stack", settings, workers=1, with_simulator=False) as stack:
        asyncio.run(deliver(stack, sent))
        shown = wait_for_all(stack, webhooks)
        detail = get(stack, f"/sessions/{SESSION}")["data"]

    # Nothing is lost, nothing is there twice, and every field has come through.
    for webhook in webhooks:
        [fields] = [each for each in shown if each["event_id"] == webhook.event.event_id]
        told = {"attempt": webhook.attempt, **msgspec.to_builtins(webhook.event)}
        assert fields == told
        assert set(fields) == {
            "attempt",
            *(item.name for item in dataclasses.fields(BY_TYPE[webhook.event.event_type])),
        }
    assert len(shown) == len(webhooks)
    check_example(detail)


def check_example(detail: dict[str, Any]) -> None:
    """What the session's views say, once all examples have come."""
    [leg] = detail["legs"]
    assert leg["state"] == "ended"
    assert (leg["direction"], leg["from_number"], leg["to_number"]) == ("direction", "from", "to")
    assert leg["hangup_cause"] == "hangup_cause"
    assert leg["quality"] == {"name": "call_quality_stats"}
    assert (leg["held_since"], leg["queue"], leg["queue_wait_s"]) == (None, "queue", 8.0)
    assert leg["queue_reason"] == "reason"
    assert leg["dequeued_at"] > leg["enqueued_at"]
    assert leg["conference_id"] == "conference_id"
    assert (leg["machine_detection"], leg["machine_greeting"]) == ("result", "result")
    assert leg["dtmf"] == "digit"
    assert leg["gathered"] == {"status": "status", "result": {"name": "result"}}
    assert leg["refer"] == {"state": "failed", "sip_status": 8}
    assert leg["media"] == {
        "speak": "ended",
        "playback": "ended",
        "streaming": "failed",
        "fork": "stopped",
        "siprec": "failed",
    }
    assert leg["transcribed_at"] is not None
    assert leg["recording_error"] == "reason"
    assert (leg["cost"], leg["currency"]) == ("0.0040", "USD")
    assert leg["cost_parts"] == [{"cost": "0.0040", "currency": "USD"}]
    session = detail["session"]
    assert (session["cost"], session["currency"]) == ("0.0040", "USD")
    assert (session["status"], session["leg_count"]) == ("ended", 1)
    assert session["recording_count"] == 1
    assert session["recordings"][0]["recording_id"] == "recording_id"
    assert session["recordings"][0]["conference_id"] == "conference_id"
    [conference] = session["conferences"]
    assert (conference["conference_id"], conference["end_reason"]) == ("conference_id", "reason")


def captured_bodies(capture_files: Sequence[Path]) -> list[bytes]:
    """The captured webhooks as an endpoint receives them, made anew from the other forms."""
    indexes = [path for path in capture_files if path.name == "index.json"]
    types = {
        entry["file"]: entry["event_type"]
        for path in indexes
        for entry in json.loads(path.read_text())["files"]
    }
    return [
        body_of(path, rebuild=True, event_type=types[path.name])
        for path in capture_files
        if path not in indexes
    ]


async def deliver(stack: Stack, bodies: Sequence[bytes]) -> None:
    """Every body twice, in any order, as the carrier signs them; each must be taken."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    order = [*bodies, *bodies]
    random.Random(seed).shuffle(order)
    async with httpx.AsyncClient(trust_env=False, timeout=DEADLINE_S) as http:
        for body in order:
            await post_body(http, stack, body)


def wait_for_all(stack: Stack, webhooks: Sequence[Webhook]) -> list[dict[str, Any]]:
    """The fields of the webhooks that the timelines show, once a worker has decided on each."""
    session_ids = sorted({webhook.session_id for webhook in webhooks})
    deadline = time.monotonic() + DEADLINE_S
    while True:
        entries = [
            entry
            for session_id in session_ids
            for entry in get(stack, f"/sessions/{session_id}/timeline", or_none=True)["data"]
        ]
        shown = [each["fields"] for each in entries if each["type"] == "WebhookReceived"]
        decided = {each["fields"]["cause_seq"] for each in entries if each["type"] == "Decided"}
        if len(decided) >= len(webhooks):
            return shown
        assert time.monotonic() < deadline, f"{len(shown)} shown, {len(decided)} decided"
        time.sleep(0.1)


def get(stack: Stack, path: str, *, or_none: bool = False) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {stack.token}"}
    answer = httpx.get(
        f"{stack.url_of('api')}{path}", headers=headers, trust_env=False, timeout=DEADLINE_S
    )
    if or_none and answer.status_code == 404:
        return {"data": []}
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found
