"""Seeded sessions, and which of them a filter finds, in plain Python."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from operator import eq
from typing import Any

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.projections.views.commands import commands
from offhook.projections.views.legs import legs
from offhook.projections.views.search.session_filter import UNKNOWN, SessionFilter
from offhook.projections.views.sessions import sessions

TEXTS = (
    *("call_control_id", "from_number", "to_number"),
    *("hangup_cause", "hangup_source", "sip_hangup_cause"),
)
EQUAL = ("connection_id", "direction", "flow", "flow_version")
SPANS = {
    "duration_s": ("started_at", "ended_at"),
    "answer_delay_s": ("started_at", "answered_at"),
    "talk_s": ("answered_at", "ended_at"),
}
PARTS = ("legs", "commands")
NOW = datetime(2026, 11, 22, 13, tzinfo=UTC)
COUNT = 250
SOME_IDS = ",".join([*(f"s{number}" for number in range(7, 17)), "s700"])
"""Ten that are there: a list leaves out a quarter of all, of a few perhaps each."""

NUMBERS = (
    *("+12025550101", "12025550101", "+12025550199", "+4930123456", "4930123499", "+442071234"),
    *("anonymous", "100%", "+1_2", "sip:+12025550101@example.com", None),
)
WANTED_NUMBERS = (
    *("+12025550101", "+4930123456,+12025550199", "+12025550101,!*99", "anonymous"),
    *("+1202*", "*0101", "4930*,*34", "*", "!+1202*", "+44205550102", "*5550102", "+999"),
)
RAISED = {"flow_raised", "flow_raised_from", "flow_raised_before"}
CAUSES = ("normal_clearing", "user_busy", "not_found", None)
REFUSED = {"operation": "dial", "reason": "refused", "http_status": 422, "count": 1}
LATE = {"operation": "transfer", "reason": "deadline", "http_status": None, "count": 3}
FAILED = {"operation": "transfer", "reason": "refused", "http_status": 500, "count": 1}
FILTERS = (
    *(SessionFilter(from_number=each) for each in ("+12025550101", "+1202*", "*99", "!+1202*")),
    *(SessionFilter(to_number=each) for each in ("100%", "+1_*", "+4930*,!*99", "anonymous,*34")),
    *(
        SessionFilter(number=each)
        for each in ("+12025550101", "4930*", "*0199", "sip:*", "!+1202*")
    ),
    SessionFilter(number="+1202*,+49*,!*01", status="ended"),
    *(
        SessionFilter(number=each)
        for each in ("+4420555*", "+44205550102", "*5550102", "!*5550102")
    ),
    SessionFilter(number="+4420555*", started_from=NOW - timedelta(hours=2)),
    SessionFilter(number="+4420555*", status="empty"),
    *(SessionFilter(hangup_cause=each) for each in ("user_busy", "user_busy,not*", "!n*")),
    *(SessionFilter(sip_hangup_cause=each) for each in ("4*", "!200", "*6")),
    *(SessionFilter(session_id=each) for each in (SOME_IDS, "s1*", "!s2*,!*3")),
    SessionFilter(call_control_id="v3:s1*"),
    SessionFilter(any_leg=True, call_control_id="v3:s7-2,v3:s7-1,*3-1"),
    SessionFilter(hangup_source="caller", direction="incoming"),
    SessionFilter(flow="b", flow_version="2"),
    SessionFilter(failed=True),
    SessionFilter(failed=False, connection_id="1"),
    *(SessionFilter(failed_command=each) for each in ("*", "dial", "refused,!500", "5*,trans*")),
    SessionFilter(failed_command="!*", status="ended"),
    SessionFilter(failed_command="*", status="empty"),
    SessionFilter(failed_command="*", started_from=NOW - timedelta(hours=2)),
    SessionFilter(flow_raised=True),
    SessionFilter(flow_raised=False, status="ended"),
    SessionFilter(flow_raised=True, status="empty"),
    SessionFilter(flow_raised_from=NOW - timedelta(hours=2), started_before=NOW),
    SessionFilter(
        flow_raised_from=NOW - timedelta(hours=2), flow_raised_before=NOW - timedelta(hours=1)
    ),
    SessionFilter(any_leg=True, flow_raised_before=NOW - timedelta(hours=1), direction="outgoing"),
    SessionFilter(status="empty", started_before=NOW - timedelta(hours=2)),
    SessionFilter(any_leg=True, failed_command="refused", direction="outgoing"),
    SessionFilter(started_from=NOW - timedelta(hours=2), started_before=NOW - timedelta(hours=1)),
    SessionFilter(ended_from=NOW - timedelta(hours=2), ended_before=NOW - timedelta(hours=1)),
    SessionFilter(duration_s_min=30, duration_s_max=60),
    SessionFilter(duration_s_max=0.5),
    SessionFilter(answered=True),
    SessionFilter(answered=False, status="ended"),
    SessionFilter(answer_delay_s_min=2.5, answer_delay_s_max=10),
    SessionFilter(talk_s_min=30),
    SessionFilter(talk_s_max=20),
    SessionFilter(hangup_cause="!*", status="ended"),
    SessionFilter(flow="!*", flow_version="1"),
    SessionFilter(any_leg=True, connection_id="!*", direction="incoming"),
    SessionFilter(sip_hangup_cause="*"),
    SessionFilter(any_leg=True),
    SessionFilter(any_leg=True, hangup_cause="user_busy", sip_hangup_cause="486"),
    SessionFilter(any_leg=True, hangup_cause="!*", direction="outgoing", failed=False),
    SessionFilter(any_leg=True, flow="b", from_number="+1202*", number="+4930*"),
    SessionFilter(any_leg=True, talk_s_min=30, answer_delay_s_max=2.5),
    SessionFilter(any_leg=True, answered=False, started_from=NOW - timedelta(hours=1)),
    SessionFilter(status="active"),
    SessionFilter(status="empty"),
)


def seeded(seed: int, delayed: float = 0.5) -> list[dict[str, Any]]:
    """Rows of sessions, with those of their legs and commands; `delayed`: the share of them."""
    any_of = random.Random(seed)
    rows = []
    for number in range(1, COUNT + 1):
        # Some start at the same time.
        started_at = NOW - timedelta(minutes=any_of.randrange(250))
        delay_s = any_of.choice((0, 0, 0, 60, 70, 5_000, -60, -70, -5_000))
        stored_at = started_at + timedelta(seconds=delay_s if any_of.random() < delayed else 0)
        status = any_of.choice(("ended", "ended", "active", "empty"))
        ended_at = started_at + timedelta(seconds=any_of.choice((0, 30, 60, 600)))
        its_legs = [
            {
                **_row(any_of, started_at + timedelta(seconds=later_s), ended_at, status),
                "call_control_id": f"v3:s{number}-{place}",
            }
            for place, later_s in enumerate((0, any_of.choice((0, 30)), any_of.choice((0, 9_000))))
        ]
        its_commands = [_command(any_of, f"s{number}-{place}") for place in range(2)]
        starts = [leg["started_at"] for leg in its_legs if leg["started_at"]]
        rows.append(
            {
                **_row(any_of, started_at, ended_at, status),
                "started_at": min(starts, default=None),
                "from_number": its_legs[0]["from_number"],
                "to_number": its_legs[0]["to_number"],
                "session_id": f"s{number}",
                "call_control_id": its_legs[0]["call_control_id"],
                "status": status,
                "up_until": NOW + timedelta(seconds=any_of.choice((-60, 60))),
                "leg_count": len(its_legs),
                "recording_count": 0,
                "parked": any_of.random() < 0.1,
                "failed": any_of.random() < 0.2,
                "failed_commands": any_of.choice(
                    # None if its command only lost a race with the hangup.
                    [[REFUSED], [LATE], [FAILED, REFUSED], None]
                    if any(each["status"] == "failed" for each in its_commands)
                    else [None]
                ),
                "flow_raised_at": any_of.choice(
                    (None, None, started_at + timedelta(seconds=any_of.randrange(5_000)))
                ),
                "first_seq": number,
                "last_seq": number,
                "first_stored_at": stored_at,
                "last_stored_at": stored_at,
                "legs": its_legs,
                "commands": [{**each, "decided_at": stored_at} for each in its_commands],
            }
        )
    return rows


def _command(any_of: random.Random, command_id: str) -> dict[str, Any]:
    to = any_of.choice((None, "+44205550101", ["44205550102", "+44205550103"]))
    return {
        "command_id": command_id,
        "operation": any_of.choice(("dial", "transfer", "speak")),
        "status": any_of.choice(("failed", "succeeded")),
        "parameters": {"from": any_of.choice(NUMBERS), "to": to},
    }


def _numbers(command: dict[str, Any]) -> list[str | None]:
    """Those that a search finds: of a call that it should have placed."""
    if command["operation"] == "speak" or command["status"] == "succeeded":
        return []
    to = command["parameters"]["to"]
    return [command["parameters"]["from"], *(to if isinstance(to, list) else [to])]


def _row(
    any_of: random.Random, started_at: datetime, ended_at: datetime, status: str
) -> dict[str, Any]:
    """What a session has of its first leg, and each leg has."""
    answered_at = started_at + timedelta(seconds=any_of.choice((0, 2.5, 10)))
    return {
        "started_at": any_of.choice((started_at, started_at, None)),
        "answered_at": any_of.choice((answered_at, None)),
        "ended_at": ended_at if status == "ended" else None,
        "connection_id": any_of.choice(("1", "2", None)),
        "direction": any_of.choice(("incoming", "outgoing")),
        "from_number": any_of.choice(NUMBERS),
        "to_number": any_of.choice(NUMBERS),
        "hangup_cause": any_of.choice(CAUSES),
        "hangup_source": any_of.choice(("caller", "callee", None)),
        "sip_hangup_cause": any_of.choice(("200", "404", "486", None)),
        "flow": any_of.choice(("a", "b", None)),
        "flow_version": any_of.choice(("1", "2")),
    }


async def stored(connection: AsyncConnection, rows: list[dict[str, Any]]) -> None:
    plain = [{name: row[name] for name in row if name not in PARTS} for row in rows]
    await connection.execute(insert(sessions), plain)
    of_legs = [
        {
            **leg,
            "session_id": row["session_id"],
            "state": "ended",
            "last_seq": row["last_seq"],
        }
        for row in rows
        for leg in row["legs"]
    ]
    await connection.execute(insert(legs), of_legs)
    its = {"attempts": 1, "ordinal": 0, "last_seq": 1}
    of_commands = [
        {**its, **command, "session_id": row["session_id"]}
        for row in rows
        for command in row["commands"]
    ]
    await connection.execute(insert(commands), of_commands)


def is_spelled(wanted: str, value: str) -> bool:
    """Whether a pattern without ! matches. The oracle: by digits, as a reader would compare."""
    start, star, end = wanted.partition("*")
    is_number = all(each.isdigit() for each in (start + end).removeprefix("+"))
    if is_number:
        start, value = start.removeprefix("+"), value.removeprefix("+")
    if not star:
        return value == start
    return value.startswith(start) and value.endswith(end)


def matches(text: str | None, *values: str | None) -> bool:
    if text is None:
        return True
    known = [value for value in values if value is not None]
    wanted = [each for each in text.split(",") if not each.startswith("!")]
    unwanted = [each[1:] for each in text.split(",") if each.startswith("!")]
    if any(is_spelled(each, value) for each in unwanted for value in known):
        return False
    return not wanted or any(is_spelled(each, value) for each in wanted for value in known)


def _has_text(value: str | None, wanted: str) -> bool:
    return matches(wanted, value)


def _is_value(value: str | None, wanted: str) -> bool:
    return value == (None if wanted == UNKNOWN else wanted)


def is_found(row: dict[str, Any], wanted: SessionFilter) -> bool:
    asked = {name: value for name, value in vars(wanted).items() if value is not None}
    del asked["any_leg"]
    status, is_up = row["status"], row["up_until"] > NOW
    if status == "active" and not is_up:
        status = "ended"
    asks_raised = bool(asked.keys() & RAISED) and asked.get("flow_raised") is not False
    asks_number = any(not each.startswith("!") for each in asked.get("number", "!").split(","))
    is_asked = (("failed_command" in asked or asks_number) and row["failed_commands"]) or (
        asks_raised and row["flow_raised_at"]
    )
    if "status" not in asked and status == "empty" and not (row["parked"] or is_asked):
        return False
    asks_what_failed = "failed_command" in asked or asks_raised or asks_number
    if asked.get("status") == "empty" or (asks_what_failed and "status" not in asked):
        row = row | {"listed_at": row["started_at"] or row["first_stored_at"]}
    numbers = [leg[name] for leg in row["legs"] for name in ("from_number", "to_number")]
    numbers += [number for command in row["commands"] for number in _numbers(command)]
    words = [
        str(each[name])
        for each in row["failed_commands"] or ()
        for name in ("operation", "reason", "http_status")
        if each[name] is not None
    ]
    raised_at = row["flow_raised_at"]
    checks: dict[str, Callable[[Any], bool]] = {
        "status": lambda value: status == value,
        "number": lambda value: matches(value, *numbers),
        "session_id": partial(_has_text, row["session_id"]),
        "failed": partial(eq, row["failed"]),
        "failed_command": lambda value: matches(value, *words),
        "flow_raised": partial(eq, raised_at is not None),
        "flow_raised_from": lambda at: raised_at is not None and raised_at >= at,
        "flow_raised_before": lambda at: raised_at is not None and raised_at < at,
    }
    of_session = all(check(asked.pop(name)) for name, check in checks.items() if name in asked)
    return of_session and any(
        _has(each, asked) for each in (row["legs"] if wanted.any_leg else [row])
    )


def _has(row: dict[str, Any], asked: dict[str, Any]) -> bool:
    """Whether a session, or a leg, has all of this."""
    start = row.get("listed_at", row["started_at"])
    checks: dict[str, Callable[[Any], bool]] = {
        "started_from": lambda at: bool(start) and start >= at,
        "started_before": lambda at: bool(start) and start < at,
        "ended_from": lambda at: bool(row["ended_at"]) and row["ended_at"] >= at,
        "ended_before": lambda at: bool(row["ended_at"]) and row["ended_at"] < at,
        "answered": lambda value: (row["answered_at"] is not None) == value,
    }
    for name, (first, last) in SPANS.items():
        lasted_s = float("nan")  # is neither more nor less than anything
        if row[first] and row[last]:
            lasted_s = (row[last] - row[first]).total_seconds()
        checks[f"{name}_min"] = lasted_s.__ge__
        checks[f"{name}_max"] = lasted_s.__le__
    checks |= {name: partial(_has_text, row[name]) for name in TEXTS}
    checks |= {name: partial(_is_value, row[name]) for name in EQUAL}
    return all(checks[name](value) for name, value in asked.items())
