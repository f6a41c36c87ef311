"""Fill the empty roll-ups of a version of the views from its rows, and keep them from now on."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.projections.views.analytics.hourly.kept import make_everything
from offhook.projections.views.analytics.rollups.changes import FILL_CHANGES
from offhook.projections.views.analytics.rollups.filling import fill_rollups
from offhook.projections.views.analytics.rollups.triggers import TRIGGERS


async def refill(connection: AsyncConnection, schema: str) -> None:
    """`schema` is a quoted identifier, which becomes the first of the transaction's search path."""
    found = await connection.execute(text("select current_schema()"))
    await connection.execute(text(f"set local search_path to {schema}, {found.scalar_one()}"))
    await fill_rollups(connection)
    analyze = "analyze leg_sums, leg_classes, leg_costs, leg_repeats, hour_changes"
    for statement in (*FILL_CHANGES.values(), analyze):
        await connection.execute(text(statement))
    await make_everything(connection)
    for statement in TRIGGERS:
        await connection.execute(text(statement))
