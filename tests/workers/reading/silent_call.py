"""A call that is silent while others have records, and a worker that reads it afterwards."""

import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from offhook.codec.facts import encoded_webhook
from offhook.codec.webhooks import wire_body
from offhook.events import CallHangup, CallUnhold, Record
from offhook.jetstream.reads import Counted
from offhook.session import fold
from offhook.workers.metrics import WorkerMetrics
from offhook.workers.reading.cache import SessionCache
from offhook.workers.reading.silence import SILENT, Silences
from tests.memory_log import MemoryLog
from tests.memory_snapshots import MemorySnapshots
from tests.workers.reading.long_session import (
    AskedLog,
    AskedSnapshots,
    Worker,
    at_once,
    snapshots_in,
    transcription,
)
from tests.workers.sessions.stand import (
    LEG,
    SESSION,
    arrive,
    initiated,
    request,
)

NEAR = 4
OTHERS = 2 * NEAR


class Stand:
    """A worker's cache on a log that can be asked what it was asked for."""

    def __init__(self, log: AskedLog) -> None:
        self.log = log
        self.metrics = WorkerMetrics()
        self.store = AskedSnapshots(log.asked)
        self.cache = SessionCache(
            log,
            at_once,
            snapshots=snapshots_in(self.store),
            silences=Silences(log, self.metrics, near=NEAR),
        )

    async def asked_for(
        self, arrived: Sequence[Record], *, rang: bool = False, wake_seq: int | None = None
    ) -> list[str]:
        """What the log is asked for when these are delivered. Then all that it has is known."""
        self.log.asked.clear()
        newest = max((each.seq for each in arrived), default=0)
        state = await self.cache.read(
            SESSION,
            newest if wake_seq is None else wake_seq,
            arrived=lambda: arrived,
            woken_at=self.log.now if rang or arrived else None,
        )
        asked = [*self.log.asked]
        records = await self.log.read(SESSION)
        assert state.latest() == fold(SESSION, records)
        assert (state.known.in_count, state.known.out_count) == (
            sum(each.side == "in" for each in records),
            sum(each.side == "out" for each in records),
        )
        return asked

    @property
    def outcomes(self) -> dict[str, float]:
        return outcomes(self.metrics)


async def short_call(log: MemoryLog, name: str = "w1") -> Worker:
    """A call of a few records, which that worker has decided on."""
    worker = Worker(log, MemorySnapshots(), name)
    await worker.settler.settle(SESSION, await arrive(log, initiated()))
    await worker.settler.settle(SESSION, await arrive(log, transcription(0)))
    return worker


async def silence(log: MemoryLog, after: timedelta = SILENT) -> None:
    """Others have records meanwhile."""
    for number in range(OTHERS):
        event = initiated(f"other-{uuid.uuid4()}-{number}")
        await log.append("other", "in", encoded_webhook(wire_body(event), event.event_id))
    log.now += after + timedelta(seconds=1)


async def known(log: AskedLog, *, is_whole: bool = True) -> Stand:
    """A worker's cache with a call of which it has read all, or not its last decision."""
    stand = Stand(log)
    if is_whole:
        await short_call(log)
        await stand.cache.read(SESSION)
    else:
        worker = Worker(log, MemorySnapshots())
        await worker.settler.settle(SESSION, await arrive(log, initiated()))
        await arrive(log, transcription(0))
        await stand.cache.read(SESSION)
        await worker.settler.settle(SESSION)
    return stand


class Noting(AskedLog):
    """Notes where the earliest read began."""

    earliest: int = 0

    async def read(self, session_id: str, **more: Any) -> Sequence[Record]:
        self.earliest = min(self.earliest, more.get("in_after", 0), more.get("out_after", 0))
        return await super().read(session_id, **more)


async def ended(log: MemoryLog) -> Record:
    """The end of the call, which says when it began."""
    leg = CallHangup(
        event_id="h", call_control_id=LEG, start_time=(await log.read(SESSION))[0].stored_at
    )
    await arrive(log, leg)
    return (await log.read(SESSION))[-1]


async def requested(log: MemoryLog) -> Record:
    await request(log, "hangup")
    return (await log.read(SESSION))[-1]


async def unheld(log: MemoryLog) -> Record:
    await arrive(log, CallUnhold(event_id="u", call_control_id=LEG))
    return (await log.read(SESSION))[-1]


class SaidLog(AskedLog):
    """Answers what is `said` when it is asked how many records there are."""

    said: Counted | None = None

    async def counted(self, session_id: str) -> Counted | None:
        self.asked.append("count")
        return self.said


def outcomes(metrics: WorkerMetrics) -> dict[str, float]:
    """How often sessions were read in each way after a silence."""
    [family] = metrics.silences.collect()
    return {
        each.labels["outcome"]: each.value for each in family.samples if each.name.endswith("total")
    }
