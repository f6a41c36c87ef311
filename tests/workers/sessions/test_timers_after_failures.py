"""Timers when a worker dies, two workers wake at once, or a replica lags."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest

from offhook.codec.facts import Encoded
from offhook.errors import LogUnavailable
from offhook.events import (
    Decided,
    Record,
    TimerFired,
    TimerSet,
)
from offhook.jetstream.log import Appended
from offhook.jetstream.subjects import Side
from offhook.workers.sessions.settle import HeldElsewhere, Settled
from tests.memory_log import MemoryLog
from tests.memory_timetable import MemoryTimetable
from tests.workers.sessions.stand import (
    SESSION,
    arrive,
    facts,
    initiated,
    settler_on,
)
from tests.workers.sessions.timer_desk import PATIENCE, RING_S, Desk


@pytest.mark.parametrize("dies_at", ["the alarm", "TimerSet"])
async def test_a_worker_that_dies_while_it_sets_a_timer_loses_none(dies_at: str) -> None:
    class Dying(MemoryLog):
        is_dying = True

        async def append(
            self, session_id: str, side: Side, encoded: Encoded, **more: Any
        ) -> Appended:
            if encoded.type == dies_at and self.is_dying:
                raise LogUnavailable("dead")
            return await super().append(session_id, side, encoded, **more)

    class Deaf(MemoryTimetable):
        async def set(
            self, session_id: str, timer_id: str, *, due_at: datetime, decided_seq: int
        ) -> None:
            raise LogUnavailable("dead")

    log = Dying()
    desk = Desk(log)
    timetable = Deaf(log) if dies_at == "the alarm" else desk.timetable
    seq = await arrive(log, initiated())
    dying = settler_on(log, desk.carrier, PATIENCE, worker="dying", timetable=timetable)
    with pytest.raises(LogUnavailable, match="dead"):
        await dying.settle(SESSION, seq)
    assert len(await facts(log, Decided)) == 1
    assert await facts(log, TimerSet) == []
    log.is_dying = False

    # The wake-up comes again: at first the lease is still held, then it is taken over.
    assert isinstance(await desk.worker("w2").settle(SESSION, seq), HeldElsewhere)
    desk.passes(4)
    assert await desk.worker("w2").settle(SESSION, seq) == Settled()
    assert len(await facts(log, Decided)) == 1
    assert len(await facts(log, TimerSet)) == 1

    desk.passes(RING_S - 4)
    await desk.ring("w2")
    assert len(await facts(log, TimerFired)) == 1
    assert desk.carrier.operations == ["hangup"]


async def test_a_worker_that_dies_once_a_timer_fired_leaves_it_to_the_next() -> None:
    class Dying(MemoryLog):
        is_dying = False

        async def append(
            self, session_id: str, side: Side, encoded: Encoded, **more: Any
        ) -> Appended:
            if encoded.type == "Decided" and self.is_dying:
                raise LogUnavailable("dead")
            return await super().append(session_id, side, encoded, **more)

    log = Dying()
    desk = Desk(log)
    await arrive(log, initiated())
    await desk.ring()
    desk.passes(RING_S + 1)
    log.is_dying = True
    alarms = desk.timetable.rings()
    with pytest.raises(LogUnavailable, match="dead"):
        await desk.worker("dying").settle(SESSION, 0, alarms)
    log.is_dying = False

    assert await desk.worker("w2").settle(SESSION, 0, alarms) == Settled()
    assert len(await facts(log, TimerFired)) == 1
    assert desk.carrier.operations == ["hangup"]


async def test_of_two_workers_woken_by_one_alarm_one_fires_it() -> None:
    class Overtaking(MemoryLog):
        overtaken = False

        async def append(
            self, session_id: str, side: Side, encoded: Encoded, **more: Any
        ) -> Appended:
            if encoded.type == "TimerFired" and not self.overtaken:
                self.overtaken = True
                assert await desk.worker("w2").settle(SESSION, 0, alarms) == Settled()
            return await super().append(session_id, side, encoded, **more)

    log = Overtaking()
    desk = Desk(log)
    await arrive(log, initiated())
    await desk.ring()
    desk.passes(RING_S)
    alarms = desk.timetable.rings()
    assert await desk.worker("w1").settle(SESSION, 0, alarms) == Settled()
    assert log.overtaken
    assert len(await facts(log, TimerFired)) == 1
    assert desk.carrier.operations == ["hangup"]


async def test_a_replica_that_lags_loses_no_timer() -> None:
    class Stale(MemoryLog):
        ends_at: int | None = None

        async def read(self, session_id: str, **more: Any) -> Sequence[Record]:
            records = await super().read(session_id, **more)
            return [each for each in records if self.ends_at is None or each.seq <= self.ends_at]

    log = Stale()
    desk = Desk(log)
    await arrive(log, initiated())
    await desk.ring()
    desk.passes(RING_S)
    alarms = desk.timetable.rings()

    # The decision is not read yet, but the alarm knows of it.
    log.ends_at = 1
    with pytest.raises(LogUnavailable, match="but the log has"):
        await desk.worker("w2").settle(SESSION, 0, alarms)
    log.ends_at = None
    assert await desk.worker("w2").settle(SESSION, 0, alarms) == Settled()
    assert len(await facts(log, TimerFired)) == 1
