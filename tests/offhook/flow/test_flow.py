"""Flows: which one a call gets, whose leg a command means, and ids that never change."""

import dataclasses
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.codec.facts import fact_id_of
from offhook.commands import Answer, Command, Dial, Hangup
from offhook.events import (
    CallAnswered,
    CallEvent,
    CallInitiated,
    CommandFailed,
    Decided,
    Event,
    Fact,
    IssuedCommand,
    Record,
    TimerFired,
    TimerOrder,
    UnknownEvent,
    WebhookReceived,
)
from offhook.flow import (
    NO_FLOW,
    PARKED,
    UNWANTED,
    Flow,
    addressed,
    command_id_for,
    flow_for,
    unmatched,
)
from offhook.session import Session, fold
from offhook.session.inserted import UNWANTED_LEG, reason_of_hangup


def decide_nothing(event: Event, session: Session) -> Sequence[Command]:
    return []


def flow(name: str, *, numbers: Sequence[str] = (), connections: Sequence[str] = ()) -> Flow:
    return Flow(
        name=name,
        version="1",
        decide=decide_nothing,
        numbers=frozenset(numbers),
        connection_ids=frozenset(connections),
    )


ANY = flow("any")
SECOND_ANY = flow("second-any")
SALES = flow("sales", numbers=["+12025550100"])
SHOP = flow("shop", connections=["shop"])
FLOWS = [ANY, SECOND_ANY, SALES, SHOP]

INCOMING = CallInitiated(
    event_id="e1",
    call_control_id="leg-a",
    direction="incoming",
    to="+12025550100",
    connection_id="shop",
)
OUTGOING = CallInitiated(
    event_id="e2",
    call_control_id="leg-b",
    direction="outgoing",
    to="+12025550100",
    connection_id="shop",
)


def session_of(*facts: CallEvent | Fact) -> Session:
    records = []
    for seq, item in enumerate(facts, start=1):
        fact: Fact = WebhookReceived(event=item) if isinstance(item, CallEvent) else item
        records.append(
            Record(
                seq=seq,
                stored_at=datetime(2026, 11, 22, tzinfo=UTC) + timedelta(seconds=seq),
                session_id="s",
                fact=fact,
                fact_id=fact_id_of(fact, "s"),
            )
        )
    return fold("s", records)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("name", None, "text"),
        ("version", 2, "text"),
        ("numbers", ["+12025550100"], "a frozenset"),
        ("connection_ids", "shop", "a frozenset"),
    ],
)
def test_a_flow_that_no_decision_could_name_is_refused(
    field: str, value: Any, expected: str
) -> None:
    right: dict[str, Any] = {"name": "any", "version": "1", "decide": decide_nothing}
    with pytest.raises(TypeError, match=f"^Flow: {field} is .*; expected {expected}$"):
        Flow(**{**right, field: value})


async def decide_later(event: Event, session: Session) -> Sequence[Command]:
    return []


@pytest.mark.parametrize(
    ("decide", "fault"),
    [
        (decide_later, "is async"),
        (lambda event: [], r"takes \(event\)"),
        (lambda event, session, more: [], r"takes \(event, session, more\)"),
        ("decide", "is 'decide'"),
    ],
)
def test_a_function_that_could_not_decide_is_refused_before_any_call(
    decide: Any, fault: str
) -> None:
    expected = r"; expected a plain function decide\(event, session\)$"
    with pytest.raises(TypeError, match=f"^Flow: decide {fault}{expected}"):
        Flow(name="any", version="1", decide=decide)


def test_a_function_with_more_that_has_defaults_decides() -> None:
    def with_menu(event: Event, session: Session, menu: Sequence[str] = ()) -> Sequence[Command]:
        return []

    def of_all(*given: object) -> Sequence[Command]:
        return []

    for decide in (with_menu, of_all):
        Flow(name="any", version="1", decide=decide)


