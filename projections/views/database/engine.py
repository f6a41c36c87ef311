"""Postgres: its URL, the engine and its settings, and what goes wrong with them.

Whoever reads the views takes these names from here: SQLAlchemy and asyncpg are imported in
`projections` alone.

A pooler in between has to give each connection a server connection of its own (session mode): locks
and the API's notifications belong to a session, and a projector's leases to the connection that it
writes with. In transaction mode a lock would stay behind with whichever connection took it, and no
notification would come.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias, cast

import asyncpg
from sqlalchemy import make_url, text
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from offhook.errors import OperatorFault, SenderFault, SettingInvalid, words_of

POOL_CONNECTIONS_MAX = 10
CONNECT_TIMEOUT_S = 5.0

SILENT_S = 5.0
"""Postgres is silent if it takes longer for the smallest read: see `database.silence`."""

STATEMENT_TIMEOUT_S = 60.0
"""A server that was cut off does not answer, nor does its connection break by itself."""

POOLER_ROUNDS = 5
"""Other clients of a pooler may be served in between, so one look is not enough."""

PAGE_MAX = 250
"""Rows that a list returns at most."""

SEARCH_TIMEOUT_S = 10.0
"""A filter without an index reads sessions, newest first, until enough are found."""

OPEN_MAX = 3
"""Open transactions that are named: usually there is one."""

Connection = AsyncConnection
Engine = AsyncEngine
StatementFailed = DBAPIError
"""Postgres refused a statement; `will_pass` says whether that is worth another try."""

UNREACHABLE: tuple[type[Exception], ...] = (
    OperationalError,
    InterfaceError,
    PoolTimeout,
    # The driver's own error is what a connection that could not be made ends with.
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    OSError,
)
"""Raised while Postgres cannot be connected to, or does not answer."""

DATABASE_ERRORS: tuple[type[Exception], ...] = (
    SQLAlchemyError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the first use of a connection that was ended while it was idle
    OSError,
    TimeoutError,
)
"""All that connecting and reading raise, a mistake in a statement included."""

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
"""A connection without SQLAlchemy, for statements that it would cost more than Postgres does."""


class SearchTooLong(SenderFault):
    """A search would take longer than its bound."""

    def __init__(self) -> None:
        super().__init__(
            f"the search took more than {SEARCH_TIMEOUT_S:.0f} s; expected a filter that few "
            "sessions match: add a number, started_from and started_before, or a connection_id"
        )


def open_database(
    url: str,
    application: str = "offhook",
    *,
    statement_timeout_s: float | None = STATEMENT_TIMEOUT_S,
) -> Engine:
    """An engine; nothing is connected yet. Times are in UTC, whatever the server's default.

    Raises SettingInvalid for what is not a PostgreSQL URL. Connecting raises OperatorFault behind a
    pooler that is not in session mode.
    """
    return create_async_engine(
        asyncpg_url(url),
        pool_size=POOL_CONNECTIONS_MAX,
        max_overflow=0,
        pool_pre_ping=True,
        connect_args={
            "timeout": CONNECT_TIMEOUT_S,
            "command_timeout": statement_timeout_s,
            "server_settings": {"application_name": application, "timezone": "UTC"},
            "async_creator_fn": _connect,  # called with all these, and what the URL says
        },
    )


async def driver_of(connection: Connection) -> Driver:
    """The driver's own connection: each statement on it is a transaction, unless one is begun."""
    raw = await connection.get_raw_connection()
    driver = raw.driver_connection
    assert driver is not None
    return cast(Driver, driver)


async def driver_in(connection: Connection) -> Driver:
    """The driver's own connection, in a transaction: SQLAlchemy's, or one of `begun`."""
    driver = await driver_of(connection)
    if not driver.is_in_transaction():
        await connection.execute(text("select 1"))  # SQLAlchemy begins with the first statement
    return driver


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


