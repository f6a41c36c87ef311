"""Real calls, captured from the carrier, sent by `offhook send`: in order, reversed, doubled.

The calls below are shaped like real captures and are always run; with OFFHOOK_CAPTURES set the
captured files themselves are sent as well.
"""

import asyncio
import json
import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from offhook.cli.embedded.stack import Stack, with_free_ports
from offhook.jetstream.client.connection import close, connect
from offhook.projections.views.database.engine import open_database
from offhook.projections.views.legs import legs
from offhook.settings import Settings, environment_from
from tests import forked
from tests.projections.story import caught_up

# Of the captured sequences: which event a payload alone is of.
PAYLOAD_TYPES = {"x2-1": "call.initiated", "x2-2": "call.answered"}
SEQUENCES = ("a", "c", "e", "x2")

Row = Mapping[str, Any]
Batch = tuple[Sequence[Path], Sequence[str]]
"""Files for one `offhook send`, and its options."""


@pytest.fixture
def files(tmp_path: Path, capture_files: list[Path]) -> list[Batch]:
    """Every file with the options it is sent with, in the order of the calls."""
    return [*_written(tmp_path), *_captured(capture_files)]


@pytest.mark.parametrize("order", ["in order", "reversed", "doubled"])
def test_captured_calls_give_what_their_payloads_say(
    order: str, files: list[Batch], tmp_path: Path
) -> None:
    match order:
        case "in order":
            sending = files
        case "reversed":
            sending = files[::-1]
        case _:
            sending = [batch for batch in files for _ in range(2)]
    settings = with_free_ports(Settings(carrier_key="none"))
    with Stack(tmp_path / "stack", settings, workers=1, with_simulator=False) as stack:
        for options, batches in groupby(sending, key=lambda batch: batch[1]):
            _send(stack, [path for paths, _ in batches for path in paths], options)
        legs = asyncio.run(_legs(stack))

    assert legs == _legs_told(files)


def test_a_form_that_is_not_http_is_refused_with_its_name(tmp_path: Path) -> None:
    portal = tmp_path / "portal.json"
    portal.write_text(json.dumps({"event_type": "call.answered", "webhook_id": "1", "payload": {}}))
    answer = _offhook("send", str(portal), "--url", "http://127.0.0.1:9/")
    assert answer.returncode == 1
    assert "portal.json is the form that the portal and the manuals show" in answer.stderr
    assert "--rebuild" in answer.stderr


def _legs_told(files: Sequence[Batch]) -> dict[str, Row]:
    """What the payloads say of each leg, by a reader that shares nothing with the product."""
    legs: dict[str, dict[str, Any]] = {}
    for paths, options in files:
        for path in paths:
            event_type, occurred_at, payload = _told(json.loads(path.read_text()), options)
            leg = legs.setdefault(
                payload["call_control_id"],
                dict.fromkeys(("started", "answered", "ended", "cause", "source", "sip", "talk_s")),
            )
            if "start_time" in payload:
                leg["started"] = _time(payload["start_time"])
            elif event_type == "call.initiated" and leg["started"] is None:
                leg["started"] = occurred_at
            if event_type == "call.answered":
                leg["answered"] = occurred_at
            if event_type == "call.hangup":
                leg["ended"] = _time(payload["end_time"])
                leg["cause"] = payload["hangup_cause"]
                leg["source"] = payload["hangup_source"]
                leg["sip"] = payload["sip_hangup_cause"]
    for leg in legs.values():
        if leg["answered"] and leg["ended"]:
            leg["talk_s"] = (leg["ended"] - leg["answered"]).total_seconds()
    return dict(legs)


def _told(document: Any, options: Sequence[str]) -> tuple[str, datetime | None, Any]:
    if "data" in document:
        data = document["data"]
        return data["event_type"], _time(data["occurred_at"]), data["payload"]
    if "payload" in document:
        return (
            document["event_type"],
            _time(document["payload"]["occurred_at"]),
            document["payload"],
        )
    event_type = options[options.index("--event-type") + 1]
    return event_type, None, document


async def _legs(stack: Stack) -> dict[str, Row]:
    """The rows of the legs, once the views have all that the log has by now."""
    client = await connect(stack.nats.url, "test")
    engine = open_database(stack.settings.postgres_url)
    try:
        await caught_up(client, engine)
        async with engine.connect() as connection:
            rows = list(await connection.execute(select(legs)))
    finally:
        await engine.dispose()
        await close(client)
    return {row.call_control_id: _leg(row) for row in rows}


