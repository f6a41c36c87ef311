"""Which legs and sessions have failed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from offhook.session import Session
from offhook.session.failures import is_command_failure
from offhook.session.leg import Leg

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
LEG = Leg(call_control_id="v3:a", initiated_at=NOON, ended_at=NOON + timedelta(seconds=5))
FAILED = replace(LEG, hangup_cause="not_found", sip_hangup_cause="404")


@pytest.mark.parametrize(
    ("cause", "sip", "failed"),
    [
        ("not_found", "404", True),
        ("unspecified", None, True),
        ("time_limit", "unspecified", True),
        ("a cause of tomorrow", None, True),
        ("call_rejected", "503", True),
        ("call_rejected", "403", True),
        ("call_rejected", "488", True),
        ("call_rejected", "603", False),
        ("call_rejected", "486", False),
        ("call_rejected", "unspecified", False),
        ("call_rejected", None, False),
        ("call_rejected", "5030", False),
        ("user_busy", "486", False),
        ("no_answer", "480", False),
        ("timeout", None, False),
        ("timeout", "408", False),
        ("originator_cancel", "487", False),
        ("normal_clearing", "200", False),
        (None, "503", False),
    ],
)
def test_a_leg_that_was_not_answered_failed_by_its_cause(
    cause: str | None, sip: str | None, failed: bool
) -> None:
    leg = replace(LEG, hangup_cause=cause, sip_hangup_cause=sip)
    assert leg.has_failed is failed
    assert not replace(leg, answered_at=NOON).has_failed
    assert not replace(leg, bridged_at=NOON).has_failed
    assert not replace(leg, ended_at=None).has_failed


def session(*legs: Leg) -> Session:
    named = {
        f"v3:{number}": replace(leg, call_control_id=f"v3:{number}")
        for number, leg in enumerate(legs)
    }
    return replace(Session(session_id="s"), legs=named)


def test_a_session_failed_if_a_leg_did_and_none_was_answered_later() -> None:
    caller = replace(LEG, answered_at=NOON, ended_at=NOON + timedelta(minutes=1))
    later = replace(caller, answered_at=NOON + timedelta(seconds=5))
    assert session(FAILED).has_failed
    assert session(caller, FAILED).has_failed
    assert not session(caller).has_failed
    assert not session(caller, FAILED, later).has_failed
    assert session(
        caller, FAILED, later, replace(FAILED, ended_at=NOON + timedelta(minutes=2))
    ).has_failed
    assert not session().has_failed


@pytest.mark.parametrize(
    ("attempts", "http_status", "failed"),
    [
        (0, None, False),  # the end was known before anything was sent
        (1, 422, False),  # the carrier said so: it raced with the hangup
        (1, None, True),  # one attempt without an answer, then the end
        (2, 422, True),
        (14, None, True),
        (None, None, False),  # from before attempts were counted
    ],
)
def test_a_command_that_met_the_end_failed_if_it_had_failed_before(
    attempts: int | None, http_status: int | None, failed: bool
) -> None:
    assert is_command_failure("call_ended", attempts=attempts, http_status=http_status) is failed
    assert is_command_failure("refused", attempts=attempts, http_status=http_status)
