"""How Postgres plans the statements of analytics."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


async def plan_once(connection: AsyncConnection) -> None:
    """For reads of roll-ups, until the transaction ends: one plan for all of their ranges.

    Planning such a statement takes longer than running it, and its plan is the same for any range:
    what there is to read is looked up by period. Postgres overestimates how much that is, so it
    would start processes for the few legs at the ends of the range.
    """
    await connection.execute(_ONCE)


async def plan_for_range(connection: AsyncConnection) -> None:
    """For reads of legs: how many there are to count depends on the range, and so does the plan."""
    await connection.execute(_PARALLEL)
    await connection.execute(_FOR_RANGE)


_ONCE = text(
    "select set_config('plan_cache_mode', 'force_generic_plan', true),"
    " set_config('max_parallel_workers_per_gather', '0', true)"
)
_FOR_RANGE = text("select set_config('plan_cache_mode', 'auto', true)")
_PARALLEL = text("set local max_parallel_workers_per_gather to default")
