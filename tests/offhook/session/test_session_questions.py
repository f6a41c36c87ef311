"""What a flow asks of a session: who called, and what was asked already."""

from datetime import UTC, datetime

from offhook.commands import Answer, Transfer
from offhook.events import (
    CallAnswered,
    CallEvent,
    CallInitiated,
    CommandRequested,
    IssuedCommand,
    Record,
    WebhookReceived,
)
from offhook.session import Session, fold
from offhook.testing import given
from tests.whole.flows import answer_then_transfer

AT = datetime(2026, 11, 22, tzinfo=UTC)


def session_of(*events: CallEvent) -> Session:
    return fold(
        "s",
        [
            Record(
                seq=seq,
                stored_at=AT,
                session_id="s",
                fact=WebhookReceived(event=event),
                fact_id=event.event_id,
            )
            for seq, event in enumerate(events, 1)
        ],
    )


def initiated(leg: str, direction: str, second: int) -> CallInitiated:
    at = AT.replace(second=second)
    return CallInitiated(event_id=leg, call_control_id=leg, direction=direction, occurred_at=at)


def test_the_caller_is_the_leg_that_came_in_first() -> None:
    found = session_of(
        initiated("out", "outgoing", 1),
        initiated("late", "incoming", 3),
        initiated("early", "incoming", 2),
    )
    assert found.caller is not None
    assert found.caller.call_control_id == "early"


def test_without_an_incoming_leg_there_is_no_caller() -> None:
    assert session_of(initiated("out", "outgoing", 1)).caller is None
    # An answer alone does not tell the direction.
    assert session_of(CallAnswered(event_id="e", call_control_id="a")).caller is None


def test_a_command_counts_as_asked_from_its_request_on() -> None:
    command = IssuedCommand(command_id="c", operation="transfer", call_control_id="a")
    request = Record(seq=1, stored_at=AT, session_id="s", fact=CommandRequested(command=command))
    found = fold("s", [request])
    assert found.was_asked("transfer")
    assert not found.was_asked("answer")


def test_the_flow_of_the_tests_is_what_it_says() -> None:
    given(answer_then_transfer).when(CallInitiated()).then(Answer())
    given(answer_then_transfer).when(CallAnswered()).then(Transfer(to="+12025550121"))
