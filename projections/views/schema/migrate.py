"""Migrations, run from code: there is no alembic.ini, and the folder is handed in."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

import offhook
from offhook.errors import OperatorFault, PostgresUnreachable, words_of
from offhook.projections.views.database.engine import open_database
from offhook.projections.views.parked import parked_sessions
from offhook.projections.views.registry import DERIVED
from offhook.projections.views.schema.versions import drop_aside, live_schema

if TYPE_CHECKING:
    # Importing it takes 0.1 s of CPU: only migrations do, not every role that starts.
    from alembic.config import Config

_VERSIONS = Path(offhook.__file__).parent / "migrations" / "versions"

REVISION = max(path.name[:4] for path in _VERSIONS.glob("[0-9]*.py"))
"""The newest migration, by the names of their files: the one that this code was written for."""


@dataclass(frozen=True, kw_only=True)
class Migrating:
    """The revision that is being applied; `part` of `parts` are done, where it counts them."""

    revision: str
    title: str
    part: int = 0
    parts: int | None = None


Report = Callable[[Migrating], None]


async def migrate(
    url: str,
    folder: Path,
    revision: str = "head",
    *,
    report: Report = lambda migrating: None,
    warn: Callable[[str], None] = lambda warning: None,
) -> None:
    """Bring the database up to `revision`. Several at once wait for one another.

    Of a database that has a revision, `report` is given each that is applied, first before its
    work, and `warn` the projectors that are running: they are of the version before.
    """

    def upgrade(connection: Connection, found: str | None) -> None:
        from alembic import command

        config = _config(folder, connection)
        if found is not None:
            _report_each(config, found, revision, report)
        command.upgrade(config, revision)

    await _run(url, upgrade, REVISION if revision == "head" else revision, warn)


def _report_each(config: "Config", found: str, target: str, report: Report) -> None:
    """Have each revision reported, and the parts of those that count them."""
    from alembic.script import ScriptDirectory

    steps = ScriptDirectory.from_config(config).iterate_revisions(target, found)
    left = [Migrating(revision=each.revision, title=_title(each.doc)) for each in steps]

    def begin() -> None:
        if left:
            report(left[-1])

    def applied(**step: Any) -> None:
        left.pop()
        begin()

    def part(done: int, of: int) -> None:
        report(replace(left[-1], part=done, parts=of))

    config.attributes |= {"applied": applied, "part": part}
    begin()


def _title(doc: str) -> str:
    """The first line of the migration's docstring."""
    return doc.partition("\n")[0].rstrip(".")


async def downgrade(url: str, folder: Path, revision: str) -> None:
    """Take migrations back to `revision`; "base" leaves nothing."""

    def back(connection: Connection, found: str | None) -> None:
        from alembic import command

        command.downgrade(_config(folder, connection), revision)

    await _run(url, back, revision)


async def revision(url: str) -> str | None:
    """The revision the database is at; None before the first migration."""
    async with _connected(open_database(url, "offhook-migrate")) as connection:
        return await _revision(connection)


async def require_migrated(url: str) -> None:
    """Raise OperatorFault unless the database is at the revision this code was written for."""
    found = await revision(url)
    if found != REVISION:
        raise OperatorFault(
            f"the database is at revision {found}, this version of Offhook needs {REVISION}: "
            "run `offhook migrate`"
        )


async def hold_off_projectors(connection: AsyncConnection, schema: str = "") -> None:
    """Until this transaction ends no projector writes the views; readers read on.

    `schema` is a quoted identifier; without one the search path finds the tables. A table that a
    later migration creates is left out.
    """
    prefix = f"{schema}." if schema else ""
    # In the order in which a projector writes them: in another, the two could wait for each other.
    tables = [f"{prefix}{table.name}" for table in (*DERIVED, parked_sessions)]
    found = await connection.execute(
        text(
            "select name from unnest(cast(:tables as text[])) with ordinality as each (name, place)"
            " where to_regclass(name) is not null order by place"
        ),
        {"tables": tables},
    )
    names = ", ".join(found.scalars())
    await connection.execute(text(f"lock table {names} in share row exclusive mode"))


async def _run(
    url: str,
    work: Callable[[Connection, str | None], None],
    target: str,
    warn: Callable[[str], None] = lambda warning: None,
) -> None:
    # An index on a long table takes as long as it takes.
    engine = open_database(url, "offhook-migrate", statement_timeout_s=None)
    async with _connected(engine) as connection, connection.begin():
        await connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
        found = await _revision(connection)
        if found not in (None, target):
            for projector_id in await _running_projectors(connection):
                warn(
                    f"the projector {projector_id} is running, and is of the version before: what"
                    " it writes from now on may lack what this version adds. Stop it and start the"
                    " new one; `offhook rebuild` corrects what was written in between"
                )
            # A migration may come to the tables in another order than they do. Readers read on,
            # until a migration changes the table that they read.
            await hold_off_projectors(connection)
            # It would lack what changes now: a rebuild has to begin again, or a rollback is over.
            await drop_aside(connection, await live_schema(connection))
        await connection.run_sync(work, found)


async def _running_projectors(connection: AsyncConnection) -> Sequence[str]:
    if await connection.scalar(text("select to_regclass('projectors')")) is None:
        return []
    found = await connection.execute(
        text(
            "select projector_id from projectors join pg_stat_activity as backend"
            " on backend.pid = backend_pid"
            # A role that may not see the other one's has a null.
            " and coalesce(backend_start, backend_started_at) = backend_started_at"
            " where expires_at > now() order by projector_id"
        )
    )
    return found.scalars().all()


@asynccontextmanager
async def _connected(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """The engine's one connection. Raises PostgresUnreachable if it cannot be had."""
    try:
        connection = engine.connect()
        try:
            await connection.start()
        except (OSError, SQLAlchemyError) as error:
            why = words_of(getattr(error, "orig", None) or error)
            raise PostgresUnreachable(
                f"cannot connect to Postgres: {why}; see OFFHOOK_POSTGRES_URL"
            ) from error
        try:
            yield connection
        finally:
            await connection.close()
    finally:
        await engine.dispose()


def _config(folder: Path, connection: Connection) -> "Config":
    from alembic.config import Config

    config = Config()
    # Config reads % as a reference of its own.
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes |= {
        "connection": connection,
        "applied": lambda **step: None,
        "part": lambda done, of: None,
    }
    return config


async def _revision(connection: AsyncConnection) -> str | None:
    """Where Alembic keeps it: one row, as no two migrations have the same one before them."""
    if await connection.scalar(text("select to_regclass('alembic_version')")) is None:
        return None
    found: str | None = await connection.scalar(text("select version_num from alembic_version"))
    return found


_LOCK_KEY = 0x0FF40013
