"""A file with the history of many calls, the same for every contestant, and what must come of it.

    one JSON line an event, in the order in which they were stored:
    {"session_id", "event_id", "stored_at", "body"}     body: the webhook as the carrier sends it

10 events a session on average, 3 to 60; 1 % are repeated deliveries, 0.5 % arrive after an event
that happened later. One seed always gives one file. The oracle is written from the rules below,
apart from any contestant's code.

    a row for each session    state (active, ended), started_at, answered_at, ended_at, talk_s, keys
    a row for each hour       sessions that started in it, that were answered, seconds of talk
"""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

BEGAN = datetime(2026, 11, 20, tzinfo=UTC)
DUPLICATES = 0.01
OUT_OF_ORDER = 0.005
SESSIONS_AT_ONCE = 200


@dataclass(frozen=True, kw_only=True)
class SessionRow:
    """What a contestant's row says; times are ISO texts with microseconds, in UTC."""

    state: str
    started_at: str
    answered_at: str | None
    ended_at: str | None
    talk_s: float | None
    keys: str


@dataclass(kw_only=True)
class HourRow:
    started: int = 0
    answered: int = 0
    talk_s: float = 0.0


@dataclass(kw_only=True)
class Expected:
    """The views that the file must give."""

    sessions: dict[str, SessionRow] = field(default_factory=dict)
    hours: dict[str, HourRow] = field(default_factory=dict)  # by the hour's ISO text


def write_history(path: Path, *, events: int, sessions: int, seed: int) -> None:
    """Write a file of so many events."""
    chance = random.Random(seed)
    distinct = int(events * (1 - DUPLICATES))
    waiting = _calls(chance, distinct, sessions)
    active: list[list[dict[str, Any]]] = []
    arrived: list[dict[str, Any]] = []
    while True:
        while len(active) < SESSIONS_AT_ONCE and (call := next(waiting, None)) is not None:
            active.append(call)
        if not active:
            break
        at = chance.randrange(len(active))
        arrived.append(active[at].pop(0))
        if not active[at]:
            active[at] = active[-1]
            active.pop()
    for _ in range(events - len(arrived)):
        at = chance.randrange(len(arrived))
        arrived.insert(min(len(arrived), at + chance.randrange(1, 500)), arrived[at])
    with path.open("w") as file:
        for number, each in enumerate(arrived):
            stored_at = BEGAN + timedelta(milliseconds=10 * number)
            line = {**each, "stored_at": _iso(stored_at)}
            file.write(json.dumps(line, separators=(",", ":")) + "\n")


def read_history(path: Path) -> Iterator[dict[str, Any]]:
    with path.open() as file:
        for line in file:
            yield json.loads(line)


def expected_of(path: Path) -> Expected:
    """The oracle: by the events alone, sorted by the carrier's time, each id once."""
    events: dict[str, dict[str, dict[str, Any]]] = {}
    for line in read_history(path):
        events.setdefault(line["session_id"], {})[line["event_id"]] = json.loads(line["body"])[
            "data"
        ]
    expected = Expected()
    for session_id, by_id in events.items():
        in_order = sorted(by_id.values(), key=lambda data: (data["occurred_at"], data["id"]))
        times: dict[str, str] = {}
        for data in in_order:
            times.setdefault(data["event_type"], data["occurred_at"])
        started, answered = times["call.initiated"], times.get("call.answered")
        ended = times.get("call.hangup")
        row = SessionRow(
            state="ended" if ended else "active",
            started_at=started,
            answered_at=answered,
            ended_at=ended,
            talk_s=_seconds(answered, ended),
            keys="".join(
                data["payload"]["digit"]
                for data in in_order
                if data["event_type"] == "call.dtmf.received"
            ),
        )
        expected.sessions[session_id] = row
        add_to_hours(expected.hours, row)
    return expected


def add_to_hours(hours: dict[str, HourRow], row: SessionRow) -> None:
    """Count the session in the hour in which it started."""
    hour = hours.setdefault(row.started_at[:13], HourRow())
    hour.started += 1
    hour.answered += row.answered_at is not None
    hour.talk_s = round(hour.talk_s + (row.talk_s or 0.0), 6)


def _calls(chance: random.Random, events: int, sessions: int) -> Iterator[list[dict[str, Any]]]:
    lengths = [3 + min(57, int(chance.expovariate(1 / 7))) for _ in range(sessions)]
    while (left := events - sum(lengths)) != 0:
        at = chance.randrange(sessions)
        lengths[at] = max(3, min(60, lengths[at] + (1 if left > 0 else -1)))
    start = BEGAN
    for number, length in enumerate(lengths):
        start += timedelta(milliseconds=chance.randrange(40, 120) * 8)
        yield _call(chance, number, length, start)


def _call(chance: random.Random, number: int, length: int, start: datetime) -> list[dict[str, Any]]:
    session_id = f"{chance.getrandbits(64):016x}-{number:07d}"
    leg = {
        "call_control_id": f"v3:{chance.getrandbits(256):064x}",
        "call_leg_id": f"{chance.getrandbits(128):032x}",
        "call_session_id": session_id,
        "connection_id": "2811212257810187800",
        "client_state": f"{chance.getrandbits(8 * 40):080x}"[: chance.randrange(8, 80)],
    }
    ends = {
        "from": f"+1202555{chance.randrange(10_000):04d}",
        "to": "+12025550101",
        "start_time": _iso(start),
    }
    is_answered, has_hangup = chance.random() < 0.9, chance.random() < 0.95
    kinds = ["call.initiated"]
    if is_answered:
        kinds.append("call.answered")
    while len(kinds) < length - has_hangup:
        kinds.append(
            chance.choice(("call.dtmf.received", "call.speak.started", "call.speak.ended"))
        )
    if has_hangup:
        kinds.append("call.hangup")
    events = []
    at = start
    for kind in kinds:
        event_id = f"{chance.getrandbits(128):032x}"
        payload: dict[str, Any] = {**leg}
        match kind:
            case "call.initiated":
                payload |= {**ends, "direction": "incoming", "state": "parked"}
            case "call.answered":
                payload |= ends
            case "call.dtmf.received":
                payload |= {
                    "digit": chance.choice("0123456789*#"),
                    "from": ends["from"],
                    "to": ends["to"],
                }
            case "call.speak.ended":
                payload |= {"status": "completed"}
            case "call.hangup":
                payload |= {
                    **ends,
                    "end_time": _iso(at),
                    "hangup_cause": "normal_clearing",
                    "hangup_source": "caller",
                    "sip_hangup_cause": "200",
                }
        data = {
            "record_type": "event",
            "event_type": kind,
            "id": event_id,
            "occurred_at": _iso(at),
            "payload": payload,
        }
        meta = {"attempt": 1, "delivered_to": "https://example.com/webhooks/telnyx"}
        body = json.dumps({"data": data, "meta": meta})
        events.append({"session_id": session_id, "event_id": event_id, "body": body})
        at += timedelta(microseconds=chance.randrange(200_000, 9_000_000))
    # Never the first: a session's start is its first event.
    for ordinal in range(1, len(events) - 1):
        if chance.random() < OUT_OF_ORDER:
            events[ordinal], events[ordinal + 1] = events[ordinal + 1], events[ordinal]
    return events


def _seconds(since: str | None, until: str | None) -> float | None:
    if since is None or until is None:
        return None
    return (datetime.fromisoformat(until) - datetime.fromisoformat(since)).total_seconds()


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")
