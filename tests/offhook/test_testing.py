"""The test sentence itself: what it fills in, and what it says when it fails."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from itertools import count

import pytest

from offhook.commands import Answer, Command, Dial, Hangup, Pay, Reject, Speak, Transfer
from offhook.events import (
    CallAnswered,
    CallDtmfReceived,
    CallHangup,
    CallInitiated,
    CommandFailed,
    CommandSucceeded,
    ConferenceSpeakEnded,
    Decided,
    Event,
    IssuedCommand,
    TimerFired,
    UnknownEvent,
)
from offhook.flow import Flow, Order
from offhook.session import Session
from offhook.session.timers import CancelTimer, SetTimer
from offhook.testing import EXAMPLE_LEG, EXAMPLE_SESSION, EXAMPLE_TIME, given

DESK = "+12025550123"


def decide(event: Event, session: Session) -> list[Command]:
    """Answer, put through to the desk; reject what comes while a transfer was refused."""
    match event:
        case CallInitiated(direction="incoming"):
            return [Answer()]
        case CallAnswered(call_control_id=leg) if leg == EXAMPLE_LEG:
            return [Transfer(to=DESK, timeout_secs=20)]
        case CommandFailed(operation="transfer"):
            return [Hangup()]
        case CallDtmfReceived(digit="9") | UnknownEvent(payload={"digit": "9"}):
            return [Hangup(), Hangup(call_control_id="other-leg")]
        case _:
            return []


FRONTDESK = Flow(name="frontdesk", version="1", decide=decide)


def flow_of(*commands: Command) -> Flow:
    """A flow that always decides this."""
    return Flow(name="fixed", version="1", decide=lambda event, session: list(commands))


def test_a_flow_decides_on_an_event_without_any_ids() -> None:
    given(FRONTDESK).when(CallInitiated(direction="incoming")).then(Answer())
    given(FRONTDESK, CallInitiated(direction="incoming")).when(CallAnswered()).then(
        Transfer(to=DESK, timeout_secs=20)
    )


def test_a_flow_that_does_nothing() -> None:
    given(FRONTDESK, CallInitiated()).when(CallHangup(hangup_cause="user_busy")).then_nothing()


def test_the_expected_command_may_name_the_leg() -> None:
    given(FRONTDESK).when(CallInitiated(direction="incoming")).then(
        Answer(call_control_id=EXAMPLE_LEG)
    )


def test_an_event_keeps_the_leg_it_names() -> None:
    given(FRONTDESK).when(CallAnswered(call_control_id="leg-b")).then_nothing()


@pytest.mark.parametrize(
    "event",
    [
        CallDtmfReceived(digit="9"),
        UnknownEvent(event_type="call.never_heard_of", payload={"digit": "9"}),
    ],
)
def test_known_events_have_their_fields_and_unknown_ones_their_payload(event: Event) -> None:
    given(FRONTDESK).when(event).then(Hangup(), Hangup(call_control_id="other-leg"))


def test_an_event_of_a_conference_alone_has_no_leg() -> None:
    decision = given(FRONTDESK).when(ConferenceSpeakEnded(conference_id="c"))
    assert decision.event.call_control_id is None
    assert decision.event.creator_call_session_id == EXAMPLE_SESSION
    assert (set(decision.session.conferences), decision.session.legs) == ({"c"}, {})


def test_a_failed_command_is_an_event_too() -> None:
    failed = CommandFailed(command_id="c1", operation="transfer", reason="refused")
    given(FRONTDESK, CallAnswered()).when(failed).then(Hangup())
    given(FRONTDESK, CallAnswered(), failed).when(CallHangup()).then_nothing()


def test_a_failed_dial_has_no_leg() -> None:
    failed = CommandFailed(command_id="c1", operation="dial", reason="refused")
    decision = given(FRONTDESK).when(failed)
    decision.then_nothing()
    assert decision.event.call_control_id is None


def test_what_was_said_was_done_before_the_next_decision() -> None:
    past = CallInitiated(direction="incoming"), Answer(), CallAnswered(), Transfer(to=DESK)
    session = given(FRONTDESK, *past).when(CallHangup()).session
    assert [state.status for state in session.commands.values()] == ["succeeded", "succeeded"]
    assert session.open_commands == frozenset()


def test_a_failed_command_is_the_last_one_of_its_operation() -> None:
    first, second = (Transfer(to=DESK, call_control_id=leg) for leg in ("leg-a", "leg-b"))
    failed = CommandFailed(command_id="any", operation="transfer", reason="refused")
    decision = given(FRONTDESK, CallAnswered(), first, second).when(failed)
    decision.then(Hangup(call_control_id="leg-b"))
    states = decision.session.commands.values()
    assert [state.status for state in states] == ["succeeded", "failed"]
    both = given(FRONTDESK, CallAnswered(), first, second, failed).when(failed).session
    assert [state.status for state in both.commands.values()] == ["failed", "failed"]


def test_the_session_is_the_fold_of_everything_said() -> None:
    hang_up = IssuedCommand(command_id="c1", operation="hangup", call_control_id=EXAMPLE_LEG)
    decided = Decided(
        cause_seq=2,
        cause_id="event-2",
        flow="frontdesk",
        flow_version="1",
        worker="w",
        lease_s=4.0,
        commands=(hang_up,),
    )
    session = (
        given(
            FRONTDESK,
            CallInitiated(direction="incoming", to="+12025550199"),
            CallAnswered(),
            decided,
            CommandSucceeded(command_id="c1", http_status=200),
        )
        .when(CallHangup(hangup_cause="normal_clearing"))
        .session
    )
    assert session.session_id == EXAMPLE_SESSION
    assert session.commands["c1"].status == "succeeded"
    leg = session.leg(EXAMPLE_LEG)
    assert leg is not None
    assert (leg.state, leg.direction, leg.to) == ("ended", "incoming", "+12025550199")
    assert (leg.initiated_at, leg.answered_at) == (
        EXAMPLE_TIME,
        EXAMPLE_TIME + timedelta(seconds=1),
    )
    assert leg.ended_at == EXAMPLE_TIME + timedelta(seconds=4)
    assert (leg.hangup_cause, leg.talk_s) == ("normal_clearing", 3.0)


def test_times_go_on_from_the_last_one_given() -> None:
    later = EXAMPLE_TIME + timedelta(hours=1)
    decision = given(FRONTDESK, CallAnswered(occurred_at=later)).when(CallHangup())
    assert decision.event.occurred_at == later + timedelta(seconds=1)


def test_the_events_of_one_test_share_the_session_that_one_of_them_names() -> None:
    decision = given(FRONTDESK, CallInitiated()).when(CallHangup(call_session_id="mine"))
    assert decision.session.session_id == "mine"
    assert decision.session.status == "ended"


def test_an_event_brings_back_the_state_of_its_leg() -> None:
    told = CallInitiated(client_state="YQ==")
    for past, leg, expected in (
        ((), EXAMPLE_LEG, None),
        ((told,), EXAMPLE_LEG, "YQ=="),
        ((told,), "leg-b", None),
        ((told, Answer(client_state="Yg==")), EXAMPLE_LEG, "Yg=="),
        ((told, Answer(client_state="Yg=="), CallAnswered(), Hangup()), EXAMPLE_LEG, "Yg=="),
    ):
        event = given(FRONTDESK, *past).when(CallHangup(call_control_id=leg)).event
        assert event.client_state == expected


def test_the_flow_sees_what_it_would_see_of_a_real_event() -> None:
    event = given(FRONTDESK).when(CallInitiated(from_="+12025550100")).event
    assert event.payload["from"] == "+12025550100"
    assert event.payload["call_session_id"] == EXAMPLE_SESSION
    assert (event.event_id, event.occurred_at) == ("event-1", EXAMPLE_TIME)


def test_recorded_orders_are_compared_as_they_are_stored() -> None:
    wait = SetTimer(name="wait", after_s=5)
    mixed: list[Order] = [CancelTimer(name="unset"), Answer(), wait]
    flow = Flow(name="mixed", version="1", decide=lambda event, session: mixed)
    decision = given(flow).when(CallInitiated(direction="incoming"))
    decision.then_recorded(wait, Answer())
    for others in ((Answer(),), (wait,), (wait, Answer(), Hangup()), (Reject(cause="USER_BUSY"),)):
        with pytest.raises(AssertionError, match="recorded:"):
            decision.then_recorded(*others)
    with pytest.raises(AssertionError):
        decision.then(wait, Answer())


# ------------------------------------------------------------------ what it says


def message_of(decided: Sequence[Command], expected: Sequence[Command]) -> str:
    with pytest.raises(AssertionError) as raised:
        given(flow_of(*decided)).when(CallAnswered()).then(*expected)
    return str(raised.value)


def test_a_mismatch_shows_both_sides_one_command_a_line() -> None:
    message = message_of(
        [Hangup(), Transfer(to=DESK, call_control_id="leg-b")], [Transfer(to=DESK), Hangup()]
    )
    assert message == (
        "flow 'fixed' on call.answered\n"
        "  expected:\n"
        "    Transfer(to='+12025550123')\n"
        "    Hangup()\n"
        "  decided:\n"
        "    Hangup()\n"
        "    Transfer(call_control_id='leg-b', to='+12025550123')"
    )


def test_the_order_of_commands_matters() -> None:
    assert "expected" in message_of([Answer(), Hangup()], [Hangup(), Answer()])


def test_nothing_is_shown_as_nothing() -> None:
    assert message_of([], [Hangup()]).endswith("decided:\n    nothing")
    assert "expected:\n    nothing\n" in message_of([Hangup()], [])


def test_a_flow_that_decides_by_chance_is_found_out() -> None:
    numbers = count(1)
    fickle = Flow(
        name="fickle",
        version="1",
        decide=lambda event, session: [Transfer(to=f"+1202555010{next(numbers)}")],
    )
    with pytest.raises(AssertionError) as raised:
        given(fickle).when(CallAnswered())
    assert str(raised.value) == (
        "flow 'fickle' on call.answered: the flow is not deterministic\n"
        "  first run:\n"
        "    Transfer(to='+12025550101')\n"
        "  second run:\n"
        "    Transfer(to='+12025550102')"
    )


def test_a_command_that_the_carrier_would_refuse_fails_the_test() -> None:
    with pytest.raises(AssertionError) as raised:
        given(flow_of(Dial(to="12025550123", from_=DESK, connection_id="1"))).when(CallAnswered())
    message = str(raised.value)
    assert message.startswith(
        "the carrier does not allow this command: dial: to is '12025550123'; "
    )
    assert message.endswith("Dial(to='12025550123', from_='+12025550123', connection_id='1')")


def test_a_command_without_a_leg_on_an_event_of_no_leg_fails_the_test() -> None:
    failed = CommandFailed(command_id="c1", operation="dial", reason="refused")
    with pytest.raises(AssertionError, match=r"the event has no leg to command\n    Hangup\(\)$"):
        given(flow_of(Hangup())).when(failed)


def test_a_command_is_checked_as_it_is_stored() -> None:
    class Name(str):
        """Not what the log takes."""

    with pytest.raises(AssertionError, match=r"its orders cannot be stored: .*Name"):
        given(flow_of(Transfer(to=Name(DESK)))).when(CallAnswered())
    with pytest.raises(AssertionError, match=r"amount is '1\.5'; expected a number"):
        given(flow_of(Pay(amount=Decimal("1.5")))).when(CallAnswered())  # type: ignore[arg-type]


def test_a_leg_that_offhook_hangs_up_itself_is_the_flows_to_decide_on_too() -> None:
    """The flow's orders are its own: the added hangup is not among them."""
    dial = Dial(to=DESK, from_="+12025550100", connection_id="1", link_to=EXAMPLE_LEG)
    lost = CommandFailed(command_id="", operation="dial", reason="call_ended", maybe_performed=True)
    past = (CallInitiated(direction="incoming"), CallAnswered(), dial, lost, CallHangup())
    placed = CallInitiated(call_control_id="v3:b", direction="outgoing", to=DESK, connection_id="1")
    given(flow_of(), *past).when(placed).then_nothing()
    speak = Speak(payload="Goodbye", voice="female")
    given(flow_of(speak), *past).when(placed).then(speak)
    given(flow_of(Hangup()), *past).when(placed).then(Hangup())
    with pytest.raises(AssertionError, match=r"does not allow this command: transfer: .*\n +Tran"):
        given(flow_of(Transfer(to="nobody")), *past).when(placed)


