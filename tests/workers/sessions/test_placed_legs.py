"""A dial that succeeds tells the leg's own session of the leg, whatever its webhooks do."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from offhook.codec.facts import Encoded, encode
from offhook.commands import Command, Hangup
from offhook.commands.catalog import parameters_of
from offhook.events import (
    CallHangup,
    CommandRequested,
    CommandSucceeded,
    Event,
    IssuedCommand,
    LegPlaced,
    PlacedLeg,
)
from offhook.flow import Flow
from offhook.jetstream.log import Appended
from offhook.jetstream.subjects import Side
from offhook.session import Session, fold
from offhook.telnyx.outcomes import Accepted
from tests.memory_log import MemoryLog
from tests.workers.sessions.stand import (
    LEG,
    SESSION,
    ScriptedCarrier,
    answered,
    arrive,
    hung_up,
    settler_on,
)
from tests.workers.sessions.test_execute import AGENT, CONNECTION, DIAL

NEW_LEG, NEW_SESSION = "v3:leg-b", "session-2"


def taken(session_id: str) -> Accepted:
    ids = {"call_control_id": NEW_LEG, "call_leg_id": "b", "call_session_id": session_id}
    return Accepted(status=200, answer={"data": ids})


def leg_in(session_id: str) -> PlacedLeg:
    return PlacedLeg(
        call_control_id=NEW_LEG,
        session_id=session_id,
        call_leg_id="b",
        connection_id=CONNECTION,
        from_number="+12025550100",
        to_number=AGENT,
    )


async def request_dial(log: MemoryLog) -> None:
    parameters = {name: value for name, value in parameters_of(DIAL).items() if name != "link_to"}
    dial = IssuedCommand(command_id="c-1", operation="dial", parameters=parameters)
    await log.append(SESSION, "in", encode(CommandRequested(command=dial), SESSION))


async def test_the_session_of_the_placed_leg_knows_it_before_the_outcome_is_recorded() -> None:
    log = MemoryLog()
    await request_dial(log)
    await settler_on(log, ScriptedCarrier(log, taken(NEW_SESSION))).settle(SESSION)
    (placed,) = await log.read(NEW_SESSION)
    assert placed.fact == LegPlaced(
        leg=leg_in(NEW_SESSION), command_id="c-1", command_session_id=SESSION
    )
    outcome = (await log.read(SESSION))[-1]
    assert isinstance(outcome.fact, CommandSucceeded)
    assert outcome.fact.placed == leg_in(NEW_SESSION)
    assert placed.seq < outcome.seq
    assert fold(NEW_SESSION, [placed]).status == "active"
    assert fold(SESSION, await log.read(SESSION)).legs == {}, "one call, one session"
    # It wakes a worker, which has nothing to do for it.
    carrier = ScriptedCarrier(log)
    await settler_on(log, carrier, worker="w2").settle(NEW_SESSION, placed.seq)
    assert (carrier.sent, len(await log.read(NEW_SESSION))) == ([], 1)


async def test_a_worker_that_stops_between_the_two_leaves_one_leg_and_one_outcome() -> None:
    class Stops(MemoryLog):
        stopped = False

        async def append(
            self, session_id: str, side: Side, encoded: Encoded, **more: Any
        ) -> Appended:
            if encoded.type == "CommandSucceeded" and not self.stopped:
                self.stopped = True
                raise InterruptedError
            return await super().append(session_id, side, encoded, **more)

    log = Stops()
    await request_dial(log)
    carrier = ScriptedCarrier(log, taken(NEW_SESSION), taken(NEW_SESSION))
    try:
        await settler_on(log, carrier).settle(SESSION)
    except InterruptedError:
        log.now += timedelta(seconds=4)
    await settler_on(log, carrier, worker="w2").settle(SESSION)
    assert [(sent.command_id, repeated) for sent, repeated in carrier.sent] == [
        ("c-1", False),
        ("c-1", True),
    ]
    assert len(await log.read(NEW_SESSION)) == 1
    assert fold(SESSION, await log.read(SESSION)).commands["c-1"].status == "succeeded"


async def test_a_flow_knows_the_leg_it_dialled_when_the_caller_leaves_before_any_webhook() -> None:
    def decide(event: Event, session: Session) -> Sequence[Command]:
        match event:
            case CallHangup():
                legs = session.legs.values()
                return [Hangup(call_control_id=each.call_control_id) for each in legs]
            case _:
                return [DIAL]

    log = MemoryLog()
    carrier = ScriptedCarrier(log, taken(SESSION))
    await arrive(log, answered())
    settler = settler_on(log, carrier, Flow(name="f", version="1", decide=decide))
    await settler.settle(SESSION)
    assert [record.side for record in await log.read(SESSION)] == ["in", "out", "out"]
    await settler.settle(SESSION, await arrive(log, hung_up()))
    assert [(sent.operation, sent.call_control_id) for sent, _ in carrier.sent] == [
        ("dial", None),
        ("hangup", NEW_LEG),
    ]
    assert set(fold(SESSION, await log.read(SESSION)).legs) == {LEG, NEW_LEG}