def reason_of(error: Exception) -> str:
    """What Postgres said, in one line; any other error as Python shows it."""
    if isinstance(error, asyncpg.PostgresError | asyncpg.InterfaceError):
        return f"Postgres: {error}".splitlines()[0]
    if type(error) is TimeoutError:  # the driver's own has no text; those of NATS are subclasses
        return f"Postgres: {words_of(error)}"
    if not isinstance(error, DBAPIError):
        return repr(error)
    said = getattr(error.orig, "__cause__", None) or error.orig
    return f"Postgres: {said}".splitlines()[0]


@dataclass(frozen=True, kw_only=True)
class Server:
    """A Postgres server: its version and what its clock says."""

    version: str
    time: datetime


async def read_server(connection: Connection) -> Server:
    """The server at the other end."""
    found = await connection.execute(
        text("select clock_timestamp(), current_setting('server_version')")
    )
    time, version = found.one()
    return Server(version=version.partition(" ")[0], time=time)


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


def will_pass(error: StatementFailed) -> bool:
    """Whether the same statement may succeed a little later."""
    return str(getattr(error.orig, "sqlstate", None)).startswith(_PASSING)


# Postgres' classes of errors: connection, rolled back for another's sake, resources, not at the
# moment, stopped by its operator (also while it starts and stops).
_PASSING = ("08", "40", "53", "55", "57")


async def _connect(**options: Any) -> Driver:
    try:
        connection: Driver = await asyncpg.connect(**options)
    except TimeoutError as error:
        raise TimeoutError(f"no answer within {CONNECT_TIMEOUT_S:g} s") from error
    try:
        server = (options.get("host"), options.get("port"), options.get("database"))
        if server not in _with_sessions:
            await _require_sessions(connection, lambda: asyncpg.connect(**options))
            _with_sessions.add(server)
        # JIT pays for itself in long analytical queries only; here it costs milliseconds. PgBouncer
        # refuses connections that set it as a startup parameter.
        await connection.execute("set jit = off", timeout=CONNECT_TIMEOUT_S)
    except BaseException:
        connection.terminate()
        raise
    return connection


_with_sessions: set[tuple[Any, ...]] = set()
"""Servers this process has looked at: readiness connects every second."""


async def _require_sessions(first: Driver, connect: Callable[[], Awaitable[Driver]]) -> None:
    """Raise OperatorFault if two connections share a server connection, one after the other."""
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            server = await _server_of(first)
            if server == first.get_server_pid():
                return  # no pooler: it makes up the pid that it gives its clients
            second = await connect()
            try:
                for _ in range(POOLER_ROUNDS):
                    async with second.transaction():
                        shared = server == await second.fetchval(_SERVER)
                        if shared or server != await _server_of(first):
                            raise OperatorFault(_NO_SESSIONS)
            finally:
                second.terminate()
    except TimeoutError:
        return  # a pooler without a free server connection: those that are taken are kept
    except _OF_SHARED_SESSIONS as error:
        raise OperatorFault(f"{_NO_SESSIONS}. It says: {error}") from error


async def _server_of(connection: Driver) -> int:
    # In a transaction: a query takes two round trips, and each may go to another server connection.
    async with connection.transaction():
        pid: int = await connection.fetchval(_SERVER)
    return pid


_SERVER = "select pg_backend_pid()"
_NO_SESSIONS = (
    "OFFHOOK_POSTGRES_URL leads to a connection pooler in transaction or statement mode; expected "
    "session mode, or Postgres itself: locks and the API's notifications belong to a session, and "
    "a projector's leases to its connection. Set pool_mode = session for this database in "
    "PgBouncer, or connect around it"
)
_OF_SHARED_SESSIONS = (
    asyncpg.DuplicatePreparedStatementError,
    asyncpg.InvalidSQLStatementNameError,
    asyncpg.ProtocolViolationError,  # a transaction, in statement mode
)


def asyncpg_url(url: str) -> str:
    """Any Postgres URL, with the asyncpg driver put in. Raises SettingInvalid."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # the latter for a port
        parsed = None
    if parsed is None or parsed.get_backend_name() not in ("postgresql", "postgres"):
        # Its value is not shown: there may be a password in it.
        raise SettingInvalid(
            "OFFHOOK_POSTGRES_URL is not a PostgreSQL URL; expected postgresql://user@host/database"
        )
    return parsed.set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)
