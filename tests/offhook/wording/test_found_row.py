"""Rows of the search page: the outcome of a call, and which leg's cause is shown."""

from typing import Any

import pytest

from offhook.wording.found_row import found_row

STORED = "2026-11-22T09:59:59Z"
START, END = "2026-11-22T10:00:00Z", "2026-11-22T10:01:30.5Z"


REFUSED = {"operation": "transfer", "reason": "refused", "http_status": 422, "count": 1}
LATE = {"operation": "speak", "reason": "deadline", "http_status": None, "count": 3}


def leg(**fields: Any) -> dict[str, Any]:
    return {
        "from_number": "+12025550101",
        "to_number": "+12025550102",
        "direction": "outgoing",
        "ended_at": END,
        "answered_at": None,
        "bridged_at": None,
        "hangup_cause": "normal_clearing",
        "sip_hangup_cause": "200",
        "hangup_source": "caller",
        **fields,
    }


def session(*legs: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "session_id": "s",
        "status": "ended",
        "started_at": START,
        "answered_at": START,
        "ended_at": END,
        "from_number": "+12025550101",
        "to_number": None,
        "hangup_cause": "normal_clearing",
        "sip_hangup_cause": "200",
        "hangup_source": "caller",
        "flow": "frontdesk",
        "flow_version": None,
        "parked": False,
        "failed": False,
        "failed_commands": None,
        "flow_raised_at": None,
        "first_stored_at": STORED,
        "fold_error": None,
        "end_inferred": False,
        "phase": None,
        "leg_count": len(legs),
        "legs": list(legs),
        **fields,
    }


def test_an_answered_call_shows_the_cause_of_the_session() -> None:
    row = found_row(session(leg(answered_at=START)))
    assert (row.outcome, row.outcome_words) == ("answered", "answered")
    assert (row.cause, row.sip, row.sip_words) == ("normal_clearing", "200", "OK")
    assert row.cause_title == "ended normally; the carrier says that the caller hung up"
    assert (row.from_number, row.to_number) == ("+12025550101", "unknown")
    assert row.lasted_s == 90.5
    assert (row.flow, row.flow_version, row.legs) == ("frontdesk", "", 1)


def test_a_failed_call_shows_the_leg_that_failed() -> None:
    failed = leg(
        to_number="+49301234",
        hangup_cause="not_found",
        sip_hangup_cause="404",
        hangup_source="unknown",
    )
    row = found_row(session(leg(answered_at=START), failed, failed=True))
    assert (row.outcome, row.cause, row.sip) == ("failed", "not_found", "404")
    assert row.cause_title == (
        "the number does not exist or cannot be routed (leg +12025550101 → +49301234)"
    )


def test_a_server_error_is_a_failure_whatever_the_cause() -> None:
    failed = leg(hangup_cause="user_busy", sip_hangup_cause="503")
    row = found_row(session(leg(answered_at=START), failed, failed=True))
    assert (row.cause, row.sip_words) == ("user_busy", "Service Unavailable")


def test_an_answered_call_shows_its_busy_transfer_and_its_failed_commands() -> None:
    busy = leg(to_number="+12025550186", hangup_cause="user_busy", sip_hangup_cause="486")
    given_up = leg(hangup_cause="originator_cancel", sip_hangup_cause="487")
    first = leg(direction="incoming", answered_at=START)
    row = found_row(session(first, busy, given_up, failed_commands=[REFUSED, LATE]))
    assert (row.outcome_words, row.cause, row.sip) == ("answered", "normal_clearing", "200")
    assert [(each.words, each.title) for each in row.problems] == [
        (
            "transfer refused 422",
            "The command transfer failed: the carrier refused it (HTTP 422)",
        ),
        (
            "speak deadline ×3",
            "The command speak failed: the carrier did not accept it in time",
        ),
        (
            "leg user_busy 486",
            "Leg +12025550101 → +12025550186: busy (user_busy, SIP 486 Busy Here)",
        ),
    ]


def test_a_call_whose_flow_raised_shows_that_once() -> None:
    [problem] = found_row(session(leg(answered_at=START), flow_raised_at=START)).problems
    assert problem.words == "flow raised"
    parked = found_row(session(flow_raised_at=START, parked=True, failed=True))
    assert (parked.outcome_words, parked.problems) == ("parked", [])


def test_what_the_cause_says_already_is_no_further_problem() -> None:
    alone = leg(answered_at=None, hangup_cause="user_busy", sip_hangup_cause="486")
    assert found_row(session(alone, hangup_cause="user_busy")).problems == []
    failed = leg(hangup_cause="not_found", sip_hangup_cause="404")
    row = found_row(session(leg(answered_at=START), failed, failed=True))
    assert (row.cause, row.problems) == ("not_found", [])


def test_a_command_without_a_call_started_when_it_was_stored() -> None:
    row = found_row(session(status="empty", started_at=None, failed_commands=[REFUSED]))
    assert (row.started_at, row.outcome) == (STORED, "failed")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"parked": True, "failed": True}, "parked"),
        ({"fold_error": "KeyError: 'x'"}, "unreadable"),
        ({"status": "active", "ended_at": None}, "up"),
        ({"status": "active", "phase": {"name": "setting_up", "since": START}}, "setting up"),
        ({"status": "empty", "started_at": None}, "no legs"),
        ({"status": "empty", "started_at": None, "failed_commands": [REFUSED]}, "no call"),
        ({"answered_at": None}, "not answered"),
    ],
)
def test_the_outcome_is_in_words(fields: dict[str, Any], words: str) -> None:
    row = found_row(session(**fields))
    assert row.outcome_words == words
    assert row.outcome_title


def test_nothing_is_claimed_that_is_not_known() -> None:
    row = found_row(session(hangup_cause=None, sip_hangup_cause="unspecified", ended_at=None))
    assert (row.cause, row.cause_title, row.sip, row.lasted_s) == ("", "", "", None)


def test_a_dial_that_was_refused_shows_what_it_asked_for() -> None:
    asked = {"from_number": "+12025550100", "to_number": "+12025550155"}
    nothing = {"status": "empty", "started_at": None, "from_number": None, "asked": asked}
    row = found_row(session(failed_commands=[REFUSED], **nothing))
    assert (row.from_number, row.to_number) == ("+12025550100", "+12025550155")
    assert (row.outcome_words, row.started_at) == ("no call", STORED)
    unknown = found_row(session(failed_commands=[REFUSED], **nothing | {"asked": None}))
    assert (unknown.from_number, unknown.to_number) == ("unknown", "unknown")
