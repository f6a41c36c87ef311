"""Two workers and one session: who holds it, who takes it over, and who was first."""

import asyncio
import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from offhook.codec.facts import Encoded, encode
from offhook.events import (
    CommandAttempted,
    CommandFailed,
    CommandSucceeded,
    Decided,
    IssuedCommand,
)
from offhook.jetstream.log import Appended
from offhook.jetstream.subjects import Side
from offhook.telnyx.outcomes import Outcome, Refused, outcome_of
from offhook.workers.sessions.settle import OTHERS_FIRST_S, HeldElsewhere, Settled
from tests.memory_log import MemoryLog
from tests.workers.sessions.stand import (
    ACCEPTED,
    LEG,
    SESSION,
    ScriptedCarrier,
    answered,
    arrive,
    facts,
    held_by,
    initiated,
    settler_on,
)


async def test_a_session_that_another_worker_holds_is_left_to_it() -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log)
    seq = await arrive(log, initiated())
    await log.append(SESSION, "out", encode(held_by("w2", seq), SESSION))
    result = await settler_on(log, carrier).settle(SESSION)
    assert isinstance(result, HeldElsewhere)
    assert result.worker == "w2"
    assert 0 < result.for_s <= 3
    assert carrier.sent == []


async def test_a_stale_lease_is_taken_over_with_the_same_command_id() -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log)
    seq = await arrive(log, initiated())
    await log.append(SESSION, "out", encode(held_by("w2", seq), SESSION))
    log.now += timedelta(seconds=4)
    assert await settler_on(log, carrier).settle(SESSION) == Settled()
    ((command, repeated),) = carrier.sent
    assert command.command_id == "c-of-w2"
    assert repeated
    assert len(await facts(log, Decided)) == 1


async def test_a_worker_that_was_overtaken_records_nothing() -> None:
    """The zombie: it comes back from the carrier after another worker has taken over."""
    log = MemoryLog()
    other = ScriptedCarrier(log)

    class Overtaken(ScriptedCarrier):
        async def send(self, command: IssuedCommand, *, repeated: bool = False) -> Outcome:
            log.now += timedelta(seconds=10)
            assert await settler_on(log, other, worker="w2").settle(SESSION) == Settled()
            return await super().send(command, repeated=repeated)

    zombie = Overtaken(log)
    await arrive(log, initiated())
    assert await settler_on(log, zombie).settle(SESSION) == Settled()
    sent = {command.command_id for command, _ in zombie.sent + other.sent}
    assert len(sent) == 1
    assert len(await facts(log, CommandSucceeded)) == 1


async def test_a_failure_that_another_worker_recorded_and_died_is_decided_on() -> None:
    """Ours is then only a repetition of the outcome, and our delivery may be the last one."""

    class Mortal(MemoryLog):
        async def append(
            self, session_id: str, side: Side, encoded: Encoded, **more: Any
        ) -> Appended:
            if encoded.type == "Decided" and await facts(self, CommandFailed) and not zombie.sent:
                raise asyncio.CancelledError
            return await super().append(session_id, side, encoded, **more)

    class Overtaken(ScriptedCarrier):
        async def send(self, command: IssuedCommand, *, repeated: bool = False) -> Outcome:
            if not self.sent:
                log.now += timedelta(seconds=10)
                with pytest.raises(asyncio.CancelledError):
                    await settler_on(log, other, worker="w2").settle(SESSION)
            return await super().send(command, repeated=repeated)

    log = Mortal()
    other = ScriptedCarrier(log, outcome_of("transfer", 422, {}, b"{}"))
    zombie = Overtaken(log)
    await arrive(log, answered())
    assert await settler_on(log, zombie).settle(SESSION) == Settled()
    assert (other.operations, zombie.operations) == (["transfer"], ["transfer", "hangup"])


async def test_of_two_workers_deciding_at_once_the_first_to_record_sends() -> None:
    class Overtaking(MemoryLog):
        """Lets the second worker in between the first one's reading and its Decided."""

        overtaken = False

        async def append(
            self, session_id: str, side: Side, encoded: Encoded, **more: Any
        ) -> Appended:
            if encoded.type == "Decided" and not self.overtaken:
                self.overtaken = True
                assert await settler_on(self, second, worker="w2").settle(SESSION) == Settled()
            return await super().append(session_id, side, encoded, **more)

    log = Overtaking()
    first, second = ScriptedCarrier(log), ScriptedCarrier(log)
    await arrive(log, initiated())

    assert await settler_on(log, first, worker="w1").settle(SESSION) == Settled()

    assert (first.operations, second.operations) == ([], ["answer"])
    (decided,) = await facts(log, Decided)
    assert isinstance(decided, Decided)
    assert decided.worker == "w2"


