"""Reads of the views, and how fresh they are.

`as_of_seq` is the stream sequence of the newest record in the views; `lag_ms` is how long the
oldest record that they lack has been waiting: 0 if they lack none, null if the log does not answer.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

from offhook.api.errors import refusal
from offhook.errors import LogUnavailable
from offhook.jetstream.lookup import StreamLookup
from offhook.jetstream.stream import PROJECTOR
from offhook.projections.views.checkpoint import read_checkpoint
from offhook.projections.views.database import Connection, Engine, read_at_one_moment
from offhook.projections.views.waiting import PositionWatch

CATCH_UP_S = 1.0
"""How long a request waits for the views to have what the log had when it arrived."""


@dataclass(frozen=True, kw_only=True)
class Meta:
    """How fresh the answer is."""

    as_of_seq: int
    lag_ms: int | None


@dataclass(kw_only=True)
class Snapshot:
    """A connection to read with; what it reads is at least as fresh as `meta` says.

    `meta` is set when the connection has been given back.
    """

    connection: Connection
    meta: Meta = field(init=False)


class Views:
    """Connections to read the views with."""

    def __init__(
        self,
        engine: Engine,
        watch: PositionWatch,
        stream: StreamLookup,
        now: Callable[[], datetime],
    ) -> None:
        self._engine = engine
        self._watch = watch
        self._stream = stream
        self._now = now

    @asynccontextmanager
    async def snapshot(self, min_seq: int = 0, timeout_s: float = 0.0) -> AsyncIterator[Snapshot]:
        """Read when the views have reached `min_seq`. Raises ErrorAnswer 504 after timeout_s.

        Everything read from one snapshot, `as_of_seq` included, is of one moment.
        """
        if min_seq > 0 and (reached := await self._watch.wait_for(min_seq, timeout_s)) < min_seq:
            raise refusal(
                504,
                "10008",
                f"The views are at sequence {reached} and did not reach min_seq {min_seq} "
                f"within {timeout_s} s",
                parameter="min_seq",
            )
        async with self._engine.connect() as connection:
            await read_at_one_moment(connection)
            found = await read_checkpoint(connection, PROJECTOR)
            seq = found.seq if found is not None else 0
            snapshot = Snapshot(connection=connection)
            yield snapshot
        # The log may be slow or away: that must not keep a connection busy.
        snapshot.meta = Meta(as_of_seq=seq, lag_ms=await self._lag_ms(seq))

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """For reads that do not say how fresh they are."""
        async with self._engine.connect() as connection:
            yield connection

    async def catch_up(self) -> bool:
        """Wait, within bounds, until the views have everything the log has now; False if not."""
        for position in await self._stream.last_positions():
            if await self._watch.wait_for(position, CATCH_UP_S) < position:
                return False
        return True

    async def _lag_ms(self, seq: int) -> int | None:
        try:
            waiting_since = await self._stream.stored_after(seq)
        except LogUnavailable:
            return None  # the views can be read while the log is away
        if waiting_since is None:
            return 0
        return max(0, round((self._now() - waiting_since).total_seconds() * 1000))