def test_a_decision_that_is_no_command_is_named() -> None:
    broken = Flow(name="broken", version="1", decide=lambda event, session: ["hangup"])  # type: ignore[list-item]
    with pytest.raises(AssertionError, match=r"^flow 'broken' on call.answered: 'hangup' is no "):
        given(broken).when(CallAnswered())
    forgetful = Flow(name="forgetful", version="1", decide=lambda event, session: None)  # type: ignore[arg-type, return-value]
    with pytest.raises(AssertionError, match=r"call.answered: decide returned None; expected a"):
        given(forgetful).when(CallAnswered())


def test_an_unknown_event_needs_a_type() -> None:
    with pytest.raises(AssertionError, match="UnknownEvent needs an event_type"):
        given(FRONTDESK).when(UnknownEvent())


def test_what_the_flow_raises_comes_through() -> None:
    def raises(event: Event, session: Session) -> list[Command]:
        raise LookupError("no such desk")

    with pytest.raises(LookupError, match="no such desk"):
        given(Flow(name="raises", version="1", decide=raises)).when(CallAnswered())


def test_the_commands_can_be_looked_at_by_hand() -> None:
    decision = given(flow_of(Reject(cause="USER_BUSY"))).when(CallInitiated())
    assert decision.commands == (Reject(cause="USER_BUSY", call_control_id=EXAMPLE_LEG),)


