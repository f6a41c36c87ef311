"""Callers who leave while a dial has no answer yet, by the hundred: what the records say of it, and
which legs are left up. The carrier is the simulator's state machine, its answers come late, or not.
"""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Sequence
from datetime import timedelta
from random import Random
from typing import Any, Literal, get_args

import msgspec
import pytest

from offhook.codec.facts import encoded_webhook
from offhook.commands import Answer, Bridge, Command, Dial, Hangup
from offhook.commands.catalog import command_from
from offhook.events import (
    CallAnswered,
    CallHangup,
    CallInitiated,
    CommandFailed,
    CommandSucceeded,
    Decided,
    Event,
    IssuedCommand,
)
from offhook.flow import Flow
from offhook.session import CommandState, Session, fold
from offhook.simulator.call.changes import OutgoingWebhook
from offhook.simulator.errors.carrier_error import CarrierError
from offhook.simulator.errors.service_errors import duplicate_command
from offhook.simulator.ledger import DIALS, Ledger
from offhook.simulator.random_ids import RandomIds
from offhook.simulator.webhooks.envelopes import data_of
from offhook.telnyx.outcomes import NoAnswer, Outcome, outcome_of
from offhook.workers.intake.slots import Slots
from offhook.workers.metrics import WorkerMetrics
from offhook.workers.sending.carrier_readiness import CarrierReadiness
from offhook.workers.sending.queue import CommandQueue
from offhook.workers.sending.rate_limits import RateLimits
from offhook.workers.sessions.execute import Timing
from offhook.workers.sessions.settle import HeldElsewhere, Settler
from tests.memory_log import MemoryLog
from tests.memory_timetable import MemoryTimetable
from tests.simulator.calls import CALLER, FRIEND, OURS, Calls
from tests.virtual_clock import VirtualClock

CALLS = 40
TRY_S, TICK_S, TALK_MAX_S = 2.0, 0.1, 6.0
SETTLED_S, SLOW_TICK_S = 50.0, 1.0  # so long until nothing more can come of a call

DuplicateAnswer = Literal["first", "empty", "error"]
Fate = Literal["good", "slow", "lost", "late", "failed", "unreached", "unperformed"]
"""Of a try: performed and answered soon, later, never, too late, by a 500; or not performed, for
no connection was made, or the request got lost on its way."""


def decide(event: Event, session: Session) -> Sequence[Command]:
    """Answer, call somebody, connect the two; whoever leaves takes the other along."""
    caller = session.caller
    match event:
        case CallInitiated(direction="incoming"):
            return [Answer()]
        case CallAnswered() if caller is not None and caller.call_control_id == (
            event.call_control_id
        ):
            leg = event.call_control_id
            return [Dial(to=FRIEND, from_=OURS, connection_id="1", link_to=leg)]
        case CallAnswered() if caller is not None and caller.state == "ended":
            # Of a dial that has failed it is hung up without the flow.
            dials = [each for each in session.commands.values() if each.status == "succeeded"]
            return [Hangup()] if any(_is_dial(each) for each in dials) else []
        case CallAnswered() if caller is not None:
            return [Bridge(call_control_id_to_bridge_with=caller.call_control_id)]
        case CallHangup():
            legs = session.legs.values()
            return [
                Hangup(call_control_id=leg.call_control_id)
                for leg in legs
                if leg.call_control_id != event.call_control_id and leg.state != "ended"
            ]
        case CommandFailed(operation="dial") if not event.maybe_performed:
            assert caller is not None
            return [Hangup(call_control_id=caller.call_control_id)]
        case _:
            return []


def _is_dial(state: CommandState) -> bool:
    return state.issued is not None and state.issued.operation == "dial"


FLOW = Flow(name="connects", version="1", decide=decide)