def test_the_called_number_comes_before_the_connection() -> None:
    assert flow_for(FLOWS, INCOMING, session_of(INCOMING)) is SALES
    assert flow_for([ANY, SHOP], INCOMING, session_of(INCOMING)) is SHOP
    assert flow_for([ANY, SECOND_ANY], INCOMING, session_of(INCOMING)) is ANY


@pytest.mark.parametrize(
    "to", ["12025550100", "sip:+12025550100@acme.sip.telnyx.com", "+1 202-555-0100"]
)
@pytest.mark.parametrize("number", ["+12025550100", "12025550100", "+1-202-555-0100"])
def test_a_number_is_the_same_however_it_is_spelt(number: str, to: str) -> None:
    event = dataclasses.replace(INCOMING, to=to)
    sales = flow("sales", numbers=["+12025550199", number])
    assert flow_for([ANY, sales], event, session_of(event)) is sales


def test_an_incoming_call_that_no_flow_takes_is_warned_of() -> None:
    assert flow_for([SALES], OUTGOING, session_of(OUTGOING)) is NO_FLOW
    assert unmatched([SALES], INCOMING) == (
        "no flow takes this call: to is '+12025550100' and connection_id is 'shop'; add one of "
        "them to a flow, or load a flow without numbers and connection_ids"
    )
    assert unmatched([SALES], OUTGOING) == ""
    assert unmatched([SALES], CallAnswered(event_id="e3")) == ""
    assert unmatched([], INCOMING) == ""


def test_a_number_that_we_call_is_not_a_called_number() -> None:
    assert flow_for(FLOWS, OUTGOING, session_of(OUTGOING)) is SHOP


def test_a_leg_that_was_transferred_to_belongs_to_the_call_that_came_in() -> None:
    other = CallInitiated(
        event_id="e3", call_control_id="leg-c", direction="outgoing", to="+12025550177"
    )
    assert flow_for(FLOWS, other, session_of(INCOMING, other)) is SALES


def test_an_event_without_a_leg_belongs_to_the_call_that_came_in() -> None:
    unknown = UnknownEvent(event_type="conference.created", event_id="e4")
    assert flow_for(FLOWS, unknown, session_of(INCOMING, unknown)) is SALES
    assert flow_for(FLOWS, unknown, session_of(unknown)) is ANY


def test_a_failed_command_goes_back_to_the_flow_that_gave_it() -> None:
    decided = Decided(
        cause_seq=1,
        cause_id="e1",
        flow="shop",
        flow_version="1",
        worker="w",
        lease_s=4.0,
        commands=(IssuedCommand(command_id="c1", operation="dial"),),
    )
    failed = CommandFailed(command_id="c1", operation="dial", reason="refused")
    stranger = CommandFailed(command_id="c2", operation="dial", reason="refused")
    session = session_of(OUTGOING, decided, failed)
    assert flow_for(FLOWS, failed, session) is SHOP
    assert flow_for([ANY, SALES], failed, session) is ANY
    assert flow_for(FLOWS, stranger, session) is ANY


@pytest.mark.parametrize("decided_by", ["shop", "any", PARKED.name])
def test_a_failed_hangup_that_offhook_added_goes_to_no_flow(decided_by: str) -> None:
    hangup = IssuedCommand(command_id="c1", operation="hangup", call_control_id="leg-b")
    decided = Decided(
        cause_seq=1,
        cause_id="e1",
        flow=decided_by,
        flow_version="1",
        worker="w",
        lease_s=4.0,
        commands=(hangup,),
        warnings=(reason_of_hangup("c0"),),
    )
    failed = CommandFailed(
        command_id="c1", operation="hangup", call_control_id="leg-b", reason="refused"
    )
    session = session_of(OUTGOING, decided, failed)
    assert session.commands["c1"].flow == UNWANTED_LEG
    assert flow_for(FLOWS, OUTGOING, session) is SHOP
    assert flow_for(FLOWS, failed, session) is UNWANTED


