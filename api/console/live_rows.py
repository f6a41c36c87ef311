"""A row of the live page, from a session as the API lists it with include=legs,last. Pure.

A row is amber while its state has lasted longer than expected:

    setting up    45 s       a phone rings for 30 to 40 s before voicemail answers
    waiting       300 s      most callers have hung up by then
    talking       3,600 s    a long call; it may have been forgotten, and it costs
    a command     10 s       without an outcome; the carrier answers in less than a second
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from offhook.wording.found_row import STATES, between
from offhook.wording.problems import Problem, problems_of

EXPECTED_S: Mapping[str, float] = {
    "setting_up": 45.0,
    "waiting": 300.0,
    "talking": 3_600.0,
}
COMMAND_EXPECTED_S = 10.0
UNSETTLED = ("requested", "pending")
LEG_STATES: Mapping[str, str] = {
    "unseen": "not started",
    "initiated": "ringing",
    "answered": "answered",
    "bridged": "bridged",
    "ended": "ended",
}


@dataclass(frozen=True, kw_only=True)
class Dot:
    """A leg: `state` as the API has it, and words for the reader."""

    state: str
    words: str


@dataclass(frozen=True, kw_only=True)
class Ticking:
    """An age that grows: since when, in seconds at the time of the answer, and what is expected."""

    since: str
    seconds: float
    expected_s: float | None = None

    @property
    def is_late(self) -> bool:
        """Whether it is older than expected."""
        return self.expected_s is not None and self.seconds > self.expected_s


@dataclass(frozen=True, kw_only=True)
class LastEvent:
    """The last webhook: its type, and how long ago it was stored."""

    type: str
    age: Ticking


@dataclass(frozen=True, kw_only=True)
class LastCommand:
    """The last command: `outcome` is a word, `detail` the reason for it."""

    operation: str
    status: str
    outcome: str
    detail: str
    waits: Ticking | None  # until it has an outcome


@dataclass(frozen=True, kw_only=True)
class LiveRow:
    """What a row shows. `version` changes if anything but an age does."""

    session_id: str
    state: str
    state_words: str
    state_age: Ticking | None
    is_parked: bool
    problem: str
    problems: Sequence[Problem]
    started_at: str | None
    age: Ticking | None
    lasted_s: float | None  # once it has ended
    from_number: str
    to_number: str
    dots: Sequence[Dot]
    legs_words: str
    legs_up: Sequence[str]  # their call_control_id
    flow: str
    flow_version: str
    event: LastEvent | None
    command: LastCommand | None
    version: str

    @property
    def is_late(self) -> bool:
        """Whether its state or its last command takes longer than expected."""
        command = self.command.waits if self.command else None
        return any(each is not None and each.is_late for each in (self.state_age, command))


def live_row(session: Mapping[str, Any], now: datetime) -> LiveRow:
    """The row of a session, whose ages are those of `now`."""
    legs: Sequence[Mapping[str, Any]] = session["legs"]
    phase = session["phase"]
    state = phase["name"] if phase else session["status"]
    is_up = session["status"] == "active"
    caller, called = between(session)
    return LiveRow(
        session_id=session["session_id"],
        state=state,
        state_words=STATES.get(state, state),
        state_age=_ticking(phase and phase["since"], now, EXPECTED_S.get(state)),
        is_parked=session["parked"],
        problem=session["fold_error"] or "",
        problems=problems_of(session, legs),
        started_at=session["started_at"] or session["first_stored_at"],
        age=_ticking(session["started_at"], now) if is_up else None,
        lasted_s=_between(session["started_at"], session["ended_at"]),
        from_number=caller,
        to_number=called,
        dots=[Dot(state=leg["state"], words=_leg_words(leg)) for leg in legs],
        legs_words=_legs_words(legs),
        legs_up=[leg["call_control_id"] for leg in legs if leg["state"] not in ("ended", "unseen")]
        if is_up
        else [],
        flow=session["flow"] or "",
        flow_version=session["flow_version"] or "",
        event=_event(session["last_event"], now),
        command=_command(session["last_command"], now),
        version=f"{zlib.crc32(msgspec.json.encode(session)):08x}",
    )


def _event(event: Mapping[str, Any] | None, now: datetime) -> LastEvent | None:
    if event is None:
        return None
    age = _ticking(event["stored_at"], now)
    assert age is not None
    return LastEvent(type=event["event_type"] or "unreadable", age=age)


def _command(command: Mapping[str, Any] | None, now: datetime) -> LastCommand | None:
    if command is None:
        return None
    status = command["status"]
    asked_at = command["decided_at"] or command["requested_at"]
    said = [command["reason"], command["http_status"] and f"HTTP {command['http_status']}"]
    words = ", ".join(str(each).replace("_", " ") for each in said if each)
    return LastCommand(
        operation=command["operation"] or "command",
        status=status,
        outcome=(command["reason"] or status).replace("_", " ") if status == "failed" else status,
        detail=": ".join(each for each in (words, command["detail"]) if each),
        waits=_ticking(asked_at, now, COMMAND_EXPECTED_S) if status in UNSETTLED else None,
    )


def _leg_words(leg: Mapping[str, Any]) -> str:
    parts = [leg["direction"], LEG_STATES.get(leg["state"], leg["state"])]
    if leg["state"] != "ended":
        if leg["held_since"]:
            parts.append("on hold")
        if leg["queue"] and leg["dequeued_at"] is None:
            parts.append(f"in queue {leg['queue']}")
    return " ".join(part for part in parts if part)


def _legs_words(legs: Sequence[Mapping[str, Any]]) -> str:
    if not legs:
        return "no legs"
    counted = "1 leg" if len(legs) == 1 else f"{len(legs)} legs"
    return f"{counted}: {', '.join(map(_leg_words, legs))}"


def _ticking(since: str | None, now: datetime, expected_s: float | None = None) -> Ticking | None:
    if not since:
        return None
    seconds = (now - datetime.fromisoformat(since)).total_seconds()
    return Ticking(since=since, seconds=max(0.0, seconds), expected_s=expected_s)


def _between(start: str | None, end: str | None) -> float | None:
    if not start or not end:
        return None
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
