"""One archive run, erasure or repair at a time, and no rebuild meanwhile."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.errors import OperatorFault

LOCK = "offhook retention"


@asynccontextmanager
async def alone(engine: AsyncEngine) -> AsyncIterator[None]:
    """Only one archive run, erasure or rebuild works at a time. Raises OperatorFault."""
    async with engine.connect() as connection:
        try:
            for name, who in ((LOCK, "archive run or erasure"), ("rebuild", "rebuild")):
                found = await connection.execute(
                    text("select pg_try_advisory_lock(hashtextextended(:name, 0))"), {"name": name}
                )
                if not found.scalar_one():
                    raise OperatorFault(f"another {who} of these views is running: wait for it")
            await connection.commit()
            yield
        finally:
            await connection.invalidate()  # the locks are the connection's
