"""A command that waits for a permit keeps its lease, and is sent only if it is still wanted."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from offhook.codec.facts import Encoded, encode, encoded_webhook
from offhook.codec.webhooks import wire_body
from offhook.errors import LogUnavailable
from offhook.events import (
    CallHangup,
    CommandAttempted,
    CommandFailed,
    CommandRequested,
    CommandSucceeded,
    Decided,
    Fact,
    IssuedCommand,
    Record,
)
from offhook.jetstream.log import Appended
from offhook.jetstream.subjects import Side
from offhook.telnyx.outcomes import Accepted, Busy, NoAnswer, Outcome
from offhook.workers.intake.slots import Slots
from offhook.workers.metrics import WorkerMetrics
from offhook.workers.sending import queue as queue_module
from offhook.workers.sending.attempt import WAITING_LEASE_S
from offhook.workers.sending.carrier_readiness import CarrierReadiness
from offhook.workers.sending.queue import CommandQueue
from offhook.workers.sending.rate_limits import RateLimits
from offhook.workers.sessions.execute import Timing
from offhook.workers.sessions.settle import HeldElsewhere, Settled, Settler
from tests.memory_log import MemoryLog
from tests.memory_timetable import MemoryTimetable
from tests.virtual_clock import VirtualClock

ACCEPTED = Accepted(status=200, answer={"data": {"result": "ok"}})
DIALLED = {"to": "+12025550123", "from": "+12025550100", "connection_id": "1"}


class SlowLog(MemoryLog):
    """From a second of the clock on, workers hear only `after_s` later that a record is stored."""

    def __init__(self, clock: VirtualClock, after_s: float, from_s: float) -> None:
        super().__init__()
        self._clock = clock
        self._after_s = after_s
        self._from_s = from_s

    async def append(self, session_id: str, side: Side, *args: Any, **more: Any) -> Appended:
        appended = await super().append(session_id, side, *args, **more)
        if side == "out" and self._clock.now >= self._from_s:
            await self._clock.sleep(self._after_s)
        return appended


class ClosedLimits(RateLimits):
    """There is no turn for anything, or for a dial, until then: whatever may be the reason."""

    until = dials_until = float("-inf")

    def closed_until(self, operation: str) -> float:
        dials_until = self.dials_until if operation == "dial" else self.until
        return max(self.until, dials_until, super().closed_until(operation))


class World:
    """Workers on one log, in virtual time; `closed_s` is how long the carrier takes nothing."""

    def __init__(
        self, closed_s: float, *answers: Outcome, slow_s: float = 0, slow_from_s: float = 0
    ) -> None:
        self.clock = VirtualClock(on_jump=self._jumped)
        self.log = SlowLog(self.clock, slow_s, slow_from_s) if slow_s else MemoryLog()
        self.answers = list(answers)
        self.sent: list[tuple[str, bool, float]] = []  # operation, repeated, when
        self.closed_s = closed_s
        self.queues: dict[str, CommandQueue] = {}
        self.limits: dict[str, ClosedLimits] = {}

    def _jumped(self, seconds: float) -> None:
        self.log.now += timedelta(seconds=seconds)

    def worker(self, name: str, slots: Slots | None = None) -> Settler:
        metrics = WorkerMetrics()
        limits = self.limits[name] = ClosedLimits(name, {}, self.clock.now)
        limits.until = self.clock.now + self.closed_s
        queue = CommandQueue(
            limits,
            slots or Slots(8),
            metrics,
            clock=lambda: self.clock.now,
            sleep=self.clock.sleep,
        )
        self.queues[name] = queue
        timing = Timing(now=lambda: self.log.now, sleep=self.clock.sleep, chance=lambda: 1.0)
        return Settler(
            worker=name,
            log=self.log,
            timetable=MemoryTimetable(self.log),
            sender=self,
            flows=[],
            timing=timing,
            send_s=2.0,
            metrics=metrics,
            readiness=CarrierReadiness(),
            queue=queue,
        )

    def take_no_dials(self, worker: str, for_s: float) -> None:
        self.limits[worker].dials_until = self.clock.now + for_s

    async def send(self, command: IssuedCommand, *, repeated: bool = False) -> Outcome:
        self.sent.append((command.operation, repeated, round(self.clock.now, 3)))
        return self.answers.pop(0) if self.answers else ACCEPTED

    async def request(self, operation: str, session_id: str = "s", **parameters: str) -> None:
        command = IssuedCommand(
            command_id=f"c-{operation}",
            operation=operation,
            call_control_id=None if operation == "dial" else f"v3:{session_id}",
            parameters=dict(parameters),
        )
        fact = CommandRequested(command=command)
        await self.log.append(session_id, "in", encode(fact, session_id))

    async def hang_up(self) -> None:
        event = CallHangup(event_id="e-hangup", call_control_id="v3:s", call_session_id="s")
        await self.log.append("s", "in", encoded_webhook(wire_body(event), event.event_id))

    async def facts(self, *kinds: type[Fact]) -> Sequence[Fact]:
        records = await self.log.read("s")
        return [record.fact for record in records if isinstance(record.fact, kinds)]


@pytest.mark.parametrize("slow_s", [0.0, 2.5])
async def test_while_a_command_waits_its_session_stays_held_and_it_is_sent_as_a_first_try(
    slow_s: float,
) -> None:
    world = World(20.0, slow_s=slow_s, slow_from_s=1.0)
    seen: list[object] = []

    async def look_on() -> None:
        other = world.worker("w2")
        while not world.sent:
            await world.clock.sleep(0.5)
            if not world.sent:
                seen.append(await other.settle("s"))

    async def both() -> None:
        await world.request("transfer", to="+12025550123")
        await asyncio.gather(world.worker("w1").settle("s"), look_on())

    await world.clock.run(both())
    assert world.sent == [("transfer", False, 20.0)]
    assert len(seen) >= 30
    assert all(isinstance(each, HeldElsewhere) and each.for_s > 0.9 for each in seen)
    renewals = await world.facts(CommandAttempted)
    assert 3 <= len(renewals) <= 6, "one a few seconds, not one a look"
    assert {fact.attempt for fact in renewals if isinstance(fact, CommandAttempted)} == {1}
    assert len(await world.facts(CommandSucceeded)) == 1


async def test_a_log_that_is_away_for_a_moment_makes_no_repetition_of_a_command_that_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(20.0)
    read = world.log.read

    async def read_when_it_is_back(session_id: str, **after: int) -> Sequence[Record]:
        if 3 < world.clock.now < 16:
            raise LogUnavailable("the server restarts")
        return await read(session_id, **after)

    async def story() -> None:
        await world.request("transfer", to="+12025550123")
        monkeypatch.setattr(world.log, "read", read_when_it_is_back)
        await world.worker("w1").settle("s")

    await world.clock.run(story())
    assert world.sent == [("transfer", False, 20.0)]


async def test_a_call_that_ends_while_its_command_waits_needs_none() -> None:
    world = World(20.0)

    async def story() -> None:
        await world.request("transfer", to="+12025550123")
        settling = asyncio.create_task(world.worker("w1").settle("s"))
        await world.clock.sleep(7)
        await world.hang_up()
        await settling
        assert world.clock.now < 20, "it was noticed before its turn came"

    await world.clock.run(story())
    assert world.sent == []
    (failed,) = await world.facts(CommandFailed)
    assert isinstance(failed, CommandFailed)
    assert (failed.reason, failed.http_status) == ("call_ended", None)


async def test_a_call_that_ended_just_before_its_commands_turn_needs_none() -> None:
    world = World(5.0)

    async def story() -> None:
        await world.request("hangup")
        settling = asyncio.create_task(world.worker("w1").settle("s"))
        await world.clock.sleep(4.9)
        await world.hang_up()
        await settling

    await world.clock.run(story())
    assert world.sent == []
    (done,) = await world.facts(CommandSucceeded)
    assert isinstance(done, CommandSucceeded)
    assert done.note == "the call had already ended"


async def test_a_command_whose_turn_does_not_come_in_time_is_given_up_and_never_sent() -> None:
    world = World(44.0)

    async def story() -> None:
        await world.request("dial", **DIALLED)
        settling = asyncio.create_task(world.worker("w1").settle("s"))
        for _ in range(5):
            await world.clock.sleep(10)
            # The carrier goes on to be busy.
            world.queues["w1"].learn(Busy(retry_after_s=8.0, detail="429"))
        assert await settling == Settled()

    await world.clock.run(story())
    assert world.sent == []
    (failed,) = await world.facts(CommandFailed)
    assert isinstance(failed, CommandFailed)
    assert (failed.reason, failed.group) == ("deadline", "rate")
    assert failed.detail == "it gets no permit within 45 s; nothing was sent"
    assert (failed.maybe_performed, failed.attempts) == (False, 0)


async def test_a_command_whose_turn_came_in_time_is_not_sent_late_by_a_slow_log() -> None:
    world = World(41.5, slow_s=4.0, slow_from_s=41.5)

    async def story() -> None:
        await world.request("transfer", to="+12025550123")
        await world.worker("w1").settle("s")

    await world.clock.run(story())
    assert world.sent == []
    (failed,) = await world.facts(CommandFailed)
    assert isinstance(failed, CommandFailed)
    assert (failed.reason, failed.detail) == ("deadline", "45 s have passed; nothing was sent")


@pytest.mark.parametrize(("operation", "tried_at"), [("hangup", 5.0), ("answer", 15.0)])
async def test_a_carrier_that_says_it_is_busy_for_longer_than_a_command_may_wait_is_asked_again(
    operation: str, tried_at: float
) -> None:
    world = World(0.0, Busy(retry_after_s=60.0, detail="429 10011 Too many requests"))

    async def story() -> None:
        await world.request(operation)
        await world.worker("w1").settle("s")

    await world.clock.run(story())
    assert world.sent == [(operation, False, 0.0), (operation, False, tried_at)]
    assert len(await world.facts(CommandSucceeded)) == 1


async def test_a_command_that_would_be_late_after_its_429_is_given_up_at_once() -> None:
    world = World(40.0, Busy(retry_after_s=60.0, detail="429 10011 Too many requests"))

    async def story() -> None:
        await world.request("dial", **DIALLED)
        await world.worker("w1").settle("s")
        assert world.clock.now < 41

    await world.clock.run(story())
    (failed,) = await world.facts(CommandFailed)
    assert isinstance(failed, CommandFailed)
    assert (failed.reason, failed.group) == ("deadline", "rate")
    assert "; 1 attempt without effect; last: 429 10011" in failed.detail
    assert failed.maybe_performed is False


async def test_a_command_answered_with_429_goes_again_at_the_carriers_time() -> None:
    world = World(0.0, Busy(retry_after_s=7.0, detail="429"))

    async def story() -> None:
        await world.request("dial", **DIALLED)
        await world.worker("w1").settle("s")

    await world.clock.run(story())
    assert world.sent == [("dial", False, 0.0), ("dial", False, 7.0)]


async def test_a_worker_that_dies_while_a_command_waits_is_followed_by_another_one() -> None:
    world = World(10.0)

    async def story() -> None:
        await world.request("dial", **DIALLED)
        dying = asyncio.create_task(world.worker("w1").settle("s"))
        await world.clock.sleep(4)
        dying.cancel()
        await asyncio.gather(dying, return_exceptions=True)
        world.closed_s = 0
        other = world.worker("w2")
        while isinstance(await other.settle("s"), HeldElsewhere):
            await world.clock.sleep(0.5)
        assert world.clock.now <= 4 + WAITING_LEASE_S

    await world.clock.run(story())
    ((operation, _, _),) = world.sent
    assert operation == "dial"


async def test_a_worker_that_is_taken_over_while_its_command_waits_does_not_send_it() -> None:
    world = World(0.9)

    async def story() -> None:
        await world.request("transfer", to="+12025550123")
        waiting = asyncio.create_task(world.worker("w1").settle("s"))
        await world.clock.sleep(0.5)
        world.closed_s = 0
        other = world.worker("w2")
        held = await other.settle("s")
        assert isinstance(held, HeldElsewhere)
        # It seemed to be gone, so its lease, which lasts for another send, is not waited out.
        assert await other.settle("s", void=held.lease_seq) == Settled()
        assert await waiting == Settled()

    await world.clock.run(story())
    assert world.sent == [("transfer", True, 0.5)]
    assert len(await world.facts(CommandSucceeded)) == 1


async def test_a_worker_whose_lease_ran_out_while_it_renewed_it_looks_before_it_sends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(0.0, Busy(retry_after_s=1.0, detail="429"))
    append = world.log.append

    async def append_slowly(session_id: str, side: Side, encoded: Encoded, **more: Any) -> Appended:
        appended = await append(session_id, side, encoded, **more)
        if encoded.type == "CommandAttempted" and b'"w1"' in encoded.body:
            await world.clock.sleep(10.0)
        return appended

    async def story() -> None:
        monkeypatch.setattr(world.log, "append", append_slowly)
        await world.request("transfer", to="+12025550123")
        slow = asyncio.create_task(world.worker("w1").settle("s"))
        await world.clock.sleep(6.0)
        assert await world.worker("w2").settle("s") == Settled()
        assert await slow == Settled()

    await world.clock.run(story())
    assert world.sent == [("transfer", False, 0.0), ("transfer", True, 6.0)]


async def test_a_command_that_holds_up_its_own_sessions_hangup_goes_before_its_equals() -> None:
    world = World(9.0)
    worker = world.worker("w1")

    async def story() -> None:
        settling = []
        for session_id in ("other", "s"):
            await world.request("transfer", session_id, to="+12025550123")
            settling.append(asyncio.create_task(worker.settle(session_id)))
            await world.clock.sleep(0.1)
        await world.request("hangup")
        await asyncio.gather(*settling)

    await world.clock.run(story())
    assert len(world.sent) == 3
    first, second = [
        next(record.seq for record in records if isinstance(record.fact, CommandSucceeded))
        for records in (await world.log.read("s"), await world.log.read("other"))
    ]
    assert first < second


async def test_commands_that_wait_without_news_of_their_sessions_go_in_the_order_they_came() -> (
    None
):
    world = World(9.0)
    worker = world.worker("w1")
    sessions = ["a", "b", "c", "d"]

    async def story() -> None:
        settling = []
        for session_id in sessions:
            await world.request("transfer", session_id, to="+12025550123")
            settling.append(asyncio.create_task(worker.settle(session_id)))
            await world.clock.sleep(0.1)
        await asyncio.gather(*settling)

    await world.clock.run(story())
    done = {}
    for session_id in sessions:
        records = await world.log.read(session_id)
        (done[session_id],) = [
            each.seq for each in records if isinstance(each.fact, CommandSucceeded)
        ]
    assert sorted(sessions, key=lambda session_id: done[session_id]) == sessions


async def test_a_carrier_that_answers_no_dials_keeps_no_hangup_of_another_call_waiting() -> None:
    world = World(0.0, NoAnswer(detail="503"))
    slots = Slots(1)
    worker = world.worker("w1", slots)

    async def settle_in_a_slot(session_id: str) -> None:
        await slots.take()
        await worker.settle(session_id)
        slots.leave()

    async def story() -> None:
        await world.request("dial", "s", **DIALLED)
        await world.request("hangup", "other")
        await asyncio.gather(settle_in_a_slot("s"), settle_in_a_slot("other"))

    await world.clock.run(story())
    assert world.sent == [("dial", False, 0.0), ("hangup", False, 0.0), ("dial", True, 0.1)]
    assert not slots.all_taken()


async def test_a_hangup_does_not_wait_for_a_dial_of_its_own_session_to_get_its_turn() -> None:
    world = World(0.0)
    worker, other = world.worker("w1"), world.worker("w2")
    world.take_no_dials("w1", 30.0)

    async def story() -> None:
        await world.request("dial", **DIALLED)
        settling = asyncio.create_task(worker.settle("s"))
        await world.clock.sleep(12)
        await world.request("hangup")
        world.queues["w1"].hurry("s")  # as the dispatcher does when the delivery comes
        await world.clock.sleep(10)
        assert isinstance(await other.settle("s"), HeldElsewhere)
        assert await settling == Settled()

    await world.clock.run(story())
    assert world.sent == [("hangup", False, 12.0), ("dial", False, 30.0)]
    assert len(await world.facts(CommandSucceeded)) == 2
    decided = [fact.cause_seq for fact in await world.facts(Decided) if isinstance(fact, Decided)]
    assert len(decided) == len(set(decided)) == 2


async def test_a_command_that_gave_way_to_a_hangup_finds_room_in_a_queue_that_filled_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(queue_module, "QUEUED_MAX", 2)
    world = World(0.0)
    worker = world.worker("w1")
    until = {"hangup": float("-inf"), "transfer": 30.0}
    monkeypatch.setattr(world.limits["w1"], "closed_until", until.__getitem__)
    send, is_sending = world.send, asyncio.Event()

    async def send_slowly(command: IssuedCommand, *, repeated: bool = False) -> Outcome:
        if command.operation == "hangup":
            is_sending.set()
            await world.clock.sleep(1.0)
        return await send(command, repeated=repeated)

    async def story() -> None:
        monkeypatch.setattr(world, "send", send_slowly)
        settling = []
        for session_id in ("s", "a", "b"):
            await world.request("transfer", session_id, to="+12025550123")
            settling.append(asyncio.create_task(worker.settle(session_id)))
            await world.clock.sleep(0.1)
            if session_id == "a":
                await world.request("hangup")
                world.queues["w1"].hurry("s")
                await is_sending.wait()
        await asyncio.gather(*settling)

    await world.clock.run(story())
    assert [operation for operation, _, _ in world.sent] == ["hangup", *["transfer"] * 3]


async def test_a_hangup_does_not_wait_until_a_dial_of_its_own_session_is_answered() -> None:
    world = World(0.0, *[NoAnswer(detail="503")] * 4)

    async def story() -> None:
        await world.request("dial", **DIALLED)
        settling = asyncio.create_task(world.worker("w1").settle("s"))
        await world.clock.sleep(1.0)
        await world.request("hangup")
        await settling

    await world.clock.run(story())
    operations = [operation for operation, _, _ in world.sent]
    assert operations == [*["dial"] * 4, "hangup", "dial"]


async def test_a_hangup_that_went_before_a_waiting_dial_does_so_after_a_take_over() -> None:
    world = World(0.0)
    dying = world.worker("w1")
    world.take_no_dials("w1", 30.0)

    async def die(*_: object, **__: object) -> Outcome:
        raise asyncio.CancelledError

    async def story() -> None:
        await world.request("dial", **DIALLED)
        settling = asyncio.create_task(dying.settle("s"))
        await world.clock.sleep(4)
        await world.request("hangup")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(world, "send", die)
            world.queues["w1"].hurry("s")
            await asyncio.gather(settling, return_exceptions=True)
        taking_over = world.worker("w2")
        world.take_no_dials("w2", 20.0)
        while isinstance(await taking_over.settle("s"), HeldElsewhere):
            await world.clock.sleep(0.5)

    await world.clock.run(story())
    (hangup, hung_up_at), (dial, _) = [(each[:2], each[2]) for each in world.sent]
    assert (hangup, dial) == (("hangup", True), ("dial", True))
    assert hung_up_at <= 4 + WAITING_LEASE_S


@pytest.mark.parametrize("is_stored", [False, True])
@pytest.mark.parametrize("records", range(1, 12))
async def test_wherever_a_worker_dies_each_command_has_one_outcome_and_one_first_try(
    records: int, is_stored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies at its record of this number, just before or just after that is stored."""
    world = World(0.0)
    dying, other = world.worker("w1"), world.worker("w2")
    world.take_no_dials("w1", 20.0)
    append, appended = world.log.append, 0

    async def die_at(session_id: str, side: Side, *args: Any, **more: Any) -> Appended:
        nonlocal appended
        appended += side == "out"
        dies = side == "out" and appended == records
        if dies and not is_stored:
            raise asyncio.CancelledError
        placed = await append(session_id, side, *args, **more)
        if dies:
            raise asyncio.CancelledError
        return placed

    async def story() -> None:
        await world.request("dial", **DIALLED)
        await world.request("transfer", to="+12025550123")
        monkeypatch.setattr(world.log, "append", die_at)
        settling = asyncio.create_task(dying.settle("s"))
        await world.clock.sleep(4)
        await world.request("hangup")
        world.queues["w1"].hurry("s")
        await asyncio.gather(settling, return_exceptions=True)
        world.take_no_dials("w2", 3.0)
        while isinstance(await other.settle("s"), HeldElsewhere):
            await world.clock.sleep(0.5)

    await world.clock.run(story())
    outcomes = await world.facts(CommandSucceeded, CommandFailed)
    assert len(outcomes) == len({getattr(each, "command_id", "") for each in outcomes}) == 3
    decided = [fact.cause_seq for fact in await world.facts(Decided) if isinstance(fact, Decided)]
    assert len(decided) == len(set(decided)) == 3
    again: set[str] = set()
    for operation, repeated, _ in world.sent:
        assert repeated or operation not in again, "the second try of a command is a repetition"
        again.add(operation)
    assert again == {"dial", "transfer", "hangup"}
