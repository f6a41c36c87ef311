"""Reading the views, and how new they are.

`as_of_seq` is the stream sequence of the last record in them; `lag_ms` is for how long the oldest
record that is not in them has been waiting: 0 if they have everything, null if the log is silent.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

from offhook.api.errors import refusal
from offhook.errors import LogUnavailable
from offhook.jetstream.lookup import Stream
from offhook.jetstream.stream import PROJECTOR
from offhook.projections.views.checkpoint import read_checkpoint
from offhook.projections.views.database import Connection, Engine, read_at_one_moment
from offhook.projections.views.waiting import PositionWatch

CATCH_UP_S = 1.0
"""How long a request waits for the views to have what the log had when it came in."""


@dataclass(frozen=True, kw_only=True)
class Meta:
    """How new the answer is."""

    as_of_seq: int
    lag_ms: int | None


@dataclass(kw_only=True)
class Look:
    """A connection to read with; what is read is at least as new as `meta` says.

    `meta` is there once the connection is given back.
    """

    connection: Connection
    meta: Meta = field(init=False)


class Views:
    """The views of this process: where they are, and a connection to read them."""

    def __init__(
        self,
        engine: Engine,
        watch: PositionWatch,
        stream: Stream,
        now: Callable[[], datetime],
    ) -> None:
        self._engine = engine
        self._watch = watch
        self._stream = stream
        self._now = now

    @asynccontextmanager
    async def look(self, min_seq: int = 0, timeout_s: float = 0.0) -> AsyncIterator[Look]:
        """Read, once the views are at `min_seq`. Raises ErrorAnswer 504 after timeout_s.

        All that is read of one look is of one moment, and `as_of_seq` too.
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
            look = Look(connection=connection)
            yield look
        # The log may be slow to answer, or away: no connection must be held up by it.
        look.meta = Meta(as_of_seq=seq, lag_ms=await self._lag_ms(seq))

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """For reads that do not say how new they are."""
        async with self._engine.connect() as connection:
            yield connection

    async def catch_up(self) -> bool:
        """Wait, within bounds, until the views have everything the log has now; False if not."""
        last_seq = await self._stream.last_seq()
        return await self._watch.wait_for(last_seq, CATCH_UP_S) >= last_seq

    async def _lag_ms(self, seq: int) -> int | None:
        try:
            waiting_since = await self._stream.stored_after(seq)
        except LogUnavailable:
            return None  # the views can be read while the log is away
        if waiting_since is None:
            return 0
        return max(0, round((self._now() - waiting_since).total_seconds() * 1000))
