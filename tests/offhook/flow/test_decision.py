"""What a decision stores beside its commands: warnings of a leg that nobody answered."""

from datetime import UTC, datetime
from typing import Any, cast

import pytest

from offhook.codec.webhooks import read_webhook, wire_body
from offhook.commands import Answer, Command, Dial, Gather, Hangup, Reject, Speak, Transfer
from offhook.events import CallInitiated, Decided, Fact, IssuedCommand, Record, WebhookReceived
from offhook.flow.decision import stored
from offhook.session import Session, fold

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
LEG = "v3:leg-a"
HELLO = Speak(payload="Hello", voice="female")
NOT_YET = "the incoming call was not answered yet (90034)"


def ringing(direction: str = "incoming", *more: Fact) -> tuple[CallInitiated, Session]:
    """The event and the session of a leg that rings."""
    body = wire_body(CallInitiated(event_id="e-1", call_control_id=LEG, direction=direction))
    event = read_webhook(body).event
    assert isinstance(event, CallInitiated)
    facts: tuple[Fact, ...] = (WebhookReceived(event=event), *more)
    records = [
        Record(seq=seq, stored_at=AT, session_id="s", fact=fact, fact_id=f"f-{seq}")
        for seq, fact in enumerate(facts, start=1)
    ]
    return event, fold("s", records)


def warnings(
    *commands: Command, direction: str = "incoming", past: tuple[Fact, ...] = ()
) -> object:
    event, session = ringing(direction, *past)
    return stored(commands, event, session, 1).warnings


def test_a_command_before_the_answer_is_warned_of_and_stored_all_the_same() -> None:
    event, session = ringing()
    said = stored([HELLO, Gather()], event, session, 1)
    assert said.warnings == (f"speak: {NOT_YET}", f"gather: {NOT_YET}")
    assert [command.operation for command in said.commands] == ["speak", "gather"]


def test_a_flow_may_yield_its_orders() -> None:
    event, session = ringing()
    said = stored((order for order in (Answer(), HELLO)), event, session, 1)  # type: ignore[arg-type]
    assert [command.operation for command in said.commands] == ["answer", "speak"]


@pytest.mark.parametrize(
    "command",
    [
        Answer(),
        Reject(cause="USER_BUSY"),
        Hangup(),
        Dial(to="+12025550123", from_="+12025550199", connection_id="1"),
        Transfer(to="+12025550123", call_control_id="v3:another"),
    ],
)
def test_what_needs_no_answer_is_not_warned_of(command: Command) -> None:
    assert warnings(command) == ()


def test_a_leg_that_is_no_text_is_refused_before_it_is_stored() -> None:
    event, session = ringing()
    order = Hangup(call_control_id=cast(Any, event))
    with pytest.raises(
        TypeError, match=r"^hangup: call_control_id is CallInitiated\(.*; expected text$"
    ):
        stored([order], event, session, 1)


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (None, r"decide returned None; expected a list of orders, \[\] for none"),
        (Hangup(), "decide returned one Hangup; expected a list of orders"),
        (["hangup"], "'hangup' is no command and no timer"),
    ],
)
def test_what_is_no_list_of_orders_is_named(returned: Any, said: str) -> None:
    event, session = ringing()
    with pytest.raises(TypeError, match=f"^{said}$"):
        stored(returned, event, session, 1)


def test_the_order_counts() -> None:
    assert warnings(Answer(), HELLO) == ()
    assert warnings(HELLO, Answer()) == (f"speak: {NOT_YET}",)


def test_an_answer_that_was_given_before_is_enough() -> None:
    answer = IssuedCommand(command_id="c-1", operation="answer", call_control_id=LEG)
    decided = Decided(
        cause_seq=1,
        cause_id="e-1",
        flow="f",
        flow_version="1",
        worker="w",
        lease_s=3,
        commands=(answer,),
    )
    assert warnings(HELLO, past=(decided,)) == ()


def test_an_outgoing_leg_may_be_commanded_while_it_rings() -> None:
    assert warnings(HELLO, direction="outgoing") == ()
