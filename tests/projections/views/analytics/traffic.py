"""Two days of made-up calls, as the raw JSON the carrier would send: late, twice, or not at all."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

Event = dict[str, Any]

OPENS_AT = datetime(2026, 11, 20, tzinfo=UTC)
OPEN_S = 42 * 3600
NOW = OPENS_AT + timedelta(seconds=OPEN_S)
CONNECTIONS = ("1001", "1002", "1003")

REPEATED, LOST = 0.12, 0.01
DISORDER = 400  # places that an event may be from where it belongs
SKEW_US = 2_000  # by which a few calls end before they start
ODD_CODES = 60  # more than a reply tells of

_Cause = tuple[str | None, str | None]

_UNANSWERED: tuple[_Cause, ...] = (
    ("user_busy", "486"),
    ("user_busy", "600"),
    ("call_rejected", "603"),
    ("call_rejected", "403"),
    ("no_answer", "480"),
    ("timeout", "408"),
    ("timeout", "487"),
    ("originator_cancel", "487"),
    ("originator_cancel", None),
    ("not_found", "404"),
    ("unspecified", "302"),
    ("unspecified", "500"),
    ("unspecified", "503"),
    ("unspecified", "5030"),
    ("unspecified", "1486"),
    ("unspecified", "1503"),
    ("unspecified", "1302"),
    (None, None),
)
QUEUES = ("support", "sales", "Rückruf")
_LEAVING = ("bridged", "bridged", "bridging-in-process", "hangup", "hangup", "leave", "timeout")
_ANSWERED: tuple[_Cause, ...] = (
    *[("normal_clearing", "200")] * 6,
    ("time_limit", "200"),
    ("unspecified", "408"),
    ("user_busy", "486"),
    ("no_answer", "503"),
    ("call_rejected", "603"),
    ("originator_cancel", "302"),
)


@dataclass(frozen=True, kw_only=True)
class _Leg:
    ids: dict[str, Any]
    direction: str
    events: list[Event] = field(default_factory=list)


_NUMBERS = (
    *[f"+1202555010{digit}" for digit in range(10)],
    "+4930901820",
    "+498912345678",
    "+441632960123",
    "sip:+33199001234@example.com",
    "sip:desk@example.com",
    "anonymous",
    "2025550101",
    "+112",
)


def flows_of(seed: int, events: Sequence[Event]) -> dict[str, tuple[str, str]]:
    """A flow and its version for most of the sessions."""
    chance = random.Random(seed)
    ids = {event["data"]["payload"].get("call_session_id") for event in events} - {None}
    return {
        session_id: (chance.choice(("reception", "notice")), chance.choice("12"))
        for session_id in sorted(ids)
        if chance.random() < 0.8
    }


def traffic(seed: int, calls: int) -> list[Event]:
    """The events of that many calls, in the order in which they arrive."""
    chance = random.Random(seed)
    events = [event for _ in range(calls) for event in _call(chance)]
    arriving = sorted(events, key=lambda event: str(event["data"]["occurred_at"]))
    arriving = [event for event in arriving if chance.random() >= LOST]
    arriving += [event for event in arriving if chance.random() < REPEATED]
    places = [(place + chance.uniform(0, DISORDER), place) for place in range(len(arriving))]
    return [arriving[place] for _, place in sorted(places)]


def _call(chance: random.Random) -> Iterator[Event]:
    # Half of the calls keep to whole seconds, so that many start as others end, and on the edges
    # of buckets.
    step_us = chance.choice((1, 1_000_000))
    session_id = _uuid(chance)
    connection_id = chance.choice(CONNECTIONS)
    start_us = _stepped(chance.uniform(0, OPEN_S), step_us)
    direction = chance.choice(("incoming", "outgoing"))
    first = _leg(chance, session_id, connection_id, direction)
    end_us = _live(chance, first, start_us, step_us, answers=chance.random() < 0.65)
    yield from first.events
    if end_us is not None and chance.random() < 0.2:
        # A transfer: the second leg starts while the first is up.
        second = _leg(chance, session_id, connection_id, "outgoing")
        begins_us = _stepped(chance.uniform(start_us, end_us) / 1e6, step_us)
        _live(chance, second, begins_us, step_us, answers=chance.random() < 0.8)
        yield from second.events
    if chance.random() < 0.02:
        # Without a session id this is a session of its own, with a leg nobody knows anything of.
        stray = _event(chance, first, "call.recording.saved", start_us)
        del stray["data"]["payload"]["call_session_id"]
        yield stray


def _leg(chance: random.Random, session_id: str, connection_id: str, direction: str) -> _Leg:
    ids = {
        "call_control_id": f"v3:{_uuid(chance)}",
        "call_leg_id": _uuid(chance),
        "call_session_id": session_id,
        "connection_id": connection_id,
        "from": chance.choice(_NUMBERS),
        "to": chance.choice(_NUMBERS),
    }
    return _Leg(ids=ids, direction=direction)


def _live(
    chance: random.Random, leg: _Leg, start_us: int, step_us: int, *, answers: bool
) -> int | None:
    """Note the leg's events; returns when it ended, None if it was not answered."""
    started = {"start_time": _text(start_us)}
    told = started if leg.direction == "incoming" else {}
    # The webhook is a little later than what it tells of; only an outgoing start is its own time.
    late_us = chance.randrange(0, 900_000) if told else 0
    noted = {"direction": leg.direction, **told}
    _note(chance, leg, "call.initiated", start_us + late_us, noted)
    if not answers:
        end_us = start_us + _stepped(chance.uniform(0, 60), step_us)
        cause: _Cause = chance.choice(_UNANSWERED)
    else:
        # Now and then the clocks disagree, and the answer comes before the start.
        delay_s = chance.choice((0, -0.25, *[chance.uniform(0, 40)] * 20))
        answer_us = start_us + _stepped(delay_s, step_us)
        _note(chance, leg, "call.answered", answer_us, started)
        if chance.random() < 0.3:
            _note(chance, leg, "call.bridged", answer_us + 100_000, started)
        end_us = answer_us + _talk_us(chance, step_us)
        cause = chance.choice(_ANSWERED)
        if leg.direction == "incoming" and chance.random() < 0.3:
            _wait(chance, leg, answer_us, end_us)
    if chance.random() < 0.005:
        end_us = start_us - SKEW_US
    if leg.direction == "incoming" and chance.random() < 0.9:
        cause = (cause[0], "unspecified")
    elif chance.random() < 0.03:
        cause = ("unspecified", f"odd-{chance.randrange(ODD_CODES)}")
    if end_us < OPEN_S * 1_000_000 and chance.random() >= 0.01:
        named = {
            "hangup_cause": cause[0],
            "sip_hangup_cause": cause[1],
            "hangup_source": chance.choice(("caller", "callee", "unknown", None)),
            "call_quality_stats": _quality(chance) if answers else None,
        }
        ended = {name: value for name, value in named.items() if value is not None}
        if chance.random() < 0.9:
            ended["end_time"] = _text(end_us)
        _note(chance, leg, "call.hangup", end_us, {**started, **ended})
        if answers and chance.random() < 0.8:
            _note(chance, leg, "call.cost", end_us + 2_000_000, _cost(chance))
    return end_us if answers else None


