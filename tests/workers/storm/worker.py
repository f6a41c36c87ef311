"""One worker in a storm: the real settler, queue and dispatcher, behind a gate."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Literal, Protocol

from offhook.events import IssuedCommand
from offhook.flow import Flow
from offhook.jetstream.timetable import Timetable
from offhook.telnyx.outcomes import Outcome
from offhook.workers.intake.delivery import Delivery
from offhook.workers.intake.dispatcher import Dispatcher
from offhook.workers.intake.handover import HandoverAnswer
from offhook.workers.intake.slots import Slots
from offhook.workers.metrics import WorkerMetrics
from offhook.workers.reading.resting import Resting
from offhook.workers.reading.silence import Silences
from offhook.workers.reading.snapshots import Snapshots
from offhook.workers.sending.carrier_readiness import CarrierReadiness
from offhook.workers.sending.queue import CommandQueue
from offhook.workers.sending.rate_limits import RateLimits
from offhook.workers.sending.rates import rates_from
from offhook.workers.sessions.execute import Timing
from offhook.workers.sessions.settle import Settler
from tests.memory_snapshots import MemorySnapshots
from tests.workers.storm.carrier import TIMEOUT_S, StormCarrier
from tests.workers.storm.gate import Gate
from tests.workers.storm.log import StormLog, WorkerLog, now
from tests.workers.storm.timetable import StormTimetable
from tests.workers.storm.wakeups import StormDelivery
from tests.workers.storm.weather import Weather

BEAT_S = 0.3
HANDOVER_S = 0.002
HANDOVER_TIMEOUT_S = 0.5
SNAPSHOT_EVERY = 2
SHORT_MAX = 4
REST_S = 1.0
SILENT = timedelta(seconds=0.2)
NEAR = 3


class Surroundings(Protocol):
    """What all workers share."""

    weather: Weather
    dice: Random
    log: StormLog
    timetable: StormTimetable
    carrier: StormCarrier
    flow: Flow

    @property
    def snapshots(self) -> MemorySnapshots | None: ...

    @property
    def workers(self) -> Mapping[str, "StormWorker"]: ...


class StormWorker:
    """Runs inside the event loop from the moment that it is made."""

    def __init__(self, name: str, shared: Surroundings) -> None:
        weather, dice = shared.weather, shared.dice
        self.name = name
        self.gate = Gate()
        self.state: Literal["up", "draining", "gone"] = "up"
        self._shared = shared
        self._beside: list[asyncio.Task[None]] = []
        self._skew = timedelta(seconds=dice.uniform(-weather.skew_s, weather.skew_s))
        clock = asyncio.get_running_loop().time
        rates = rates_from(dials_per_s=weather.dials_per_s, commands_per_s=weather.commands_per_s)
        self.metrics = metrics = WorkerMetrics()
        self.slots = Slots(weather.slots)
        self.limits = RateLimits(name, rates, clock())
        self.queue = CommandQueue(
            self.limits, self.slots, metrics, clock=clock, sleep=asyncio.sleep
        )
        snapshots = None
        if shared.snapshots is not None:
            snapshots = Snapshots(
                shared.snapshots,
                "one version",
                metrics=metrics,
                every=SNAPSHOT_EVERY,
                short_max=SHORT_MAX,
                resting=Resting(REST_S),
                short_resting=Resting(REST_S),
            )
            self._beside.append(asyncio.create_task(snapshots.keep_storing()))
            for each in (snapshots.resting, snapshots.short_resting):
                waking = each.keep_waking(lambda session_id: self.dispatcher.rest(session_id))
                self._beside.append(asyncio.create_task(waking))
        log = WorkerLog(shared.log, self.gate, weather, Random(dice.random()))
        silences = None
        if shared.snapshots is not None:
            silences = Silences(log, metrics, silent=SILENT, near=NEAR)
        settler = Settler(
            worker=name,
            log=log,
            timetable=_WorkerTimetable(shared.timetable, self.gate),
            sender=self,
            flows=[shared.flow],
            timing=Timing(now=self._now, sleep=asyncio.sleep, chance=dice.random),
            send_s=TIMEOUT_S,
            metrics=metrics,
            readiness=CarrierReadiness(),
            queue=self.queue,
            snapshots=snapshots,
            silences=silences,
        )
        self.dispatcher = Dispatcher(
            settler, self._hand_over, metrics, slots=self.slots, hurry=self.queue.hurry
        )
        self._beside.append(asyncio.create_task(self.dispatcher.heartbeat(BEAT_S)))

    def is_usable(self) -> bool:
        return self.state == "up" and self.gate.is_open

    def has_room(self) -> bool:
        return self.is_usable() and self.dispatcher.room() > 0

    def is_idle(self) -> bool:
        return not self.dispatcher._jobs

    async def take(self, delivery: Delivery) -> None:
        await self.dispatcher.take(delivery)

    async def send(self, command: IssuedCommand, *, repeated: bool = False) -> Outcome:
        """See `Sender.send`."""
        await self.gate.passed()
        outcome = await self._shared.carrier.send(command, repeated=repeated)
        await self.gate.passed()
        return outcome

    def kill(self) -> None:
        self._end()
        for task in tuple(self.dispatcher._tasks):
            task.cancel()

    async def freeze(self, for_s: float) -> None:
        self.gate.freeze()
        await asyncio.sleep(for_s)
        self.gate.thaw()

    async def drain(self, within_s: float) -> None:
        self.state = "draining"
        await self.dispatcher.drain(within_s)
        self._end()

    def _end(self) -> None:
        self.state = "gone"
        self.gate.is_dead = True
        for task in self._beside:
            task.cancel()

    def _now(self) -> datetime:
        return now() + self._skew

    async def _hand_over(
        self, worker: str, session_id: str, deliveries: Sequence[Delivery]
    ) -> HandoverAnswer:
        await self.gate.passed()
        await asyncio.sleep(HANDOVER_S)
        other = self._shared.workers.get(worker)
        if other is None or other.state == "gone":
            return HandoverAnswer.GONE
        if not other.gate.is_open:
            # It takes them over as soon as it wakes, although nobody waits for its answer then.
            self._late = asyncio.create_task(other._take_over_late(session_id, deliveries))
            await asyncio.sleep(HANDOVER_TIMEOUT_S)
            return HandoverAnswer.SILENT
        is_taken = other._take_over(session_id, deliveries)
        if self._shared.dice.random() < self._shared.weather.silent:
            return HandoverAnswer.SILENT
        return HandoverAnswer.TAKEN if is_taken else HandoverAnswer.GONE

    async def _take_over_late(self, session_id: str, deliveries: Sequence[Delivery]) -> None:
        await self.gate.passed()
        if self.state == "up":
            self._take_over(session_id, deliveries)

    def _take_over(self, session_id: str, deliveries: Sequence[Delivery]) -> bool:
        moved = []
        for delivery in deliveries:
            assert isinstance(delivery, StormDelivery)
            moved.append(StormDelivery(delivery.message, self.gate))
        return self.dispatcher.take_over(session_id, moved)


class _WorkerTimetable:
    """The timetable as one worker sees it."""

    def __init__(self, timetable: Timetable, gate: Gate) -> None:
        self._timetable = timetable
        self._gate = gate

    async def set(
        self, session_id: str, timer_id: str, *, due_at: datetime, decided_seq: int
    ) -> None:
        await self._gate.passed()
        await self._timetable.set(session_id, timer_id, due_at=due_at, decided_seq=decided_seq)
