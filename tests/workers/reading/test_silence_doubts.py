"""After a silence, what does not fit is read as before: nothing is missed, doubled or invented."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from offhook.errors import LogUnavailable
from offhook.events import Decided, Record
from offhook.jetstream.reads import Counted
from offhook.position import position_of
from offhook.session import fold
from offhook.workers.metrics import WorkerMetrics
from offhook.workers.reading.silence import FEW_MAX, Silences
from offhook.workers.reading.silence import NEAR as USUAL_NEAR
from tests.memory_log import MemoryLog
from tests.memory_snapshots import MemorySnapshots
from tests.workers.reading.long_session import (
    AskedLog,
    Watching,
    Worker,
    transcription,
    woken,
)
from tests.workers.reading.silent_call import NEAR, SaidLog, known, outcomes, silence
from tests.workers.sessions.stand import (
    SESSION,
    ScriptedCarrier,
    arrive,
    initiated,
    settler_on,
)


async def test_more_than_a_few_are_read_as_usual() -> None:
    stand = await known(log := AskedLog())
    for number in range(FEW_MAX + 1):
        await arrive(log, transcription(1000 + number))
    await silence(log)
    asked = await stand.asked_for(await woken(log, 100))
    assert asked[:3] == ["count", "tail", "count"]
    assert set(asked[3:]) == {"tail"}
    assert stand.outcomes == {"searched": 1}


@pytest.mark.parametrize(
    "answer", ["none", "of a server that lags", "of another partition", "of other sides"]
)
async def test_a_number_that_does_not_count_is_not_used(answer: str) -> None:
    stand = await known(log := SaidLog())
    await silence(log)
    first, second = await woken(log, 100, 101)
    if answer == "of a server that lags":
        # It has the first of the two, so that their number is as expected.
        log.said = log.counted_until(SESSION, first.seq)
    elif answer == "of another partition":
        until = position_of(2, log.last_seq)
        log.said = replace(log.counted_until(SESSION, log.last_seq), until=until)
    elif answer == "of other sides":
        # One less on the one than are known, and one more on the other.
        whole = log.counted_until(SESSION, log.last_seq)
        log.said = replace(whole, in_count=whole.in_count - 2, out_count=whole.out_count + 1)
    assert await stand.asked_for([second]) == ["count", "tail", "count", "tail"]
    assert stand.outcomes == {"searched": 1}


async def test_a_record_that_comes_before_the_count_is_read_too() -> None:
    class Between(AskedLog):
        coming = 0

        async def counted(self, session_id: str) -> Counted | None:
            if self.coming:
                self.coming -= 1
                await arrive(self, transcription(200 + self.coming))
            return await super().counted(session_id)

    stand = await known(log := Between())
    await silence(log)
    [record] = await woken(log, 100)
    log.coming = 2
    asked = await stand.asked_for([record])
    assert asked == ["count", "tail", "count", "few", "tail", "count"]
    assert stand.outcomes == {"recent": 1}


@pytest.mark.parametrize("lagging", ["read", "read_few"])
async def test_a_replica_that_lags_hides_nothing(lagging: str) -> None:
    class Lagging(AskedLog):
        lags = 0

        async def read(self, session_id: str, **more: Any) -> Sequence[Record]:
            return self._seen("read", await super().read(session_id, **more))

        async def read_few(self, session_id: str, **more: int) -> Sequence[Record]:
            return self._seen("read_few", await super().read_few(session_id, **more))

        def _seen(self, what: str, found: Sequence[Record]) -> Sequence[Record]:
            if what != lagging or not self.lags:
                return found
            self.lags -= 1
            return found[:-1]

    stand = await known(log := Lagging(), is_whole=False)
    await silence(log)
    await woken(log, 100)
    [record] = await woken(log, 101)
    log.lags = 1
    await stand.asked_for([record])
    assert log.lags == 0


async def test_a_session_in_doubt_is_read_from_its_first_record() -> None:
    stand = await known(log := AskedLog())
    await silence(log)
    stand.cache.drop(SESSION)
    assert await stand.asked_for(await woken(log, 100)) == ["snapshot", "first"]


async def test_a_session_that_has_left_the_log_is_not_taken_for_known() -> None:
    stand = await known(log := AskedLog())
    log.forget(SESSION)
    await silence(log)
    [record] = await woken(log, 100)
    log.asked.clear()
    await stand.cache.read(SESSION, record.seq, arrived=lambda: [record], woken_at=record.stored_at)
    assert log.asked == ["count", "tail", "count", "tail"]


async def test_no_decision_stands_on_a_log_that_was_restored() -> None:
    """It has as many records of the session, but others."""
    log, copy = AskedLog(), AskedLog()
    worker, other = Worker(log, MemorySnapshots()), Worker(copy, MemorySnapshots(), "w2")
    await silence(log)
    await worker.settler.settle(SESSION, await arrive(log, initiated()))
    await worker.rest()
    await other.settler.settle(SESSION, await arrive(copy, initiated()))
    log.__dict__.update(copy.__dict__)
    while log.last_seq <= 2 * USUAL_NEAR:
        await silence(log)
    [record] = await woken(log, 102)  # one that the flow speaks at
    log.asked.clear()
    with pytest.raises(LogUnavailable, match="its records have left the log"):
        await worker.settler.settle(
            SESSION, record.seq, arrived=lambda: [record], woken_at=record.stored_at
        )
    assert log.asked[0] == "count"
    assert outcomes(worker.metrics) == {"counted": 1}
    decided = [each for each in await log.read(SESSION) if isinstance(each.fact, Decided)]
    assert len(decided) == 1
    await worker.settler.settle(SESSION, record.seq, arrived=lambda: [record])
    assert worker.flow.seen[-1][1] == fold(SESSION, (await log.read(SESSION))[:3])


async def test_who_settles_reads_around_the_silences_that_are_given() -> None:
    log, metrics = MemoryLog(), WorkerMetrics()
    silences = Silences(log, metrics, near=NEAR)
    settler = settler_on(log, ScriptedCarrier(log), Watching().flow, silences=silences)
    await settler.settle(SESSION, await arrive(log, initiated()))
    await silence(log)
    await settler.settle(SESSION, await arrive(log, transcription(0)), woken_at=log.now)
    assert outcomes(metrics) == {"few": 1}