# ------------------------------------------------------------------ orders and timers

INCOMING = CallInitiated(direction="incoming")


def patience(event: Event, session: Session) -> list[Order]:
    """Ring for 20 s, once; hang up who has not answered by then."""
    match event:
        case CallInitiated() if not session.timers:
            return [SetTimer(name="no-answer", after_s=20)]
        case CallAnswered() if "no-answer" in session.timers:
            return [CancelTimer(name="no-answer")]
        case TimerFired(name="no-answer") if not session.was_asked("hangup"):
            return [Hangup()]
        case _:
            return []


PATIENCE = Flow(name="patience", version="1", decide=patience)


def test_a_flow_sets_and_cancels_timers() -> None:
    no_answer = SetTimer(name="no-answer", after_s=20)
    given(PATIENCE).when(INCOMING).then(no_answer)
    given(PATIENCE, INCOMING, no_answer).when(CallAnswered()).then(CancelTimer(name="no-answer"))
    given(PATIENCE, INCOMING).when(CallAnswered()).then_nothing()


def test_a_fired_timer_is_an_event_on_the_leg_it_was_set_on() -> None:
    initiated = CallInitiated(call_control_id="leg-b")
    no_answer = SetTimer(name="no-answer", after_s=20)
    decision = given(PATIENCE, initiated, no_answer).when(TimerFired(name="no-answer"))
    decision.then(Hangup(call_control_id="leg-b"))
    # The decision is stored a second after the event.
    assert decision.event.due_at == EXAMPLE_TIME + timedelta(seconds=21)
    assert decision.session.timers == {}


