"""The timetable in a storm: alarms ring in virtual time, a little late."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from random import Random

from offhook.jetstream.timetable import Alarm
from tests.workers.storm.log import now

LATE_S_MAX = 0.05


class StormTimetable:
    """`on_alarm` is called with each alarm that rings."""

    def __init__(self, on_alarm: Callable[[Alarm], None], dice: Random) -> None:
        self._on_alarm = on_alarm
        self._dice = dice
        self._waiting: dict[tuple[str, str], asyncio.Task[None]] = {}

    def is_empty(self) -> bool:
        return all(task.done() for task in self._waiting.values())

    async def set(
        self, session_id: str, timer_id: str, *, due_at: datetime, decided_seq: int
    ) -> None:
        """See `Timetable.set`."""
        key = session_id, timer_id
        if key in self._waiting:
            self._waiting[key].cancel()
        ring = self._ring(session_id, timer_id, due_at=due_at, decided_seq=decided_seq)
        self._waiting[key] = asyncio.create_task(ring)

    async def _ring(
        self, session_id: str, timer_id: str, *, due_at: datetime, decided_seq: int
    ) -> None:
        late_s = self._dice.random() * LATE_S_MAX
        await asyncio.sleep(max(0.0, (due_at - now()).total_seconds()) + late_s)
        self._on_alarm(
            Alarm(session_id=session_id, timer_id=timer_id, decided_seq=decided_seq, rang_at=now())
        )