def test_a_timer_goes_back_to_the_flow_that_set_it() -> None:
    order = TimerOrder(timer_id="1-0", name="menu", call_control_id="leg-b", after_s=5)
    decided = Decided(
        cause_seq=1,
        cause_id="e1",
        flow="shop",
        flow_version="1",
        worker="w",
        lease_s=4.0,
        timers=(order,),
    )
    fired = TimerFired(timer_id="1-0", name="menu", call_control_id="leg-b")
    stranger = TimerFired(timer_id="2-0", name="menu", call_control_id="leg-b")
    session = session_of(OUTGOING, decided, fired)
    assert flow_for(FLOWS, fired, session) is SHOP
    assert flow_for([ANY, SALES], fired, session) is ANY
    assert flow_for([ANY, SHOP], stranger, session) is SHOP, "as any event of the leg"


def test_a_call_that_nobody_asks_for_gets_no_flow() -> None:
    picked = flow_for([SALES], OUTGOING, session_of(OUTGOING))
    assert picked is NO_FLOW
    assert list(picked.decide(OUTGOING, session_of(OUTGOING))) == []
    assert flow_for([], INCOMING, session_of(INCOMING)) is NO_FLOW


def test_an_unknown_number_matches_no_flow() -> None:
    silent = CallInitiated(event_id="e5", call_control_id="leg-a", direction="incoming")
    assert flow_for(FLOWS, silent, session_of(silent)) is ANY


# ------------------------------------------------------------------ whose leg

ANSWERED = CallAnswered(event_id="e6", call_control_id="leg-a")


def test_a_command_without_a_leg_means_the_events_own() -> None:
    assert addressed(Hangup(), ANSWERED) == Hangup(call_control_id="leg-a")
    fired = TimerFired(name="menu", call_control_id="leg-a")
    assert addressed(Hangup(), fired) == Hangup(call_control_id="leg-a")


def test_a_command_with_a_leg_keeps_it() -> None:
    command = Answer(call_control_id="leg-z")
    assert addressed(command, ANSWERED) is command


def test_a_dial_has_no_leg() -> None:
    dial = Dial(to="+12025550123", from_="+12025550199", connection_id="1")
    assert addressed(dial, ANSWERED) is dial


# ------------------------------------------------------------------ ids


@pytest.mark.parametrize(
    ("session_id", "cause_seq", "ordinal", "command_id"),
    [
        ("session-1", 7, 0, "1085b3b0-0367-5307-adf4-9d1266365524"),
        ("session-1", 7, 1, "12f7a715-1b2d-591f-a7cd-0a626bcd5e9b"),
        ("session-1", 8, 0, "04b76d8d-476f-5e95-a1b9-a5b2489c7d30"),
        ("session-2", 7, 0, "30b033ac-552e-5547-b8be-5c9d0524917d"),
    ],
)
def test_a_command_id_is_the_same_for_ever(
    session_id: str, cause_seq: int, ordinal: int, command_id: str
) -> None:
    """A worker that takes over must send the ids that the one before it sent."""
    assert command_id_for(session_id, cause_seq, ordinal) == command_id


decisions = st.tuples(
    st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True),
    st.integers(1, 2**63),
    st.integers(0, 100),
)


@given(decisions, decisions)
def test_two_decisions_never_share_a_command_id(
    one: tuple[str, int, int], other: tuple[str, int, int]
) -> None:
    assert (command_id_for(*one) == command_id_for(*other)) == (one == other)


@given(st.text(), st.integers(), st.integers())
def test_a_command_id_is_a_uuid_of_version_5(session: str, seq: int, ordinal: int) -> None:
    namespace = uuid.UUID("6f66c8f1-2f9e-5d0c-9a53-6f66686f6f6b")
    try:
        wanted = str(uuid.uuid5(namespace, f"{session}/{seq}/{ordinal}"))
    except UnicodeEncodeError:
        return
    assert command_id_for(session, seq, ordinal) == wanted