def test_a_timer_nobody_set_may_fire_too() -> None:
    given(PATIENCE).when(TimerFired(name="no-answer")).then(Hangup())


@pytest.mark.parametrize("end", [CancelTimer(name="no-answer"), TimerFired(name="no-answer")])
def test_a_timer_that_is_over_fires_no_more(end: CancelTimer | TimerFired) -> None:
    past = INCOMING, SetTimer(name="no-answer", after_s=20), CallAnswered(), end
    with pytest.raises(AssertionError, match="timer 'no-answer' has fired, or was cancelled"):
        given(PATIENCE, *past).when(TimerFired(name="no-answer"))
    set_again = CallAnswered(), SetTimer(name="no-answer", after_s=20)
    given(PATIENCE, *past, *set_again).when(TimerFired(name="no-answer")).then(Hangup())


def test_orders_in_the_past_were_given_on_the_event_before_them() -> None:
    past = INCOMING, SetTimer(name="no-answer", after_s=20), Hangup(), CallHangup()
    decision = given(PATIENCE, *past).when(TimerFired(name="no-answer"))
    decision.then_nothing()
    (hangup,) = decision.session.commands.values()
    assert hangup.issued is not None
    assert (hangup.flow, hangup.cause_seq) == ("patience", 1)
    assert hangup.issued.call_control_id == EXAMPLE_LEG


def test_an_order_needs_an_event_before_it() -> None:
    with pytest.raises(AssertionError, match="needs an event before it"):
        given(PATIENCE, Answer()).when(CallAnswered())


def test_a_timer_that_was_not_expected_is_shown() -> None:
    with pytest.raises(AssertionError) as raised:
        given(PATIENCE).when(INCOMING).then_nothing()
    assert "SetTimer(name='no-answer', after_s=20)" in str(raised.value)
