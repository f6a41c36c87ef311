"""What an operator has done to the views: a new version built and put in use, all of them emptied,
one session folded again.

The commands' way to the code that writes the views; nobody else outside of this room has one.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from sqlalchemy import text

from offhook.errors import LogReplaced, OperatorFault
from offhook.jetstream.stream import PROJECTOR
from offhook.projections.projector.batch import Projection
from offhook.projections.rebuild import control, cutover, run
from offhook.projections.rebuild.build import UNFINISHED, Build, Positions
from offhook.projections.rebuild.control import RebuildStatus
from offhook.projections.rebuild.parity import Compared, Example, Parity
from offhook.projections.rebuild.refold import Refolded, refold
from offhook.projections.rebuild.run import GRACE_S, RebuildProgress
from offhook.projections.standby import Process
from offhook.projections.views.analytics.rollups.tables import ROLLUPS
from offhook.projections.views.database.engine import Connection, Engine, open_database
from offhook.projections.views.registry import TABLES, VIEWS
from offhook.projections.views.schema.migrate import hold_off_projectors, require_migrated

__all__ = [
    "GRACE_S",
    "UNFINISHED",
    "Build",
    "Compared",
    "Example",
    "Parity",
    "Positions",
    "RebuildProgress",
    "RebuildStatus",
    "Refolded",
    "build_version",
    "cancel_rebuild",
    "cut_over",
    "empty_views",
    "fold_again",
    "fold_sessions_again",
    "pause_rebuild",
    "read_rebuild",
    "require_foldable_from",
    "roll_back",
    "view_names",
]


async def build_version(
    postgres_url: str,
    *,
    workers: int,
    ready: Sequence[Process] = (),
    on_progress: Callable[[RebuildProgress], None] = lambda progress: None,
) -> Parity | None:
    """Build a new version of all views aside, or go on building it; None if it was paused.

    `ready` are worker processes that stand by.
    """
    async with _engine(postgres_url) as engine:
        return await run.build_version(
            engine, postgres_url, workers=workers, ready=ready, on_progress=on_progress
        )


async def cut_over(
    postgres_url: str, *, grace_s: float, despite_missing: bool, despite_unreadable: bool
) -> Positions:
    """Put the version aside in use; the one before is kept that long."""
    async with _engine(postgres_url) as engine:
        return await run.cut_over_version(
            engine,
            grace_s=grace_s,
            despite_missing=despite_missing,
            despite_unreadable=despite_unreadable,
        )


async def roll_back(postgres_url: str) -> Positions:
    """Put the version before in use again."""
    async with _engine(postgres_url) as engine:
        return await cutover.roll_back(engine)


async def read_rebuild(postgres_url: str) -> RebuildStatus:
    """What there is aside, and whether a process is at work on it."""
    async with _engine(postgres_url) as engine:
        await cutover.end_grace(engine)
        return await control.read_status(engine)


async def pause_rebuild(postgres_url: str) -> Build:
    """Have the rebuild at work stop where it is."""
    async with _engine(postgres_url) as engine:
        return await control.pause(engine)


async def cancel_rebuild(postgres_url: str) -> bool:
    """Drop what is aside; whether there was anything."""
    async with _engine(postgres_url) as engine:
        return await control.cancel(engine)


def view_names() -> tuple[str, ...]:
    """The views that `fold_sessions_again` knows."""
    return tuple(view.name for view in VIEWS)


async def fold_sessions_again(
    engine: Engine, view_name: str, session_ids: Sequence[str]
) -> Refolded:
    """Fold one view's rows of these sessions again, in one transaction. Projectors wait for it."""
    [view] = [each for each in VIEWS if each.name == view_name]
    async with engine.begin() as connection:
        await hold_off_projectors(connection)
        return await refold(connection, view, session_ids)


async def require_foldable_from(
    postgres_url: str, *, first_seq: int, last_seq: int, deleted: Sequence[int]
) -> None:
    """Raise LogReplaced if the views have a record that a log of one stream no longer has.

    The log has the records from `first_seq` to `last_seq` but for the deleted ones.
    """
    await _require_no_archive(postgres_url)
    missing = "< :first_seq or {0} > :last_seq or {0} = any(:deleted)"
    async with _engine(postgres_url) as engine, engine.connect() as connection:
        found = await connection.execute(
            text(
                "select (select count(*) from event_log where seq"
                f" {missing.format('seq')}) as records,"
                " (select count(*) from sessions where first_seq"
                f" {missing.format('first_seq')}) as sessions"
            ),
            {"first_seq": first_seq, "last_seq": last_seq, "deleted": list(deleted)},
        )
        row = found.one()
    if row.records or row.sessions:
        raise LogReplaced(
            f"the views have {row.records:,} records, and {row.sessions:,} sessions that begin "
            "with one, that the log no longer has: folded again from the log they would be lost. "
            "Restore the stream that the views were made from, or use an empty database"
        )


async def _require_no_archive(postgres_url: str) -> None:
    """Raise OperatorFault if sessions were archived: the log has no record of them."""
    async with _engine(postgres_url) as engine, engine.connect() as connection:
        found = await connection.execute(
            text("select count(distinct session_id) from archived_sessions")
        )
        archived = found.scalar_one()
    if archived:
        raise OperatorFault(
            f"{archived:,} sessions are archived, and the log has no records of them: they cannot "
            "be moved with it. To get to several partitions, export all records (`offhook export "
            "-o calls.jsonl.zst`), and import them (`offhook import calls.jsonl.zst`) into a new "
            "NATS store and an empty database that were provisioned with OFFHOOK_PARTITIONS; see "
            "docs/deploy.md. Nothing was changed"
        )


async def empty_views(postgres_url: str) -> None:
    """Delete all that was folded from the log, and what a rebuild has made of it aside.

    The projector folds the log again from its beginning.
    """
    async with _engine(postgres_url) as engine:
        await control.cancel(engine)
        async with engine.begin() as connection:
            await hold_off_projectors(connection)
            # The roll-ups are emptied with the legs, by the trigger on those.
            names = ", ".join(table.name for table in TABLES if table not in ROLLUPS)
            await connection.execute(text(f"truncate table {names}"))


async def fold_again(connection: Connection, session_id: str) -> str:
    """Fold a parked session from its first record, as a projector does at startup.

    Returns the error if its views still cannot follow the log, else an empty text. The caller
    commits.
    """
    await hold_off_projectors(connection)
    tried = await Projection(PROJECTOR).retry_parked(connection, session_id=session_id)
    return tried.parked.get(session_id, "")


@asynccontextmanager
async def _engine(postgres_url: str) -> AsyncIterator[Engine]:
    await require_migrated(postgres_url)
    # Indexes and the comparison take as long as the tables are large.
    engine = open_database(postgres_url, "offhook-rebuild", statement_timeout_s=None)
    try:
        yield engine
    finally:
        await engine.dispose()
