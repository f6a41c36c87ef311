"""What was deleted leaves the tables' files, once nobody can read it any more."""

import asyncio
import time
from collections.abc import Callable, Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.projections.views.database.transactions import OpenTransaction, open_transactions

READERS_S = 10.0
"""How long transactions are waited for that may still read what was deleted: while one is open, no
vacuum removes it from the tables' files."""


class Vacuum:
    """`is_full` rewrites the tables. `doing` is called with what is being done."""

    def __init__(self, engine: AsyncEngine, doing: Callable[[str], None], *, is_full: bool) -> None:
        self._engine = engine
        self._doing = doing
        self._is_full = is_full

    def __str__(self) -> str:
        return "vacuum full" if self._is_full else "vacuum"

    async def run(self, tables: Sequence[str]) -> Sequence[OpenTransaction]:
        """Vacuum the tables; returns the transactions that keep what was deleted before now.

        While there are any the tables are not rewritten: the request for a lock would wait for
        them, and all other readers behind it.
        """
        self._doing("waiting for transactions that may still read what was erased")
        left = await self._readers_left()
        if self._is_full and left:
            return left
        how = "full" if self._is_full else "truncate, index_cleanup on"
        async with self._engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            for table in tables:
                self._doing(f"vacuuming table {table}")
                await connection.execute(text(f"vacuum ({how}) {table}"))
        return left

    async def _readers_left(self) -> Sequence[OpenTransaction]:
        """Wait for the transactions that began before now; returns those that stay open."""
        began = time.monotonic()
        while True:
            async with self._engine.connect() as connection:
                left = await open_transactions(connection, longer_s=time.monotonic() - began)
            if not left or time.monotonic() - began > READERS_S:
                return left
            await asyncio.sleep(0.05)


def named(transactions: Sequence[OpenTransaction]) -> str:
    """Who keeps what was deleted."""
    return ", ".join(map(str, transactions))
