"""The one rebuild at work: who has its lock, which an archive run and an erasure take as well."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from offhook.errors import OperatorFault
from offhook.projections.projector.checkpoint import become_active, is_active

NAME = "rebuild"
"""Of the lock of the one rebuild at work."""

RETENTION = "offhook retention"
"""Of an archive run or erasure, which holds the lock of the rebuild as well."""

CLAIM_TIMEOUT_S = 10.0
"""Postgres notices only after the statement at hand that a killed rebuild is gone."""


ANOTHER = (
    "another rebuild, archive run or erasure of these views is running: wait for it, or"
    " see `offhook rebuild status`"
)


@asynccontextmanager
async def claimed(engine: AsyncEngine, refusal: str = ANOTHER) -> AsyncIterator[AsyncConnection]:
    """A connection that is the one rebuild at work. Raises OperatorFault if there is another."""
    async with engine.connect() as connection:
        try:
            async with asyncio.timeout(CLAIM_TIMEOUT_S):
                while not await become_active(connection, NAME):
                    await connection.commit()
                    await asyncio.sleep(0.1)
            await connection.commit()
        except TimeoutError:
            raise OperatorFault(refusal) from None
        try:
            yield connection
        finally:
            await connection.invalidate()


async def is_at_work(connection: AsyncConnection) -> bool:
    """Whether a process is at work on a rebuild, and not on an archive run or an erasure."""
    return await is_active(connection, NAME) and not await is_active(connection, RETENTION)
