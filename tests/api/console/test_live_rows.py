"""A row of the live page: what it says of a session, and when it is amber. Pure."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from offhook.api.console.live_rows import EXPECTED_S, live_row

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)


def session(**more: Any) -> dict[str, Any]:
    return {
        "session_id": "s",
        "status": "active",
        "phase": {"name": "talking", "since": NOON.isoformat()},
        "started_at": NOON.isoformat(),
        "first_stored_at": NOON.isoformat(),
        "ended_at": None,
        "from_number": "+12025550100",
        "to_number": None,
        "flow": "frontdesk",
        "flow_version": "7",
        "parked": False,
        "fold_error": None,
        "failed_commands": None,
        "flow_raised_at": None,
        "legs": [leg("a", "bridged", direction="incoming"), leg("b", "bridged"), leg("c", "ended")],
        "last_event": {"event_type": "call.bridged", "stored_at": NOON.isoformat()},
        "last_command": None,
        **more,
    }


def leg(name: str, state: str, **more: Any) -> dict[str, Any]:
    return {
        "call_control_id": name,
        "state": state,
        "direction": "outgoing",
        "from_number": "+12025550100",
        "to_number": "+12025550101",
        "answered_at": None,
        "ended_at": NOON.isoformat() if state == "ended" else None,
        "hangup_cause": "normal_clearing",
        "sip_hangup_cause": "200",
        "held_since": None,
        "queue": None,
        "dequeued_at": None,
        **more,
    }


def command(status: str, **more: Any) -> dict[str, Any]:
    return {
        "operation": "speak",
        "status": status,
        "reason": None,
        "detail": None,
        "http_status": None,
        "requested_at": None,
        "decided_at": NOON.isoformat(),
        **more,
    }


@pytest.mark.parametrize("phase", EXPECTED_S)
def test_a_row_is_amber_once_its_state_lasts_longer_than_expected(phase: str) -> None:
    found = session(phase={"name": phase, "since": NOON.isoformat()})
    limit = NOON + timedelta(seconds=EXPECTED_S[phase])
    assert not live_row(found, limit).is_late
    assert live_row(found, limit + timedelta(seconds=1)).is_late


@pytest.mark.parametrize(
    ("status", "is_late"),
    [("pending", True), ("requested", True), ("succeeded", False), ("failed", False)],
)
def test_a_row_is_amber_while_its_command_has_no_outcome(status: str, is_late: bool) -> None:
    found = session(last_command=command(status))
    assert not live_row(found, NOON + timedelta(seconds=9)).is_late
    assert live_row(found, NOON + timedelta(seconds=11)).is_late == is_late


def test_an_ended_call_is_never_amber_and_cannot_be_hung_up() -> None:
    ended = NOON + timedelta(seconds=90)
    row = live_row(
        session(status="ended", phase=None, ended_at=ended.isoformat()), NOON + timedelta(days=1)
    )
    assert (row.state_words, row.lasted_s, row.age) == ("ended", 90.0, None)
    assert (row.is_late, row.legs_up) == (False, [])


def test_legs_are_in_words_too() -> None:
    queued = leg("q", "answered", queue="support", held_since=NOON.isoformat())
    row = live_row(session(legs=[queued, leg("b", "ended")]), NOON)
    assert row.legs_words == "2 legs: outgoing answered on hold in queue support, outgoing ended"
    assert [dot.state for dot in row.dots] == ["answered", "ended"]
    assert row.legs_up == ["q"]
    assert live_row(session(legs=[]), NOON).legs_words == "no legs"


def test_a_failed_command_says_why() -> None:
    failed = command("failed", reason="too_late", http_status=422, detail="the leg had ended")
    row = live_row(session(last_command=failed), NOON)
    assert row.command is not None
    assert row.command.outcome == "too late"
    assert row.command.detail == "too late, HTTP 422: the leg had ended"


def test_the_version_changes_with_the_content_and_not_with_the_time() -> None:
    row = live_row(session(), NOON)
    assert row.version == live_row(session(), NOON + timedelta(hours=1)).version
    for changed in (
        session(flow_version="8"),
        session(last_command=command("pending")),
        session(legs=[leg("a", "ended")]),
    ):
        assert live_row(changed, NOON).version != row.version
