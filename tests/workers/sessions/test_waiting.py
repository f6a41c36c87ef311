"""A command that waits for a permit keeps its lease, and is sent only if it is still wanted."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from offhook.codec.facts import Encoded
from offhook.errors import LogUnavailable
from offhook.events import (
    CommandAttempted,
    CommandFailed,
    CommandSucceeded,
    Decided,
    Record,
)
from offhook.jetstream.log import Appended
from offhook.jetstream.subjects import Side
from offhook.telnyx.outcomes import Busy
from offhook.workers.sending.attempt import WAITING_LEASE_S
from offhook.workers.sessions.settle import HeldElsewhere, Settled
from tests.workers.sessions.waiting import DIALLED, World


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
