"""Which waiting command is sent first: a hangup, and one that holds up its own session."""

import asyncio

import pytest

from offhook.events import (
    CommandSucceeded,
    Decided,
    IssuedCommand,
)
from offhook.telnyx.outcomes import NoAnswer, Outcome
from offhook.workers.intake.slots import Slots
from offhook.workers.sending import queue as queue_module
from offhook.workers.sending.attempt import WAITING_LEASE_S
from offhook.workers.sessions.settle import HeldElsewhere, Settled
from tests.workers.sessions.waiting import DIALLED, World


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
