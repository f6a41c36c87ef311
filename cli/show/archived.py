"""The log with what has left it: sessions that ended long ago are read through Postgres."""

import itertools
from collections.abc import Sequence

from nats.aio.client import Client

from offhook.errors import OperatorFault
from offhook.events import Record
from offhook.jetstream.archived import ArchivedMarks
from offhook.jetstream.log import JetStreamLog
from offhook.projections.views.database.engine import open_database
from offhook.projections.views.database.errors import DATABASE_ERRORS, reason_of
from offhook.projections.views.past.session_log import read_whole_session


class LogAndArchive(JetStreamLog):
    """The log; of a session that has left it, what `event_log` and the archive have too.

    It has left if it is archived, or no record of it is in the log. An archived one may have late
    records there. `trouble` says why the others could not be read: they are missing then.
    """

    def __init__(self, client: Client, postgres_url: str) -> None:
        super().__init__(client)
        self._postgres_url = postgres_url
        self._marks = ArchivedMarks(client)
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

    async def _whole(self, session_id: str) -> Sequence[Record] | None:
        """Every record of a session that has left the log; None if it has not."""
        if not await self._marks.contains(session_id) and await super().read(session_id, limit=1):
            return None
        found = {each.seq: each for each in await self._read_left(session_id)}
        # The views may not have what came into the log last.
        found |= {each.seq: each for each in await super().read(session_id)}
        return [found[seq] for seq in sorted(found)]

    async def _read_left(self, session_id: str) -> Sequence[Record]:
        engine = open_database(self._postgres_url, "offhook-show")
        try:
            async with engine.begin() as connection:
                return await read_whole_session(connection, session_id)
        except OperatorFault as error:
            self.trouble = str(error)
        except DATABASE_ERRORS as error:
            self.trouble = reason_of(error)
        finally:
            await engine.dispose()
        return []
