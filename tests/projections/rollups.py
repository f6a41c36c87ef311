"""Whether the roll-ups that triggers keep are those that are made of all rows at once."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from offhook.projections.views.analytics.rollups import FILL, FILL_REPEATS
from offhook.projections.views.database import read_at_one_moment

# A row that has come to nothing stays.
CONDITIONS = {"leg_sums": "calls <> 0", "leg_classes": "legs <> 0", "leg_repeats": "true"}


async def assert_rolled_up(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await read_at_one_moment(connection)
        kept = await rolled_up(connection)
        for table in CONDITIONS:
            # Of this session alone, and found before the one that it is like.
            await connection.execute(
                text(f"create temporary table {table} (like {table} including all) on commit drop")
            )
        for statement in (FILL_REPEATS, FILL):
            await connection.execute(text(statement))
        assert await rolled_up(connection) == kept
        await connection.rollback()


async def rolled_up(connection: AsyncConnection) -> dict[str, set[str]]:
    """The rows of each roll-up, as text."""
    found = {}
    for table, condition in CONDITIONS.items():
        rows = await connection.execute(
            text(f"select cast(each as text) from {table} as each where {condition}")
        )
        found[table] = set(rows.scalars())
    return found