def _wait(chance: random.Random, leg: _Leg, answer_us: int, end_us: int) -> None:
    """Up to three visits to queues."""
    at_us = answer_us
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        queue = {"queue": chance.choice(QUEUES)}
        at_us += 1 + chance.randrange(3_000_000)
        _note(chance, leg, "call.enqueued", at_us, queue)
        wait_s = chance.choice((0, 4, 5, 6, 20, 21, chance.randrange(90)))
        at_us += wait_s * 1_000_000 + chance.randrange(1, 1_000_000)
        reason = chance.choice(_LEAVING)
        if at_us < end_us and chance.random() < 0.95:
            left = {**queue, "reason": reason, "wait_time_secs": wait_s}
            _note(chance, leg, "call.dequeued", at_us, left)
        at_us += chance.randrange(1, 60_000_000)


def _quality(chance: random.Random) -> Event | None:
    if chance.random() < 0.1:
        return None
    packets = chance.randrange(0, 90_000)
    mos = chance.choice(("4.50", "4.4", "3.51", "1", f"{chance.uniform(1, 4.5):.2f}", "unknown"))
    return {
        "inbound": {
            "mos": mos,
            "packet_count": chance.choice((str(packets), str(packets), "many")),
            "skip_packet_count": str(packets // chance.choice((7, 100, 100_000))),
        },
        "outbound": {"packet_count": "1", "skip_packet_count": "1"},
    }


def _cost(chance: random.Random) -> Event:
    total, currency = f"{chance.uniform(0, 2):.4f}", chance.choice(("USD", "USD", "EUR"))
    part = {"call_part": "sip-trunking", "cost": total, "currency": currency}
    return {"total_cost": total, "cost_parts": [part], "status": "success"}


def _talk_us(chance: random.Random, step_us: int) -> int:
    """Around the bound of a short call, a usual talk, or one that takes hours."""
    match chance.randrange(20):
        case 0:
            return 6_000_000
        case 1:
            return 6_000_001
        case 2 | 3:
            return _stepped(chance.uniform(0, 12), step_us)
        case 4:
            return _stepped(chance.uniform(0, 20 * 3600), step_us)
        case _:
            return _stepped(chance.expovariate(1 / 180), step_us)


def _note(chance: random.Random, leg: _Leg, kind: str, at_us: int, more: Event) -> None:
    leg.events.append(_event(chance, leg, kind, at_us, more))


def _event(
    chance: random.Random, leg: _Leg, kind: str, at_us: int, more: Event | None = None
) -> Event:
    return {
        "data": {
            "record_type": "event",
            "event_type": kind,
            "id": _uuid(chance),
            "occurred_at": _text(at_us),
            "payload": {**leg.ids, **(more or {})},
        },
        "meta": {"attempt": chance.choice((1, 1, 1, 2, 3))},
    }


def _stepped(seconds: float, step_us: int) -> int:
    return int(seconds * 1_000_000) // step_us * step_us


def _text(at_us: int) -> str:
    at = OPENS_AT + timedelta(microseconds=at_us)
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _uuid(chance: random.Random) -> str:
    return str(UUID(int=chance.getrandbits(128), version=4))
