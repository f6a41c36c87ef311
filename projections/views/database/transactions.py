"""Transactions: begun without SQLAlchemy, reading one moment, and those that are open too long."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy import text

from offhook.projections.views.database.engine import Connection, driver_of

OPEN_MAX = 3
"""Open transactions that are named: usually there is one."""


@asynccontextmanager
async def begun(connection: Connection) -> AsyncIterator[None]:
    """A transaction of the driver's own; what SQLAlchemy is asked within it takes part.

    SQLAlchemy's takes a round trip more and half a millisecond of processor time. The connection
    must not be in one already.
    """
    driver = await driver_of(connection)
    # As SQLAlchemy begins: its own is a savepoint in this one, which asks for the same isolation.
    async with driver.transaction(isolation="read_committed"):
        try:
            yield
        except BaseException:
            await connection.rollback()
            raise
        await connection.commit()


async def read_at_one_moment(connection: Connection) -> None:
    """Make all reads of the connection's next transaction see one moment; none must have begun."""
    await connection.execution_options(isolation_level="REPEATABLE READ")


async def name_transaction(connection: Connection, name: str) -> None:
    """What Postgres' list of activity, and so `open_transactions`, says of this transaction."""
    await connection.execute(
        text("select set_config('application_name', :name, true)"), {"name": name}
    )


@dataclass(frozen=True, kw_only=True)
class OpenTransaction:
    """Somebody's transaction: it keeps its locks, and the rows that it may still read."""

    pid: int
    application: str
    open_s: float

    def __str__(self) -> str:
        return f"{self.application} (process {self.pid}, open for {self.open_s:.0f} s)"


async def open_transactions(connection: Connection, longer_s: float) -> Sequence[OpenTransaction]:
    """The transactions in this database that have been open longer, the longest first.

    At most OPEN_MAX, without the connection's own.
    """
    found = await connection.execute(
        text(
            "select pid, coalesce(nullif(application_name, ''), usename) as application,"
            " extract(epoch from clock_timestamp() - xact_start) as open_s from pg_stat_activity"
            " where datname = current_database() and backend_type = 'client backend'"
            " and pid <> pg_backend_pid()"
            " and xact_start < clock_timestamp() - make_interval(secs => :longer_s)"
            " order by xact_start limit :most"
        ),
        {"longer_s": longer_s, "most": OPEN_MAX},
    )
    return [
        OpenTransaction(pid=row.pid, application=row.application, open_s=float(row.open_s))
        for row in found
    ]
