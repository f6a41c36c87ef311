"""The engine for Postgres: one place for its URL and its settings.

A pooler in between has to give each connection a server connection of its own (session mode): the
projector's lock and the API's notifications belong to a session. In transaction mode the lock would
stay behind with whichever connection took it, and no notification would come.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import asyncpg
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from offhook.errors import OperatorFault, SettingInvalid

POOL_CONNECTIONS_MAX = 10
CONNECT_TIMEOUT_S = 5.0

STATEMENT_TIMEOUT_S = 60.0
"""A server that was cut off does not answer, nor does its connection break by itself."""


POOLER_ROUNDS = 5
"""Other clients of a pooler may be served in between, so one look is not enough."""

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


def open_database(
    url: str,
    application: str = "offhook",
    *,
    statement_timeout_s: float | None = STATEMENT_TIMEOUT_S,
) -> AsyncEngine:
    """An engine; nothing is connected yet. Sessions speak UTC whatever the server's default.

    Raises SettingInvalid for what is no URL of Postgres. Connecting raises OperatorFault where a
    pooler keeps no sessions.
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


def reason_of(error: Exception) -> str:
    """What Postgres said, in a line; what else it was, as Python shows it."""
    if not isinstance(error, DBAPIError):
        return repr(error)
    said = getattr(error.orig, "__cause__", None) or error.orig
    return f"Postgres: {said}".splitlines()[0]


async def _connect(**options: Any) -> Connection:
    connection: Connection = await asyncpg.connect(**options)
    try:
        server = (options.get("host"), options.get("port"), options.get("database"))
        if server not in _with_sessions:
            await _require_sessions(connection, lambda: asyncpg.connect(**options))
            _with_sessions.add(server)
        # JIT pays for itself in long analytical queries only; here it costs milliseconds. As a
        # startup parameter it keeps PgBouncer from letting anybody in.
        await connection.execute("set jit = off")
    except BaseException:
        connection.terminate()
        raise
    return connection


_with_sessions: set[tuple[Any, ...]] = set()
"""Servers this process has looked at: readiness connects every second."""


async def _require_sessions(
    first: Connection, connect: Callable[[], Awaitable[Connection]]
) -> None:
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


async def _server_of(connection: Connection) -> int:
    # In a transaction: a query takes two round trips, and each may go to another server connection.
    async with connection.transaction():
        pid: int = await connection.fetchval(_SERVER)
    return pid


_SERVER = "select pg_backend_pid()"
_NO_SESSIONS = (
    "OFFHOOK_POSTGRES_URL leads to a connection pooler in transaction or statement mode; expected "
    "session mode, or Postgres itself: the projector's lock and the API's notifications belong to "
    "a session. Set pool_mode = session for this database in PgBouncer, or connect around it"
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
        # Its value is not told: there may be a password in it.
        raise SettingInvalid(
            "OFFHOOK_POSTGRES_URL is no URL of Postgres; expected postgresql://user@host/database"
        )
    return parsed.set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)
