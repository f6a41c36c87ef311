"""One attempt of a command, what became of it, and what is seen of its session."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from offhook.events import IssuedCommand
from offhook.telnyx.outcomes import Accepted, Busy, NoAnswer, Outcome, Refused
from offhook.workers.sending.attempt import (
    Attempt,
    Seen,
    first_attempt,
)

START = datetime(2026, 11, 22, tzinfo=UTC)
SEND_S = 2.0
LEASE_S = SEND_S + 1
BUSY = Busy(retry_after_s=1.0, detail="429 10011")
LOST = NoAnswer(detail="ReadTimeout")
UNREACHED = NoAnswer(detail="ConnectError", maybe_taken=False)
ACCEPTED = Accepted(status=200, answer={"data": {"result": "ok"}})
NO = Refused(status=422, group="wrong_state", detail="422 90034", maybe_taken=True)


def command(operation: str = "transfer", **parameters: str) -> IssuedCommand:
    leg = None if operation == "dial" else "v3:leg"
    return IssuedCommand(
        command_id="c-1", operation=operation, call_control_id=leg, parameters=parameters
    )


def attempt(operation: str = "transfer", *outcomes: Outcome, **more: Any) -> Attempt:
    """After sends with these outcomes, each followed by its pause."""
    made = first_attempt(command(operation), decided_at=START, send_s=SEND_S, **more)
    for outcome in outcomes:
        made = sent(made, outcome).paused()
    return made


def sent(made: Attempt, outcome: Outcome, chance: float = 1.0) -> Attempt:
    after = made.sent(outcome, lambda: chance)
    assert isinstance(after, Attempt)
    return after


def seen(**more: Any) -> Seen:
    known: dict[str, Any] = {
        "leg_ended": False,
        "recency": "current",
        "lease_left_s": LEASE_S,
        "permit": "none",
    }
    return Seen(**(known | more))


outcomes: st.SearchStrategy[Outcome] = st.sampled_from([BUSY, LOST, UNREACHED, ACCEPTED, NO])
