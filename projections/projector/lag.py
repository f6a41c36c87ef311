"""What the views lack: records and the age of the oldest one, in each partition.

Measured apart from the projector's work: the log says where it ends, Postgres where the checkpoints
are. So a projector that has stopped, here or elsewhere, cannot look healthy.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from nats.aio.client import Client
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.errors import OffhookError, words_of
from offhook.jetstream.lookup import StreamLookup
from offhook.position import seq_of
from offhook.projections.views.database.errors import DATABASE_ERRORS, reason_of
from offhook.projections.views.database.silence import SILENT_S
from offhook.projections.views.progress.checkpoint import Checkpoint, reached, read_checkpoints

MEASURE_S = 1.0

STANDS_STILL_S = 15.0
"""A partition that has records waiting and did not move for so long is reported by readiness."""

_FAULTS: tuple[type[Exception], ...] = (OffhookError, *DATABASE_ERRORS)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Lag:
    """Of one partition. `records` counts sequences: records that were erased are in it."""

    position: int  # of the last record in the views
    records: int  # that the views lack
    age_s: float  # since the oldest of them was stored; 0 if there is none


class LagWatch:
    """Measures while `run` runs; `lags` has the last measurement, by partition."""

    def __init__(
        self, client: Client, engine: AsyncEngine, name: str, now: Callable[[], datetime]
    ) -> None:
        self.lags: Mapping[int, Lag] = {}
        self._engine = engine
        self._name = name
        self._now = now
        self._lookup = StreamLookup(client)
        self._moved_at: dict[int, float] = {}  # monotonic, by partition
        self._measured_at = time.monotonic()
        self._error = ""  # of the last measurement that failed

    async def run(self) -> None:
        """Measure every MEASURE_S, until it is cancelled."""
        while True:
            try:
                await self.measure()
            except _FAULTS as error:
                is_ours = isinstance(error, OffhookError)
                self._error = words_of(error) if is_ours else reason_of(error)
                _log.warning("lag is not measured", extra={"error": self._error})
            await asyncio.sleep(MEASURE_S)

    async def measure(self) -> Mapping[int, Lag]:
        """Measure now. Raises LogUnavailable, or what Postgres says."""
        async with asyncio.timeout(SILENT_S), self._engine.connect() as connection:
            checkpoints = await read_checkpoints(connection, self._name)
        ends = await self._lookup.last_positions()
        lags = {
            partition: await self._lag(partition, end, checkpoints)
            for partition, end in enumerate(ends)
        }
        now = time.monotonic()
        for partition, lag in lags.items():
            before = self.lags.get(partition)
            if before is None or before.position != lag.position or not lag.records:
                self._moved_at[partition] = now
        self.lags, self._measured_at = lags, now
        return lags

    def trouble(self) -> str:
        """The partition that stands still, if one does; or that it is not known."""
        now = time.monotonic()
        if (unmeasured_s := now - self._measured_at) > STANDS_STILL_S:
            return (
                f"how far the views are behind has not been known for {unmeasured_s:.0f} s:"
                f" {self._error or 'nothing has answered yet'}"
            )
        for partition, lag in self.lags.items():
            still_s = now - self._moved_at[partition]
            if lag.records and still_s > STANDS_STILL_S:
                return (
                    f"partition {partition} has not moved for {still_s:.0f} s: "
                    f"{lag.records:,} records wait, the oldest for {lag.age_s:.0f} s"
                )
        return ""

    async def _lag(self, partition: int, end: int, checkpoints: Mapping[int, Checkpoint]) -> Lag:
        position = reached(checkpoints, partition)
        records = max(0, seq_of(end) - seq_of(position))
        stored_at = await self._lookup.stored_after(position) if records else None
        if stored_at is None:
            return Lag(position=position, records=0, age_s=0.0)  # what followed was erased
        age_s = max(0.0, (self._now() - stored_at).total_seconds())
        return Lag(position=position, records=records, age_s=age_s)
