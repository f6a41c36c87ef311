"""The stand-in timetable: a dictionary. It passes the same suite as JetStream."""

from datetime import datetime

from offhook.jetstream.timetable import Alarm
from tests.memory_log import MemoryLog


class MemoryTimetable:
    """Alarms ring by the clock of `log`, when `rings` is asked."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self.waiting: dict[tuple[str, str], tuple[datetime, int]] = {}
        self.set_count = 0

    async def set(
        self, session_id: str, timer_id: str, *, due_at: datetime, decided_seq: int
    ) -> None:
        self.waiting[session_id, timer_id] = (due_at, decided_seq)
        self.set_count += 1

    def rings(self) -> list[Alarm]:
        """The alarms that are due by now, each once; the first due first."""
        due = sorted(
            (due_at, session_id, timer_id, decided_seq)
            for (session_id, timer_id), (due_at, decided_seq) in self.waiting.items()
            if due_at <= self._log.now
        )
        for _, session_id, timer_id, _ in due:
            del self.waiting[session_id, timer_id]
        return [
            Alarm(
                session_id=session_id,
                timer_id=timer_id,
                decided_seq=decided_seq,
                rang_at=self._log.now,
            )
            for _, session_id, timer_id, decided_seq in due
        ]
