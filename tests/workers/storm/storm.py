"""A random storm: workers are killed, frozen and drained while calls come in, in virtual time."""

import asyncio
from collections.abc import Coroutine, Sequence
from random import Random
from typing import Any

from offhook.events import Record
from offhook.jetstream.timetable import Alarm
from tests.workers.storm.calls import StormCalls, storm_flow
from tests.workers.storm.carrier import StormCarrier
from tests.workers.storm.log import StormLog
from tests.workers.storm.promises import broken_by
from tests.workers.storm.snapshots import StormSnapshots
from tests.workers.storm.timetable import StormTimetable
from tests.workers.storm.virtual_loop import run_virtually
from tests.workers.storm.wakeups import Wakeups
from tests.workers.storm.weather import weather_of
from tests.workers.storm.worker import StormWorker

WORKERS = 3
SETTLED_WITHIN_S = 600  # virtual: frozen workers, leases and closed limits have passed by then
AFTERWARDS_S = 20  # for what an idle worker may still do
TWICE = 0.1  # chance that a wake-up is delivered twice
NEXT_BLOW_S = 4.0
FROZEN_S = (0.5, 2, 8, 30)
DRAIN_S = (0, 0.5, 15)


def storm(seed: int, *, with_snapshots: bool = False) -> tuple[list[str], "Storm"]:
    """What went wrong in the storm of this seed, and the storm."""

    async def blow() -> tuple[list[str], Storm]:
        one = Storm(seed, with_snapshots=with_snapshots)
        return await one.run(), one

    return run_virtually(blow())


class Storm:
    """Made inside the event loop that it runs in."""

    def __init__(self, seed: int, *, with_snapshots: bool = False) -> None:
        self._seed = seed
        self._errors: list[str] = []
        self.dice = Random(seed)
        self.weather = weather_of(self.dice)
        self.log = StormLog(self._wake, position_first=self.weather.position_first)
        self.timetable = StormTimetable(self._ring, self.dice)
        self.snapshots = StormSnapshots(self.log, self._errors) if with_snapshots else None
        self.carrier = StormCarrier(self.weather, self.dice, self._hung_up)
        self.flow = storm_flow
        self.workers: dict[str, StormWorker] = {}
        self._calls = StormCalls(self.log, self.dice)
        self._wakeups = Wakeups(lambda: tuple(self.workers.values()), self.dice)
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> list[str]:
        for _ in range(WORKERS):
            self._add_worker()
        delivering = asyncio.create_task(self._wakeups.deliver())
        names = [f"{self._seed}-{number}" for number in range(self.weather.calls)]
        await asyncio.gather(self._blow(), *(self._calls.place(name) for name in names))
        await self._settle()
        delivering.cancel()
        await asyncio.sleep(AFTERWARDS_S)
        await self._rest()
        return self._errors + broken_by(self)

    def __str__(self) -> str:
        return f"storm {self._seed}: {self.weather}"

    async def _blow(self) -> None:
        blows = [
            *["kill"] * self.weather.kills,
            *["freeze"] * self.weather.freezes,
            *["drain"] * self.weather.drains,
        ]
        self.dice.shuffle(blows)
        for blow in blows:
            await asyncio.sleep(self.dice.expovariate(1 / NEXT_BLOW_S))
            usable = [worker for worker in self.workers.values() if worker.is_usable()]
            if usable:
                self._hit(self.dice.choice(usable), blow)

    def _hit(self, worker: StormWorker, blow: str) -> None:
        if blow == "kill":
            worker.kill()
            self._add_worker()
        elif blow == "freeze":
            self._start(worker.freeze(self.dice.choice(FROZEN_S)))
        else:
            self._start(worker.drain(self.dice.choice(DRAIN_S)))
            self._add_worker()

    async def _settle(self) -> None:
        """Until nothing is left to do."""
        for _ in range(SETTLED_WITHIN_S):
            await asyncio.sleep(1)
            left = self._left()
            if not left:
                return
        self._errors.append(f"not settled after {SETTLED_WITHIN_S} s: {left}")

    async def _rest(self) -> None:
        """Until no worker is at work: each may be storing a session that rests."""
        for _ in range(SETTLED_WITHIN_S):
            if all(worker.is_idle() for worker in self.workers.values()):
                return
            await asyncio.sleep(1)
        self._errors.append(f"not at rest after {SETTLED_WITHIN_S} s")

    def _left(self) -> Sequence[object]:
        busy = [name for name, worker in self.workers.items() if not worker.is_idle()]
        alarms = [] if self.timetable.is_empty() else ["an alarm"]
        return [*self._wakeups.open(), *busy, *alarms, *self._tasks]

    def _add_worker(self) -> None:
        name = f"w{len(self.workers)}"
        self.workers[name] = StormWorker(name, self)

    def _wake(self, record: Record) -> None:
        self._wakeups.add(record.session_id, record.seq, record=record)
        if self.dice.random() < TWICE:
            self._wakeups.add(record.session_id, record.seq, record=record)

    def _ring(self, alarm: Alarm) -> None:
        self._wakeups.add(alarm.session_id, 0, alarm)

    def _hung_up(self, leg: str) -> None:
        self._start(self._calls.hang_up(leg))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._errors.append(repr(task.exception()))