class World:
    """One call after the other; `seed` says what becomes of each try, webhook and worker."""

    def __init__(self, seed: int, duplicates: DuplicateAnswer) -> None:
        self._dice = Random(seed)
        self._duplicates = duplicates
        self._log = MemoryLog()
        self._carrier = Calls(now=self._log.now, ids=RandomIds(Random(seed)))
        self._clock = VirtualClock(on_jump=self._jumped)
        self._ledger = Ledger()
        self._told = 0
        self._workers = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._settling: tuple[Settler, asyncio.Lock] = self._worker(), asyncio.Lock()
        self.performed: Counter[str] = Counter()  # by command_id
        self.warnings = 0  # of decisions, that a leg nobody wants is hung up

    async def run(self) -> Session:
        """The call's session, and all its legs at the carrier are in `legs_up` if they are up."""
        caller = self._carrier.ring(hangup_after_s=self._dice.uniform(0.0, TALK_MAX_S))
        session_id = self._carrier.legs[caller].call_session_id
        dies_at = self._dice.uniform(0, TALK_MAX_S) if self._dice.random() < 0.3 else None
        await self._clock.run(self._live(session_id, dies_at))
        records = await self._log.read(session_id)
        decisions = [each.fact for each in records if isinstance(each.fact, Decided)]
        self.warnings = sum("its call has ended" in "".join(each.warnings) for each in decisions)
        return fold(session_id, records)

    def legs_up(self) -> list[str]:
        return [leg.call_control_id for leg in self._carrier.legs.values() if not leg.ended]

    async def send(self, command: IssuedCommand, *, repeated: bool = False) -> Outcome:
        fate: Fate = self._dice.choices(get_args(Fate), weights=(2, 2, 4, 4, 2, 1, 2))[0]
        if command.operation in ("answer", "hangup"):
            fate = "good"
        await self._clock.sleep(0.02)
        if fate == "unreached":
            return NoAnswer(detail="ConnectError", maybe_taken=False)
        outcome = None if fate == "unperformed" else self._perform(command, repeated)
        await self._clock.sleep(self._dice.uniform(0.5, 1.9) if fate == "slow" else 0)
        if fate in ("unperformed", "lost", "late"):
            await self._clock.sleep(TRY_S)
            return NoAnswer(detail="ReadTimeout")
        if fate == "failed":
            return outcome_of(command.operation, 500, {}, b"", repeated=repeated)
        assert outcome is not None
        return outcome

    def _perform(self, command: IssuedCommand, repeated: bool) -> Outcome:
        scope = command.call_control_id or DIALS
        now = self._carrier.now
        try:
            answer = self._ledger.first_answer(scope, command.command_id, now)
            if answer is None:
                answer = self._obey(command)
                self._ledger.remember(scope, command.command_id, answer, now)
            elif self._duplicates == "empty":
                answer = {"result": "ok"}
            elif self._duplicates == "error":
                raise duplicate_command()
        except CarrierError as refused:
            body = msgspec.json.encode(refused.body)
            status = refused.status
        else:
            body, status = msgspec.json.encode({"data": answer}), 200
        return outcome_of(command.operation, status, {}, body, repeated=repeated)

    def _obey(self, command: IssuedCommand) -> dict[str, str]:
        leg = self._carrier.do(
            command_from(command.operation, command.parameters, command.call_control_id),
            command.call_control_id,
        )
        self.performed[command.command_id] += 1
        if command.operation != "dial":
            return {"result": "ok"}
        placed = self._carrier.legs[leg]
        return {"call_control_id": leg, "call_session_id": placed.call_session_id}

    async def _live(self, session_id: str, dies_at: float | None) -> None:
        """The whole call, and all that may still come of it."""
        began_at = self._clock.now
        while (passed_s := self._clock.now - began_at) < TALK_MAX_S + SETTLED_S:
            await self._clock.sleep(TICK_S if passed_s < 2 * TALK_MAX_S else SLOW_TICK_S)
            self._deliver()
            if dies_at is not None and self._clock.now - began_at > dies_at:
                dies_at = None
                self._kill(session_id)
        for task in self._tasks:
            assert task.done(), "somebody still works on the call"

    def _deliver(self) -> None:
        """Send what the carrier has to tell, each webhook with a delay of its own."""
        told, self._told = self._carrier.webhooks[self._told :], len(self._carrier.webhooks)
        for webhook in told:
            self._begin(self._arrives(webhook, self._dice.choice((0.0, 0.3, 2.5, 5.0))))

    async def _arrives(self, webhook: OutgoingWebhook, delay_s: float) -> None:
        await self._clock.sleep(delay_s)
        body = msgspec.json.encode({"data": data_of(webhook)})
        session_id = webhook.payload["call_session_id"]
        appended = await self._log.append(session_id, "in", encoded_webhook(body, webhook.id))
        await self._settle(session_id, appended.seq)

    async def _settle(self, session_id: str, seq: int = 0) -> None:
        while True:
            settler, lock = self._settling
            async with lock:
                if settler is not self._settling[0]:
                    continue
                settled = await settler.settle(session_id, seq)
            if not isinstance(settled, HeldElsewhere):
                return
            await self._clock.sleep(0.5)

    def _kill(self, session_id: str) -> None:
        """The worker dies in the midst of what it does; another finds its lease."""
        self._settling = self._worker(), asyncio.Lock()
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()
        self._begin(self._settle(session_id))
        for webhook in self._carrier.webhooks[: self._told]:
            self._begin(self._arrives(webhook, 0.5))  # the carrier tries again; most are known

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.add(asyncio.create_task(work))

    def _worker(self) -> Settler:
        self._workers += 1
        metrics, name = WorkerMetrics(), f"w{self._workers}"
        slots = Slots(8)
        return Settler(
            worker=name,
            log=self._log,
            timetable=MemoryTimetable(self._log),
            sender=self,
            flows=[FLOW],
            timing=Timing(
                now=lambda: self._log.now, sleep=self._clock.sleep, chance=self._dice.random
            ),
            send_s=TRY_S,
            metrics=metrics,
            readiness=CarrierReadiness(),
            queue=CommandQueue(
                RateLimits(name, {}, self._clock.now),
                slots,
                metrics,
                clock=lambda: self._clock.now,
                sleep=self._clock.sleep,
            ),
        )

    def _jumped(self, seconds: float) -> None:
        self._log.now += timedelta(seconds=seconds)
        self._carrier.wait(seconds)


