"""The selected records of an installation, for the commands that read them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import uvloop

from offhook.cli.history.progress import Advance
from offhook.errors import OperatorFault
from offhook.history.lines import HistoryRecord
from offhook.history.selection import Selection, Unfound
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.lookup import StreamLookup
from offhook.projections.views.database.engine import open_database
from offhook.projections.views.database.errors import DATABASE_ERRORS, reason_of
from offhook.projections.views.database.transactions import read_at_one_moment
from offhook.projections.views.past.selected_records import (
    Order,
    changed_segments_of,
    count_records,
    require_partitions,
    require_sessions,
    select_records,
)
from offhook.projections.views.schema.migrate import require_migrated
from offhook.settings import Settings

Result = TypeVar("Result")


def run(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run it to its end. What Postgres says becomes an OperatorFault."""
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(coroutine)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except BrokenPipeError:  # whoever reads standard output has seen enough
        raise SystemExit(1) from None
    except DATABASE_ERRORS as error:
        raise OperatorFault(reason_of(error)) from error


@asynccontextmanager
async def selected_records(
    settings: Settings,
    selection: Selection,
    order: Order,
    doing: str,
    *,
    changed_segments: list[str] | None = None,
) -> AsyncIterator[tuple[AsyncIterator[HistoryRecord], Advance]]:
    """The records as of one moment, and the progress that whoever takes them keeps.

    At the end `changed_segments` gets what is wrong with each file of the archive that was changed.
    Raises SelectionInvalid if a partition, a session or a number has no records, and OffhookError.
    """
    await require_migrated(settings.postgres_url)
    engine = open_database(settings.postgres_url, "offhook-history", statement_timeout_s=None)
    log = _Log(settings.nats_url)
    try:
        async with engine.connect() as connection:
            await read_at_one_moment(connection)
            async with connection.begin():
                await require_partitions(connection, selection)
                await require_sessions(connection, selection)
                total = None if selection.types else await count_records(connection, selection)
                records = select_records(
                    connection, selection, order=order, headers_at=log.headers_at
                )
                with Advance(doing, total) as progress:
                    yield _counted(records, selection, progress), progress
                if changed_segments is not None:
                    changed_segments += await changed_segments_of(connection, selection)
    finally:
        await log.close()
        await engine.dispose()


async def _counted(
    records: AsyncIterator[HistoryRecord], selection: Selection, progress: Advance
) -> AsyncIterator[HistoryRecord]:
    """Raises SelectionInvalid at the end if no record is of a selected type that is not known."""
    unfound = Unfound(selection)
    async for record in records:
        unfound.see(record)
        yield record
        progress.add()
    unfound.require_nothing()


class _Log:
    """Connected to at the first question, which only rows of an earlier version raise."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._opening: asyncio.Task[tuple[StreamLookup, Callable[[], Coroutine[Any, Any, None]]]]
        self._is_open = False

    async def headers_at(self, position: int) -> dict[str, str] | None:
        """The headers of the record at `position`. Raises LogUnavailable."""
        if not self._is_open:
            self._is_open = True
            self._opening = asyncio.create_task(self._open())
        lookup, _ = await self._opening
        return await lookup.headers_at(position)

    async def _open(self) -> tuple[StreamLookup, Callable[[], Coroutine[Any, Any, None]]]:
        client = await connect(self._url, "history")
        return StreamLookup(client), lambda: close(client)

    async def close(self) -> None:
        """Close the connection, if there is one."""
        if self._is_open and not (await asyncio.wait([self._opening]))[0].pop().exception():
            _, closed = self._opening.result()
            await closed()