def _leg(row: Any) -> Row:
    # A payload alone does not tell when the call was answered, so the time of storing stands in.
    rebuilt = row.answered_at is not None and row.answered_at.year >= 2026 and row.ended_at is None
    return {
        "started": row.started_at,
        "answered": None if rebuilt else row.answered_at,
        "ended": row.ended_at,
        "cause": row.hangup_cause,
        "source": row.hangup_source,
        "sip": row.sip_hangup_cause,
        "talk_s": row.talk_s,
    }


def _captured(capture_files: Sequence[Path]) -> list[Batch]:
    batches: list[Batch] = []
    for path in capture_files:
        sequence = path.name.partition("-")[0]
        if sequence not in SEQUENCES:
            continue
        options: list[str] = []
        document = json.loads(path.read_text())
        if "data" not in document:
            options.append("--rebuild")
        if "event_type" not in document and "data" not in document:
            options += ["--event-type", PAYLOAD_TYPES["-".join(path.name.split("-")[:2])]]
        batches.append(([path], options))
    return batches


def _written(directory: Path) -> list[Batch]:
    """An answered inbound call in HTTP form, and an outbound one in the portal's."""
    leg = {
        "call_control_id": "v3:inbound",
        "call_leg_id": "11111111-0000-11f1-8000-000000000001",
        "call_session_id": "11111111-0000-11f1-8000-000000000002",
        "client_state": None,
        "connection_id": "2811212257810187800",
        "from": "+12025550170",
        "to": "+12025550101",
        "start_time": "2025-11-23T03:30:00.076316Z",
    }
    hangup = {
        "end_time": "2025-11-23T03:30:30.816307Z",
        "hangup_cause": "normal_clearing",
        "hangup_source": "caller",
        "sip_hangup_cause": "200",
    }
    http = [
        ("call.initiated", "03:30:00.076316", {"direction": "incoming", "state": "parked"}),
        ("call.answered", "03:30:00.996306", {}),
        ("call.speak.started", "03:30:02.456310", {"speak_id": "s"}),
        ("call.hangup", "03:30:30.816307", hangup),
    ]
    outbound = {
        "call_control_id": "v3:outbound",
        "call_leg_id": "22222222-0000-11f1-8000-000000000001",
        "call_session_id": "22222222-0000-11f1-8000-000000000002",
        "connection_id": "2811212257810187800",
        "from": "+12025550100",
        "to": "+447700900103",
    }
    start = {"start_time": "2025-09-02T09:17:44.596122Z"}
    portal = [
        ("call.initiated", "09:17:43.976123", {"direction": "outgoing", "state": "bridging"}),
        ("call.answered", "09:17:59.616122", start),
        (
            "call.hangup",
            "09:18:06.396120",
            {**start, **hangup, "end_time": "2025-09-02T09:18:06.396120Z"},
        ),
    ]
    batches: list[Batch] = []
    for number, (event_type, at, more) in enumerate(http):
        data = {
            "record_type": "event",
            "event_type": event_type,
            "id": f"00000000-0000-4000-8000-00000000000{number}",
            "occurred_at": f"2025-11-23T{at}Z",
            "payload": {**leg, **more},
        }
        document = {"data": data, "meta": {"attempt": 1, "delivered_to": "https://example.com"}}
        batches.append(([_json(directory / f"http-{number}.json", document)], []))
    for number, (event_type, at, more) in enumerate(portal):
        flat = {
            "created_at": f"2025-09-02T{at}Z",
            "event_type": event_type,
            "payload": {**outbound, **more, "occurred_at": f"2025-09-02T{at}Z"},
            "record_type": "event",
            "webhook_id": f"00000000-0000-4000-8000-00000000001{number}",
        }
        batches.append(([_json(directory / f"portal-{number}.json", flat)], ["--rebuild"]))
    return batches


def _json(path: Path, document: object) -> Path:
    path.write_text(json.dumps(document))
    return path


def _send(stack: Stack, paths: Sequence[Path], options: Sequence[str]) -> None:
    answer = _offhook("send", *map(str, paths), *options, settings=stack.settings)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith("200 ")


def _offhook(
    *arguments: str, settings: Settings | None = None
) -> "subprocess.CompletedProcess[str]":
    return forked.offhook(*arguments, env={"PATH": "", **environment_from(settings or Settings())})


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
