"""The log with what has left it: sessions that ended long ago are read through Postgres."""

from collections.abc import Sequence

from nats.aio.client import Client

from offhook.errors import OperatorFault
from offhook.events import Record
from offhook.jetstream.log import JetStreamLog
from offhook.projections.views.database.engine import open_database
from offhook.projections.views.database.errors import DATABASE_ERRORS, reason_of
from offhook.projections.views.past.session_log import read_whole_session


class LogAndArchive(JetStreamLog):
    """The log; of a session without a record there, what `event_log` and the archive have.

    `trouble` says why those could not be read; such a session has no records.
    """

    def __init__(self, client: Client, postgres_url: str) -> None:
        super().__init__(client)
        self._postgres_url = postgres_url
        self._left: dict[str, Sequence[Record]] = {}
        self.trouble = ""

    async def read(
        self, session_id: str, *, in_after: int = 0, out_after: int = 0, limit: int | None = None
    ) -> Sequence[Record]:
        """As the log's own."""
        if session_id not in self._left:
            found = await super().read(
                session_id, in_after=in_after, out_after=out_after, limit=limit
            )
            if found or in_after or out_after:
                return found
            self._left[session_id] = await self._read_left(session_id)
        after = {"in": in_after, "out": out_after}
        left = [each for each in self._left[session_id] if each.seq > after[each.side]]
        return left[:limit]

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
