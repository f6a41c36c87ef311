"""The leg of a dial that failed because its call had ended: it is hung up when it comes up."""

from collections.abc import Sequence
from functools import reduce
from typing import Any

import pytest

from offhook.codec.facts import encoded_webhook
from offhook.codec.webhooks import wire_body
from offhook.commands import Command, Dial, Hangup
from offhook.events import (
    CallAnswered,
    CallHangup,
    CallInitiated,
    CommandFailed,
    Decided,
    Event,
    IssuedCommand,
)
from offhook.flow import Flow
from offhook.session import Session, evolve
from offhook.session.inserted import UNWANTED_LEG
from offhook.telnyx.outcomes import Accepted, Outcome, Refused
from tests.memory_log import MemoryLog
from tests.workers.sessions.stand import (
    LEG,
    SESSION,
    ScriptedCarrier,
    answered,
    arrive,
    facts,
    hung_up,
    settler_on,
)
from tests.workers.sessions.test_execute import AGENT, CONNECTION, DIAL, LOST, HangsUp, on_answer

NEW_LEG = "v3:leg-b"
IDS = {"call_control_id": NEW_LEG, "call_leg_id": "b", "call_session_id": SESSION}


def placed(**more: Any) -> CallInitiated:
    """The first webhook of the leg that the dial placed."""
    facts = {
        "event_id": "b1",
        "call_control_id": NEW_LEG,
        "direction": "outgoing",
        "to": AGENT,
        "connection_id": CONNECTION,
    }
    return CallInitiated(**(facts | more))


@pytest.mark.parametrize("before_the_hangup", [True, False])
async def test_the_leg_of_a_dial_whose_call_ended_is_hung_up_once(before_the_hangup: bool) -> None:
    log = MemoryLog()

    class Late(HangsUp):
        async def send(self, command: IssuedCommand, *, repeated: bool = False) -> Outcome:
            if command.operation == "dial" and before_the_hangup:
                await arrive(log, placed())
            return await super().send(command, repeated=repeated)

    carrier = Late(log, LOST)
    await arrive(log, answered())
    settler = settler_on(log, carrier, on_answer(DIAL))
    await settler.settle(SESSION)
    if not before_the_hangup:
        assert carrier.operations == ["dial"]
        await settler.settle(SESSION, await arrive(log, placed()))
    picked_up = CallAnswered(event_id="b2", call_control_id=NEW_LEG, to=AGENT)
    await settler.settle(SESSION, await arrive(log, picked_up))
    assert [(sent.operation, sent.call_control_id) for sent, _ in carrier.sent] == [
        ("dial", None),
        ("hangup", NEW_LEG),
    ]
    warned = [
        warning
        for decided in await facts(log, Decided)
        if isinstance(decided, Decided)
        for warning in decided.warnings
    ]
    (failed,) = await facts(log, CommandFailed)
    assert isinstance(failed, CommandFailed)
    assert warned == [
        f"hangup: the leg's dial ({failed.command_id}) has failed, and its call has ended"
    ]
    session = reduce(evolve, await log.read(SESSION), Session(session_id=SESSION))
    assert {
        state.issued.operation: state.flow for state in session.commands.values() if state.issued
    } == {"dial": "f", "hangup": UNWANTED_LEG}


@pytest.mark.parametrize(
    "other",
    [
        {"to": "+12025550110"},
        {"connection_id": "2"},
        {"direction": "incoming"},
        {"client_state": "b3RoZXI="},
    ],
    ids=lambda other: next(iter(other)),
)
async def test_a_leg_that_the_dial_cannot_have_placed_is_left_alone(other: dict[str, str]) -> None:
    log = MemoryLog()
    carrier = HangsUp(log, LOST)
    await arrive(log, answered())
    dial = Dial(
        to=AGENT,
        from_="+12025550100",
        connection_id=CONNECTION,
        link_to=LEG,
        client_state="b3Vycw==",
    )
    settler = settler_on(log, carrier, on_answer(dial))
    await settler.settle(SESSION)
    await settler.settle(
        SESSION, await arrive(log, placed(**({"client_state": "b3Vycw=="} | other)))
    )
    assert carrier.operations == ["dial"]
    # And the one that it did place is not.
    same = placed(event_id="b3", call_control_id="v3:leg-c", client_state="b3Vycw==")
    await settler.settle(SESSION, await arrive(log, same))
    assert carrier.operations == ["dial", "hangup"]