@pytest.mark.parametrize("duplicates", get_args(DuplicateAnswer))
async def test_no_leg_is_left_up_and_no_performed_command_is_said_not_to_have_been(
    duplicates: DuplicateAnswer,
) -> None:
    seen: Counter[str] = Counter()
    for seed in range(CALLS):
        world = World(seed, duplicates)
        session = await world.run()
        where = f"seed {seed}, {duplicates}"
        assert session.legs[next(iter(session.legs))].from_ == CALLER, where
        assert not world.legs_up(), f"{where}: {len(world.legs_up())} legs are left up"
        assert set(world.performed.values()) <= {1}, f"{where}: doubled"
        for state in session.commands.values():
            assert state.outcome is not None, f"{where}: {state.command_id} has no outcome"
            performed = bool(world.performed[state.command_id])
            match state.outcome:
                case CommandFailed(maybe_performed=maybe_performed, detail=detail):
                    assert maybe_performed or not performed, f"{where}: {detail}"
                    assert "nothing was sent" not in detail or not performed, where
                    if _is_dial(state):
                        seen[f"dial failed, performed: {performed}"] += 1
                case CommandSucceeded():
                    pass
        seen["hung up without the flow"] += world.warnings
    assert seen["hung up without the flow"], seen
    assert seen["dial failed, performed: True"] >= CALLS // 20, seen
    assert seen["dial failed, performed: False"] >= CALLS // 20, seen
