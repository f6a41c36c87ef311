"""The log with what has left it: sessions that ended long ago are read through Postgres."""

import itertools
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeVar

from nats.aio.client import Client

from offhook.errors import OperatorFault
from offhook.events import Record
from offhook.jetstream.archived import ArchivedMarks
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.lookup import StreamLookup
from offhook.position import partition_of, position_text, seq_of
from offhook.projections.views.database.engine import Connection, open_database
from offhook.projections.views.database.errors import DATABASE_ERRORS, reason_of
from offhook.projections.views.past.positions import read_time_of
from offhook.projections.views.past.session_log import read_whole_session

Read = TypeVar("Read")

_FAULTS: tuple[type[Exception], ...] = (OperatorFault, *DATABASE_ERRORS)


class LogAndArchive(JetStreamLog):
    """The log; of a session that has left it, what `event_log` and the archive have too.

    It has left if it is archived, or no record of it is in the log. An archived one may have late
    records there. `trouble` says why the others could not be read: they are missing then.
    """

    def __init__(self, client: Client, postgres_url: str) -> None:
        super().__init__(client)
        self._postgres_url = postgres_url
        self._marks = ArchivedMarks(client)
        self._positions = StreamLookup(client)
        self._left: dict[str, Sequence[Record] | None] = {}  # None: all of it is in the log
        self.trouble = ""

    async def read(
        self, session_id: str, *, in_after: int = 0, out_after: int = 0, limit: int | None = None
    ) -> Sequence[Record]:
        """As the log's own."""
        if session_id not in self._left:
            self._left[session_id] = await self._whole(session_id)
        if (whole := self._left[session_id]) is None:
            return await super().read(
                session_id, in_after=in_after, out_after=out_after, limit=limit
            )
        after = {"in": in_after, "out": out_after}
        later = [each for each in whole if each.seq > after[each.side]]
        if limit is None:
            if later or not (in_after or out_after):
                return later
            # What has come since.
            return await super().read(session_id, in_after=in_after, out_after=out_after)
        of_each = ([each for each in later if each.side == side][:limit] for side in after)
        return sorted(itertools.chain(*of_each), key=lambda each: each.seq)

    async def time_of(self, position: int) -> datetime | None:
        """When the record at that position was stored, else the last known one before it.

        Both in its partition; None if there is neither. Raises LogUnavailable, and OperatorFault if
        the record has left the log, and the views cannot be read.
        """
        end = (await self._positions.last_positions())[partition_of(position)]
        if not seq_of(end):
            return None
        record = await self._positions.record_at(min(position, end))
        if record is not None or not seq_of(position):
            return None if record is None else record.stored_at
        try:
            return await self._from_views(lambda connection: read_time_of(connection, position))
        except _FAULTS as error:
            raise OperatorFault(
                f"the record at {position_text(position)} has left the log, and when it was stored"
                f" cannot be read: {_reason(error)}"
            ) from error

    async def _whole(self, session_id: str) -> Sequence[Record] | None:
        """Every record of a session that has left the log; None if it has not."""
        if not await self._marks.contains(session_id) and await super().read(session_id, limit=1):
            return None
        found = {each.seq: each for each in await self._read_left(session_id)}
        # The views may not have what came into the log last.
        found |= {each.seq: each for each in await super().read(session_id)}
        return [found[seq] for seq in sorted(found)]

    async def _read_left(self, session_id: str) -> Sequence[Record]:
        try:
            return await self._from_views(
                lambda connection: read_whole_session(connection, session_id)
            )
        except _FAULTS as error:
            self.trouble = _reason(error)
        return []

    async def _from_views(self, read: Callable[[Connection], Awaitable[Read]]) -> Read:
        engine = open_database(self._postgres_url, "offhook-show")
        try:
            async with engine.begin() as connection:
                return await read(connection)
        finally:
            await engine.dispose()


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, OperatorFault) else reason_of(error)