async def test_a_leg_that_another_dial_placed_or_may_have_placed_is_left_to_the_flow() -> None:
    """The second dial of the same number succeeded, or was taken without its ids being told."""
    for answer in ({"data": IDS}, {}):
        log = MemoryLog()
        taken = Accepted(status=200, answer=answer)
        carrier = HangsUp(log, taken, LOST, during=2)
        await arrive(log, answered())
        settler = settler_on(log, carrier, on_answer(DIAL, DIAL))
        await settler.settle(SESSION)
        await settler.settle(SESSION, await arrive(log, placed()))
        assert carrier.operations == ["dial", "dial"]


async def test_a_leg_whose_dial_was_given_up_is_hung_up_only_once_its_call_has_ended() -> None:
    for ended in (False, True):
        log = MemoryLog()
        carrier = ScriptedCarrier(log, *[LOST] * 30)
        await arrive(log, answered())
        settler = settler_on(log, carrier, on_answer(DIAL))
        await settler.settle(SESSION)
        (failed,) = await facts(log, CommandFailed)
        assert isinstance(failed, CommandFailed)
        assert (failed.reason, failed.maybe_performed) == ("deadline", True)
        if ended:
            await arrive(log, hung_up())
        await settler.settle(SESSION, await arrive(log, placed()))
        assert ("hangup" in carrier.operations) is ended


async def test_a_failed_hangup_is_offered_to_no_flow_and_tried_again_at_the_next_event() -> None:
    log = MemoryLog()
    carrier = HangsUp(log, LOST, Refused(status=422, group="unexplained", detail="422"))
    seen: list[Event] = []

    def decide(event: Event, session: Session) -> Sequence[Command]:
        seen.append(event)
        return [DIAL] if isinstance(event, CallAnswered) and event.call_control_id == LEG else []

    await arrive(log, answered())
    settler = settler_on(log, carrier, Flow(name="f", version="1", decide=decide))
    await settler.settle(SESSION)
    await settler.settle(SESSION, await arrive(log, placed()))
    dial, hangup = await facts(log, CommandFailed)
    assert [each for each in seen if isinstance(each, CommandFailed)] == [dial]
    assert isinstance(hangup, CommandFailed)
    decided = (await facts(log, Decided))[-1]
    assert isinstance(decided, Decided)
    assert (decided.flow, decided.commands) == (UNWANTED_LEG, ())
    picked_up = CallAnswered(event_id="b2", call_control_id=NEW_LEG, to=AGENT)
    await settler.settle(SESSION, await arrive(log, picked_up))
    assert carrier.operations == ["dial", "hangup", "hangup"]


async def test_a_flow_that_hangs_the_leg_up_itself_is_not_helped() -> None:
    def decide(event: Event, session: Session) -> Sequence[Command]:
        match event:
            case CallAnswered():
                return [DIAL]
            case CallInitiated():
                return [Hangup(client_state="b3Vycw==")]
            case _:
                return []

    log = MemoryLog()
    carrier = HangsUp(log, LOST)
    await arrive(log, answered())
    settler = settler_on(log, carrier, Flow(name="f", version="1", decide=decide))
    await settler.settle(SESSION)
    await settler.settle(SESSION, await arrive(log, placed()))
    (hangup,) = [sent for sent, _ in carrier.sent if sent.operation == "hangup"]
    assert hangup.parameters == {"client_state": "b3Vycw=="}


async def test_a_leg_that_has_ended_already_is_not_hung_up() -> None:
    log = MemoryLog()
    carrier = HangsUp(log, LOST)
    await arrive(log, answered())
    settler = settler_on(log, carrier, on_answer(DIAL))
    await settler.settle(SESSION)
    gone = CallHangup(event_id="b9", call_control_id=NEW_LEG, to=AGENT, connection_id=CONNECTION)
    body = encoded_webhook(wire_body(gone), gone.event_id)
    await settler.settle(SESSION, (await log.append(SESSION, "in", body)).seq)
    assert carrier.operations == ["dial"]
