"""How Postgres plans the statements of analytics."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


async def set_planning(connection: AsyncConnection, *, from_rollups: bool) -> None:
    """For the rest of the transaction: never compile, and plan reads of roll-ups once.

    Compiling takes longer than reading a few thousand rows; Postgres overestimates how many. And
    planning such a statement takes longer than running it. Its plan is the same for any range: what
    there is to read is looked up by period. How many legs to count in a range, without roll-ups,
    depends on the range, and so does the plan.
    """
    mode = "force_generic_plan" if from_rollups else "auto"
    await connection.execute(
        text("select set_config('jit', 'off', true), set_config('plan_cache_mode', :mode, true)"),
        {"mode": mode},
    )
