"""A long session in the stand-in log, with its snapshots, and what is asked of both."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from offhook.commands import Command, Speak
from offhook.events import CallEvent, CallTranscription, Event, Record
from offhook.flow import Flow
from offhook.jetstream.reads import Counted
from offhook.session import Session
from offhook.workers.metrics import WorkerMetrics
from offhook.workers.reading.snapshots import Snapshots
from offhook.workers.sessions.settle import Settler
from tests.memory_log import MemoryLog
from tests.memory_snapshots import MemorySnapshots
from tests.workers.sessions.stand import (
    LEG,
    SESSION,
    ScriptedCarrier,
    arrive,
    initiated,
    request,
    settler_on,
)

EVERY, SHORT_MAX = 6, 8


async def at_once(seconds: float) -> None:
    """The pause before something is stored."""


def snapshots_in(
    store: MemorySnapshots, fingerprint: str = "this code", metrics: WorkerMetrics | None = None
) -> Snapshots:
    return Snapshots(
        store,
        fingerprint,
        metrics=metrics or WorkerMetrics(),
        sleep=at_once,
        every=EVERY,
        short_max=SHORT_MAX,
    )


def counted(metrics: WorkerMetrics) -> dict[str, float]:
    """What became of snapshots, by outcome."""
    [family] = metrics.snapshots.collect()
    return {
        each.labels["outcome"]: each.value for each in family.samples if each.name.endswith("total")
    }


class AskedLog(MemoryLog):
    """Notes in `asked` what it is asked for: the first records, a record, those after some, a few
    of these, how many there are, or since when."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    async def read(
        self, session_id: str, *, in_after: int = 0, out_after: int = 0, limit: int | None = None
    ) -> Sequence[Record]:
        self.asked.append("tail" if in_after or out_after else "first")
        return await super().read(session_id, in_after=in_after, out_after=out_after, limit=limit)

    async def read_few(self, session_id: str, **more: int) -> Sequence[Record]:
        self.asked.append("few")
        return await super().read_few(session_id, **more)

    async def record_at(self, session_id: str, position: int) -> Record | None:
        self.asked.append("record")
        return await super().record_at(session_id, position)

    async def began_at(self, session_id: str) -> datetime | None:
        self.asked.append("since")
        return await super().began_at(session_id)

    async def counted(self, session_id: str) -> Counted | None:
        self.asked.append("count")
        return await super().counted(session_id)


class AskedSnapshots(MemorySnapshots):
    """Notes the same beside it."""

    def __init__(self, asked: list[str]) -> None:
        super().__init__()
        self.asked = asked

    async def read(self, session_id: str) -> bytes | None:
        self.asked.append("snapshot")
        return await super().read(session_id)


class Watching:
    """A flow that speaks at each third transcription, and what it saw."""

    def __init__(self) -> None:
        self.seen: list[tuple[Event, Session]] = []
        self.flow = Flow(name="watching", version="1", decide=self._decide)

    def _decide(self, event: Event, session: Session) -> Sequence[Command]:
        self.seen.append((event, session))
        is_third = isinstance(event, CallTranscription) and int(event.event_id[1:]) % 3 == 0
        return [Speak(payload="hm", voice="female")] if is_third else []


def transcription(number: int) -> CallTranscription:
    return CallTranscription(event_id=f"t{number}", call_control_id=LEG)


async def long_call(log: MemoryLog, store: MemorySnapshots, events: int = 30) -> None:
    """A call that worker w1 has settled, and stored snapshots of."""
    snapshots = snapshots_in(store)
    settler = settler_on(log, ScriptedCarrier(log), Watching().flow, snapshots=snapshots)
    arriving: list[CallEvent] = [initiated(), *map(transcription, range(events))]
    for event in arriving:
        await settler.settle(SESSION, await arrive(log, event))
        await snapshots.store_offered()
    await request(log, "hangup")
    await settler.settle(SESSION)
    log.now += timedelta(minutes=1)  # its lease is over


EVENTS = 2 * EVERY


class Worker:
    """A worker without deliveries: tests say what it settles."""

    def __init__(self, log: MemoryLog, store: MemorySnapshots, name: str = "w1") -> None:
        self.metrics = WorkerMetrics()
        self.snapshots: Snapshots = snapshots_in(store, metrics=self.metrics)
        self.flow = Watching()
        self.settler: Settler = settler_on(
            log,
            ScriptedCarrier(log),
            self.flow.flow,
            name,
            snapshots=self.snapshots,
            metrics=self.metrics,
        )
        self._log = log

    async def call(self, events: int = EVENTS) -> None:
        await self.settler.settle(SESSION, await arrive(self._log, initiated()))
        for number in range(events):
            await self.settler.settle(SESSION, await arrive(self._log, transcription(number)))
            await self.snapshots.store_offered()

    async def rest(self) -> None:
        await self.settler.rest(SESSION)
        await self.snapshots.store_offered()


async def rested(log: MemoryLog, store: MemorySnapshots) -> None:
    """A session that a worker has settled, and stored while it rested."""
    worker = Worker(log, store)
    await worker.call()
    await worker.rest()


async def woken(log: MemoryLog, *numbers: int) -> list[Record]:
    """More records, as they are delivered."""
    for number in numbers:
        await arrive(log, transcription(number))
    return [each for each in await log.read(SESSION) if each.side == "in"][-len(numbers) :]
