"""What goes wrong with Postgres: what may pass, and what is said of it."""

import asyncpg
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from offhook.errors import words_of

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

DRIVER_ERRORS: tuple[type[Exception], ...] = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the first use of a connection that was ended while it was idle
    OSError,
)
"""All that the driver raises of a connection."""

DATABASE_ERRORS: tuple[type[Exception], ...] = (SQLAlchemyError, *DRIVER_ERRORS, TimeoutError)
"""All that connecting and reading raise, a mistake in a statement included."""


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


def sqlstate_of(error: Exception) -> str:
    """Postgres' code of the error, whether SQLAlchemy or the driver raised it; else empty."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return str(getattr(cause, "sqlstate", None) or "")


def will_pass(error: StatementFailed) -> bool:
    """Whether the same statement may succeed a little later."""
    return sqlstate_of(error).startswith(_PASSING)


def is_of_a_value(error: Exception) -> bool:
    """Whether a value is at fault, not the connection, the server or the schema."""
    if isinstance(error, DBAPIError | asyncpg.PostgresError):
        return sqlstate_of(error).startswith(_OF_A_VALUE)
    return isinstance(error, ValueError | TypeError | OverflowError)


# Postgres' classes of errors: connection, rolled back for another's sake, resources, not at the
# moment, stopped by its operator (also while it starts and stops).
_PASSING = ("08", "40", "53", "55", "57")

# A value that does not fit, and one over a limit, such as an index entry that is too long.
_OF_A_VALUE = ("22", "54")
