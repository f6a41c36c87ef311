"""The engine for Postgres: one place for its URL and its settings."""

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from offhook.errors import SettingInvalid

POOL_CONNECTIONS_MAX = 10
CONNECT_TIMEOUT_S = 5.0

STATEMENT_TIMEOUT_S = 60.0
"""A server that was cut off does not answer, nor does its connection break by itself."""


def open_database(
    url: str,
    application: str = "offhook",
    *,
    statement_timeout_s: float | None = STATEMENT_TIMEOUT_S,
) -> AsyncEngine:
    """An engine; nothing is connected yet. Sessions speak UTC whatever the server's default.

    Raises SettingInvalid for what is no URL of Postgres.
    """
    return create_async_engine(
        asyncpg_url(url),
        pool_size=POOL_CONNECTIONS_MAX,
        max_overflow=0,
        pool_pre_ping=True,
        connect_args={
            "timeout": CONNECT_TIMEOUT_S,
            "command_timeout": statement_timeout_s,
            # JIT pays for itself in long analytical queries only; here it costs milliseconds.
            "server_settings": {"application_name": application, "timezone": "UTC", "jit": "off"},
        },
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
