"""Reads of the views, and how fresh they are.

A reply about one session says how far its partition of the log is in the views, and a reply over
many sessions how far each partition is. `lag_ms` is how long the oldest record that the views lack
has been waiting there: 0 if they lack none, null if the log does not answer.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

from offhook.api.errors import refusal
from offhook.errors import LogUnavailable
from offhook.jetstream.lookup import StreamLookup
from offhook.jetstream.stream import PROJECTOR
from offhook.jetstream.subjects import partition_for
from offhook.position import partition_of, partitions_text, position_text
from offhook.projections.views.database.engine import Connection, Engine
from offhook.projections.views.database.transactions import read_at_one_moment
from offhook.projections.views.progress.checkpoint import Checkpoint, reached, read_checkpoints
from offhook.projections.views.progress.waiting import PositionWatch

CATCH_UP_S = 1.0
"""How long a request waits for the views to have what the log had when it arrived."""


@dataclass(frozen=True, kw_only=True)
class Meta:
    """How fresh a reply about one session is.

    `as_of_seq` is the position of the newest record of the session's partition in the views.
    """

    as_of_seq: int
    lag_ms: int | None


@dataclass(frozen=True, kw_only=True)
class ListMeta:
    """How fresh a reply over many sessions is.

    `checkpoints` has the position of the newest record in the views of each partition, in their
    order. `as_of_seq` is the same if the log has one partition, else null: no number says it all.
    `lag_ms` is that of the partition that is furthest behind.
    """

    as_of_seq: int | None
    checkpoints: Sequence[int]
    lag_ms: int | None


@dataclass(kw_only=True)
class ViewsSnapshot:
    """A connection to read with; what it reads is at least as fresh as the metas say.

    `positions` has the newest record in the views of each partition.
    """

    connection: Connection
    positions: Sequence[int]
    _lags: Sequence[int | None] = field(init=False)

    @property
    def meta(self) -> ListMeta:
        """For a reply over many sessions; once the connection has been given back."""
        known = [lag for lag in self._lags if lag is not None]
        return ListMeta(
            as_of_seq=self.positions[0] if len(self.positions) == 1 else None,
            checkpoints=self.positions,
            lag_ms=max(known) if len(known) == len(self._lags) else None,
        )

    @property
    def lags_ms(self) -> Sequence[int | None]:
        """How far each partition is behind; once the connection has been given back."""
        return self._lags

    def meta_of(self, session_id: str) -> Meta:
        """For a reply about that session; once the connection has been given back."""
        partition = partition_for(session_id, len(self.positions))
        return Meta(as_of_seq=self.positions[partition], lag_ms=self._lags[partition])


class Views:
    """Connections to read the views with. `partitions` is the number of them in the log."""

    def __init__(
        self,
        engine: Engine,
        watch: PositionWatch,
        stream: StreamLookup,
        now: Callable[[], datetime],
        *,
        partitions: int = 1,
    ) -> None:
        self._engine = engine
        self._watch = watch
        self._stream = stream
        self._now = now
        self._partitions = partitions

    @asynccontextmanager
    async def snapshot(
        self, min_seq: int = 0, timeout_s: float = 0.0
    ) -> AsyncIterator[ViewsSnapshot]:
        """Read when the views have reached `min_seq`, a position of any partition.

        Everything read from one snapshot, its positions included, is of one moment. Raises
        ErrorAnswer 504 after timeout_s, 422 if the log has no such partition.
        """
        await self._wait_for(min_seq, timeout_s)
        async with self.connection() as connection:
            await read_at_one_moment(connection)
            found = await read_checkpoints(connection, PROJECTOR)
            snapshot = ViewsSnapshot(connection=connection, positions=self._positions(found))
            # What was notified may be lost if Postgres broke down in the same moment.
            self._require_reached(min_seq, snapshot.positions, timeout_s)
            yield snapshot
        # The log may be slow or away: that must not keep a connection busy.
        snapshot._lags = await asyncio.gather(*map(self._lag_ms, snapshot.positions))

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """For reads that do not say how fresh they are."""
        async with self._watch.silence.connection(self._engine) as connection:
            yield connection

    def require_in_log(self, parameter: str, position: int, or_else: str = "") -> None:
        """Raise ErrorAnswer 422 if the log has no such partition. `or_else` is expected too."""
        if (partition := partition_of(position)) < self._partitions:
            return
        raise refusal(
            422,
            "10015",
            f"{parameter} is {position_text(position)}, which is in partition {partition}; expected"
            f" a position of this log, {partitions_text(self._partitions)}{or_else}",
            parameter=parameter,
        )

    async def require_stored(self, positions: Sequence[int]) -> None:
        """Raise ErrorAnswer 422 if a position of a last_event_id is after the end of its partition.

        Raises LogUnavailable. What the views have already is known without the log.
        """
        if all(each <= self._watch.reached(partition_of(each)) for each in positions):
            return
        ends = await self._stream.last_positions()
        for position in positions:
            if position > (end := ends[partition_of(position)]):
                raise refusal(
                    422,
                    "10015",
                    f"last_event_id is {position_text(position)}, but the log ends at "
                    f"{position_text(end)} there: it is from another log, or from before this one "
                    "was restored. Leave it out, and read what was missed from the lists",
                    parameter="last_event_id",
                )

    async def catch_up(self) -> bool:
        """Wait, within bounds, until the views have everything the log has now; False if not."""
        for position in await self._stream.last_positions():
            if await self._watch.wait_for(position, CATCH_UP_S) < position:
                return False
        return True

    async def _wait_for(self, min_seq: int, timeout_s: float) -> None:
        if min_seq <= 0:
            return
        self.require_in_log("min_seq", min_seq)
        await self._watch.wait_for(min_seq, timeout_s)

    def _require_reached(self, min_seq: int, positions: Sequence[int], timeout_s: float) -> None:
        if min_seq > 0 and (at := positions[partition_of(min_seq)]) < min_seq:
            raise refusal(
                504,
                "10008",
                f"The views are at position {position_text(at)} and did not reach min_seq "
                f"{position_text(min_seq)} within {timeout_s} s",
                parameter="min_seq",
            )

    def _positions(self, found: Mapping[int, Checkpoint]) -> Sequence[int]:
        return [reached(found, partition) for partition in range(self._partitions)]

    async def _lag_ms(self, position: int) -> int | None:
        try:
            waiting_since = await self._stream.stored_after(position)
        except LogUnavailable:
            return None  # the views can be read while the log is away
        if waiting_since is None:
            return 0
        return max(0, round((self._now() - waiting_since).total_seconds() * 1000))
