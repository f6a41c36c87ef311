"""Migrations, run from code: there is no alembic.ini, and the folder is handed in."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

import offhook
from offhook.errors import OperatorFault, words_of
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


async def migrate(url: str, folder: Path, revision: str = "head") -> None:
    """Bring the database up to `revision`. Several at once wait for one another."""

    def upgrade(connection: Connection) -> None:
        from alembic import command

        command.upgrade(_config(folder, connection), revision)

    await _run(url, upgrade, REVISION if revision == "head" else revision)


async def downgrade(url: str, folder: Path, revision: str) -> None:
    """Take migrations back to `revision`; "base" leaves nothing."""

    def back(connection: Connection) -> None:
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


async def _run(url: str, work: Callable[[Connection], None], target: str) -> None:
    # An index on a long table takes as long as it takes.
    engine = open_database(url, "offhook-migrate", statement_timeout_s=None)
    async with _connected(engine) as connection, connection.begin():
        await connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
        found = await _revision(connection)
        if found not in (None, target):
            # A migration may come to the tables in another order than they do; readers read on.
            await hold_off_projectors(connection)
            # It would lack what changes now: a rebuild has to begin again, or a rollback is over.
            await drop_aside(connection, await live_schema(connection))
        await connection.run_sync(work)


@asynccontextmanager
async def _connected(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """The engine's one connection. Raises OperatorFault if it cannot be had."""
    try:
        connection = engine.connect()
        try:
            await connection.start()
        except (OSError, SQLAlchemyError) as error:
            why = words_of(getattr(error, "orig", None) or error)
            raise OperatorFault(
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
    config.attributes["connection"] = connection
    return config


async def _revision(connection: AsyncConnection) -> str | None:
    """Where Alembic keeps it: one row, as no two migrations have the same one before them."""
    if await connection.scalar(text("select to_regclass('alembic_version')")) is None:
        return None
    found: str | None = await connection.scalar(text("select version_num from alembic_version"))
    return found


_LOCK_KEY = 0x0FF40013
