"""Millions of rows in a table, made by Postgres itself."""

import asyncio
from collections.abc import Mapping
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.cli.embedded.postgres_server import PostgresServer
from offhook.projections.views.database.engine import open_database


def has_database(postgres: PostgresServer, name: str) -> bool:
    """Whether it is there from another run."""

    async def has() -> bool:
        engine = open_database(postgres.url)
        async with engine.connect() as connection:
            found = await connection.execute(
                text("select 1 from pg_database where datname = :name"), {"name": name}
            )
        await engine.dispose()
        return found.first() is not None

    return asyncio.run(has())


async def fill_table(
    connection: AsyncConnection, table: str, insert: str, values: Mapping[str, Any]
) -> None:
    """Insert without the triggers of the table; its indexes are made of all rows at the end."""
    await connection.execute(text(f"alter table {table} disable trigger user"))
    # Keys come in no order: indexes are many times faster to build than to keep.
    await connection.execute(text(_INDEXES_WAIT), {"table": table})
    await connection.execute(text(insert), values)
    await connection.execute(text(f"reindex table {table}"))
    await connection.execute(text(f"alter table {table} enable trigger user"))


_INDEXES_WAIT = "update pg_index set indisready = false where indrelid = to_regclass(:table)"