async def test_a_worker_whose_clock_is_behind_waits_for_no_lease_longer_than_it_lasts() -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log)
    seq = await arrive(log, initiated())
    held = await log.append(SESSION, "out", encode(held_by("w2", seq), SESSION))
    worker = settler_on(log, carrier, ahead_s=-600)
    held_elsewhere = HeldElsewhere(worker="w2", for_s=3.0, lease_seq=held.seq)
    assert await worker.settle(SESSION) == held_elsewhere
    log.now += timedelta(seconds=2)
    attempted = CommandAttempted(
        command_id="c-of-w2", attempt=2, because="503", worker="w2", lease_s=3
    )
    held = await log.append(SESSION, "out", encode(attempted, SESSION))
    held_elsewhere = HeldElsewhere(worker="w2", for_s=3.0, lease_seq=held.seq)
    assert await worker.settle(SESSION) == held_elsewhere
    log.now += timedelta(seconds=3)
    assert await worker.settle(SESSION) == Settled()
    assert carrier.operations == ["answer"]


async def test_only_the_lease_that_is_void_is_not_waited_out() -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log)
    seq = await arrive(log, initiated())
    held = await log.append(SESSION, "out", encode(held_by("w2", seq), SESSION))
    worker = settler_on(log, carrier)
    elsewhere = await worker.settle(SESSION)
    assert isinstance(elsewhere, HeldElsewhere)
    assert elsewhere.lease_seq == held.seq
    attempted = CommandAttempted(
        command_id="c-of-w2", attempt=2, because="503", worker="w2", lease_s=3
    )
    renewed = await log.append(SESSION, "out", encode(attempted, SESSION))
    # It was not gone: meanwhile it has renewed its lease.
    assert isinstance(await worker.settle(SESSION, void=held.seq), HeldElsewhere)
    assert await worker.settle(SESSION, void=renewed.seq) == Settled()
    assert carrier.operations == ["answer"]


async def test_an_older_record_is_left_for_a_moment_to_the_worker_that_has_it() -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log)
    seq = await arrive(log, initiated())
    later = await arrive(log, answered())
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            await log.append(SESSION, "out", encode(held_by("w2", seq), SESSION))

    worker = settler_on(log, carrier, on_sleep=sleep)
    assert isinstance(await worker.settle(SESSION, later, first_seq=later), HeldElsewhere)
    assert slept == list(OTHERS_FIRST_S[:2])
    assert carrier.sent == []


async def test_an_older_record_that_nobody_decides_on_is_decided_on() -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log)
    await arrive(log, initiated())
    later = await arrive(log, answered())
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    worker = settler_on(log, carrier, on_sleep=sleep)
    assert await worker.settle(SESSION, later, first_seq=later) == Settled()
    assert slept == list(OTHERS_FIRST_S)
    assert carrier.operations[0] == "answer"


async def test_of_commands_taken_over_only_the_first_may_have_been_sent() -> None:
    log = MemoryLog()
    refused = Refused(status=422, group="unexplained", detail="422")
    carrier = ScriptedCarrier(log, ACCEPTED, refused)
    seq = await arrive(log, initiated())
    decided = held_by("w2", seq)
    second = dataclasses.replace(decided.commands[0], command_id="second")
    decided = dataclasses.replace(decided, commands=(*decided.commands, second))
    await log.append(SESSION, "out", encode(decided, SESSION))
    log.now += timedelta(seconds=4)
    await settler_on(log, carrier).settle(SESSION)
    sent = [(command.command_id, repeated) for command, repeated in carrier.sent]
    assert sent == [("c-of-w2", True), ("second", False)]


async def test_a_failure_left_undecided_by_a_crash_is_decided_at_the_next_delivery() -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log)
    seq = await arrive(log, answered())
    decided = held_by("w2", seq, operation="transfer")
    await log.append(SESSION, "out", encode(decided, SESSION))
    failed = CommandFailed(
        command_id="c-of-w2", operation="transfer", reason="refused", call_control_id=LEG
    )
    await log.append(SESSION, "out", encode(failed, SESSION))
    # The worker died here, before it acknowledged: the same delivery comes again.
    assert await settler_on(log, carrier).settle(SESSION, seq) == Settled()
    assert carrier.operations == ["hangup"]
