"""A long session that rests: all of it is stored, once, by the worker that decided last."""

import asyncio
from collections.abc import Sequence

from offhook.errors import LogUnavailable
from offhook.events import CallEvent, CallHangup, Record
from offhook.session import fold
from offhook.workers.metrics import WorkerMetrics
from offhook.workers.reading.resting import PAUSE_S, Resting
from offhook.workers.reading.snapshots import Snapshots
from tests.memory_log import MemoryLog
from tests.memory_snapshots import MemorySnapshots
from tests.workers.reading.long_session import (
    EVENTS,
    EVERY,
    AskedLog,
    Watching,
    Worker,
    counted,
    transcription,
    woken,
)
from tests.workers.sessions.stand import (
    LEG,
    SESSION,
    ScriptedCarrier,
    arrive,
    initiated,
    settler_on,
)
from tests.workers.storm.virtual_loop import run_virtually

REST_S = 10.0


async def test_at_a_rest_all_of_the_session_is_stored_once() -> None:
    log, store = MemoryLog(), MemorySnapshots()
    worker = Worker(log, store)
    await worker.call()
    before = counted(worker.metrics)["stored"]
    await worker.rest()
    kept = await worker.snapshots.read(SESSION)
    assert kept is not None
    records = await log.read(SESSION)
    assert kept.session == fold(SESSION, records)
    assert (kept.in_count, kept.out_count) == (1 + EVENTS, len(records) - 1 - EVENTS)
    await worker.rest()
    assert counted(worker.metrics)["stored"] == before + 1


async def test_only_the_worker_that_decided_last_stores_it() -> None:
    log, store = MemoryLog(), MemorySnapshots()
    worker, other = Worker(log, store), Worker(log, MemorySnapshots(), "w2")
    await worker.call()
    before = store.bodies[SESSION]
    [record] = await woken(log, 100)
    await other.settler.settle(SESSION, record.seq)
    await worker.rest()
    assert store.bodies[SESSION] == before


async def test_a_session_that_is_not_in_memory_is_not_read_for_it() -> None:
    log, store = AskedLog(), MemorySnapshots()
    await Worker(log, store).call()
    log.asked.clear()
    await Worker(log, store).rest()
    assert log.asked == []


async def test_a_log_that_is_away_says_nothing_against_a_session_in_memory() -> None:
    log, store = AwayLog(), MemorySnapshots()
    worker = Worker(log, store)
    await worker.call()
    before = store.bodies[SESSION]
    log.is_away = True
    await worker.rest()
    log.is_away = False
    assert store.bodies[SESSION] == before
    log.asked.clear()
    await worker.settler.settle(SESSION, await arrive(log, transcription(100)))
    assert set(log.asked) == {"tail"}


class AwayLog(AskedLog):
    is_away = False

    async def read(
        self, session_id: str, *, in_after: int = 0, out_after: int = 0, limit: int | None = None
    ) -> Sequence[Record]:
        if self.is_away:
            raise LogUnavailable("away")
        return await super().read(session_id, in_after=in_after, out_after=out_after, limit=limit)


async def test_a_record_that_waits_for_its_decision_is_left_to_its_delivery() -> None:
    log, store = MemoryLog(), MemorySnapshots()
    worker = Worker(log, store)
    await worker.call()
    before = store.bodies[SESSION]
    [record] = await woken(log, 100)
    await worker.rest()
    assert store.bodies[SESSION] == before
    assert len(worker.flow.seen) == 1 + EVENTS
    await worker.settler.settle(SESSION, record.seq)
    assert len(worker.flow.seen) == 2 + EVENTS


def test_a_session_rests_when_it_was_not_worked_on_for_a_while() -> None:
    woken_at: list[tuple[str, float]] = []

    async def work() -> None:
        resting, loop = Resting(REST_S), asyncio.get_running_loop()

        async def wake(session_id: str) -> None:
            woken_at.append((session_id, loop.time()))
            await asyncio.sleep(3)

        task = asyncio.create_task(resting.keep_waking(wake))
        resting.begin("a")
        await asyncio.sleep(1)
        resting.begin("b")
        await asyncio.sleep(8)
        resting.begin("a")
        resting.begin("c")
        await asyncio.sleep(60)
        resting.begin("a")
        await asyncio.sleep(60)
        task.cancel()

    run_virtually(work())
    # One after another.
    assert woken_at == [("b", 11), ("a", 19), ("c", 22 + PAUSE_S), ("a", 79)]


def test_sessions_are_noted_unless_they_have_ended() -> None:
    noted: list[str] = []

    class Noting(Resting):
        def __init__(self, name: str) -> None:
            super().__init__()
            self._name = name

        def begin(self, session_id: str) -> None:
            noted.append(self._name)

    async def work(*events: CallEvent) -> None:
        noted.clear()
        log = MemoryLog()
        snapshots = Snapshots(
            MemorySnapshots(),
            "code",
            metrics=WorkerMetrics(),
            every=EVERY,
            resting=Noting("long"),
            short_resting=Noting("short"),
        )
        settler = settler_on(log, ScriptedCarrier(log), Watching().flow, snapshots=snapshots)
        for event in events:
            await settler.settle(SESSION, await arrive(log, event))

    asyncio.run(work(initiated()))
    assert noted == ["short"]
    asyncio.run(work(initiated(), CallHangup(event_id="h", call_control_id=LEG)))
    assert noted == ["short"]
    asyncio.run(work(*map(transcription, range(EVERY))))
    assert noted[-1] == "long"


async def test_at_a_rest_a_worker_reads_what_it_has_appended_to_a_short_session() -> None:
    log, store = AskedLog(), MemorySnapshots()
    worker = Worker(log, store)
    await worker.settler.settle(SESSION, await arrive(log, initiated()))
    log.asked.clear()
    await worker.rest()
    assert log.asked == ["tail"]
    assert store.bodies == {}
