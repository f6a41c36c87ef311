"""The versions of the views: the live one, and one that a rebuild keeps in a schema aside.

    public            what the projector writes and readers read
    public_rebuild    before the cutover: the version that is being built
                      after it: the version before, kept up to date until the grace period ends

Who deletes rows of the views for good, or changes their tables, has to think of both.
"""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

MARK = "offhook rebuild"
"""The comment on a schema of ours begins with this."""


async def live_schema(connection: AsyncConnection) -> str:
    """The schema of the live views, as a quoted identifier."""
    found = await connection.execute(
        text(
            "select quote_ident(nspname) from pg_namespace"
            " join pg_class on pg_namespace.oid = relnamespace"
            " where pg_class.oid = to_regclass('checkpoint')"
        )
    )
    return str(found.scalar_one())


def aside_of(live: str) -> str:
    """The schema aside, as a quoted identifier like `live`."""
    return f'{live[:-1]}_rebuild"' if live.endswith('"') else f"{live}_rebuild"


async def aside_exists(connection: AsyncConnection, live: str) -> bool:
    """Whether there is a schema aside that a rebuild created."""
    found = await connection.execute(
        text("select obj_description(to_regnamespace(:name), 'pg_namespace')"),
        {"name": aside_of(live)},
    )
    return str(found.scalar_one_or_none() or "").startswith(MARK)


async def drop_aside(connection: AsyncConnection, live: str) -> bool:
    """Drop the version aside; whether there was one. What wrote to it as well no longer does."""
    if not await aside_exists(connection, live):
        return False
    await connection.execute(text(f"drop schema {aside_of(live)} cascade"))
    return True
