"""The snapshots that the workers store in a storm, each compared with the log."""

from offhook.events import Record
from offhook.session import fold
from offhook.workers.metrics import WorkerMetrics
from offhook.workers.reading.snapshots import Snapshots
from offhook.workers.reading.state import Snapshot
from tests.memory_snapshots import MemorySnapshots
from tests.workers.storm.log import StormLog


class StormSnapshots(MemorySnapshots):
    """Adds to `errors` each one that is not the fold of the records up to its positions."""

    def __init__(self, log: StormLog, errors: list[str]) -> None:
        super().__init__()
        self.used = 0
        self._log = log
        self._errors = errors

    async def read(self, session_id: str) -> bytes | None:
        found = await super().read(session_id)
        self.used += found is not None
        return found

    async def write(self, session_id: str, body: bytes) -> bool:
        is_stored = await super().write(session_id, body)
        snapshots = Snapshots(self, "one version", metrics=WorkerMetrics())
        stored = await snapshots.read(session_id)
        if stored is None or not self._is_fold(stored):
            self._errors.append(f"a snapshot of {session_id} is not what its records fold to")
        return is_stored

    def _is_fold(self, stored: Snapshot) -> bool:
        def is_in(record: Record) -> bool:
            return record.seq <= (stored.in_seq if record.side == "in" else stored.out_seq)

        session_id = stored.session.session_id
        records = [each for each in self._log.records()[session_id] if is_in(each)]
        is_ended = any(map(stored.ends_with, records))
        sides = [each.side for each in records]
        is_counted = (stored.in_count, stored.out_count) == (sides.count("in"), sides.count("out"))
        return is_ended and is_counted and stored.session == fold(session_id, records)
