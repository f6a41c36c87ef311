"""Postgres: its URL, the engine and its settings.

Whoever reads the views takes these names from here: SQLAlchemy and asyncpg are imported in
`projections` alone.

A pooler in between has to give each connection a server connection of its own (session mode): locks
and the API's notifications belong to a session, and a projector's leases to the connection that it
writes with. In transaction mode a lock would stay behind with whichever connection took it, and no
notification would come.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias, cast

import asyncpg
import msgspec
from sqlalchemy import AdaptedConnection, event, make_url, text
from sqlalchemy.exc import ArgumentError, InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from offhook.errors import OperatorFault, SettingInvalid
from offhook.projections.views.database.arrays import encode_arrays_fast
from offhook.projections.views.database.errors import DRIVER_ERRORS

POOL_CONNECTIONS_MAX = 10
CONNECT_TIMEOUT_S = 5.0

STATEMENT_TIMEOUT_S = 60.0
"""A server that was cut off does not answer, nor does its connection break by itself."""

POOLER_ROUNDS = 5
"""Other clients of a pooler may be served in between, so one look is not enough."""

Connection = AsyncConnection
Engine = AsyncEngine
Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
"""A connection without SQLAlchemy, for statements that it would cost more than Postgres does."""


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
    encode_arrays_fast()
    engine = create_async_engine(
        asyncpg_url(url),
        pool_size=POOL_CONNECTIONS_MAX,
        max_overflow=0,
        json_deserializer=msgspec.json.decode,
        connect_args={
            "timeout": CONNECT_TIMEOUT_S,
            "command_timeout": statement_timeout_s,
            "server_settings": {"application_name": application, "timezone": "UTC"},
            "async_creator_fn": _connect,  # called with all these, and what the URL says
        },
    )
    event.listen(engine.sync_engine, "checkout", _ping)
    return engine


def _ping(connection: AdaptedConnection, record: object, proxy: object) -> None:
    """Have the pool replace a connection that has broken since it was used last.

    As `pool_pre_ping` does, in one round trip instead of three: SQLAlchemy pings in a transaction,
    for poolers that `_connect` refuses.
    """
    try:
        connection.run_async(lambda driver: driver.execute("select"))
    except DRIVER_ERRORS as error:
        raise InvalidatePoolError from error


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
        # JIT pays for itself in long analytical queries only; here it costs milliseconds. A
        # statement without `begin` has to see what was committed while it waited for a lock, which
        # one of a database with another default does not. PgBouncer refuses connections that set
        # these as startup parameters.
        await connection.execute(
            "set jit = off; set default_transaction_isolation = 'read committed'",
            timeout=CONNECT_TIMEOUT_S,
        )
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
                    async with _transaction(second):
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
    async with _transaction(connection):
        pid: int = await connection.fetchval(_SERVER)
    return pid


@asynccontextmanager
async def _transaction(connection: Driver) -> AsyncIterator[None]:
    """A transaction that is not rolled back if it is cancelled: the connection is ended then.

    The driver's own rolls back in any case. If Postgres is silent, that waits for it to confirm the
    cancelled statement, for up to STATEMENT_TIMEOUT_S.
    """
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield
    except Exception:
        await transaction.rollback()
        raise
    await transaction.rollback()


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
