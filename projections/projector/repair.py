"""Comparing the live tables with those that were rebuilt aside, and replacing the rows that differ.

Rows of sessions that cannot be folded are left out: how much of them came into the views depends on
how their records fell into batches.
"""

from dataclasses import dataclass

from sqlalchemy import Table, text
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.projections.views.event_log import event_log
from offhook.projections.views.parked import parked_sessions


@dataclass(frozen=True, kw_only=True)
class Content:
    """The rows of a table, whatever their order, without the sessions that cannot be folded."""

    rows: int
    checksum: str


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A table of the live views before and after. Both counts are 0 if nothing differed."""

    table: str
    before: Content
    after: Content
    removed: int = 0  # rows that were wrong, or should not have been there
    written: int = 0  # rows put in their place, and rows that were missing

    @property
    def identical(self) -> bool:
        """Whether the live table was as the log says."""
        return self.before == self.after


@dataclass(frozen=True, kw_only=True)
class Repair:
    """The connection of a rebuild, and the two schemas, as quoted identifiers."""

    connection: AsyncConnection
    live: str
    aside: str

    async def table(self, table: Table) -> Compared:
        """Make the live table like the one aside, if they differ."""
        before = await self._content(table, self.live, parked_in=self.live)
        wanted = await self._content(table, self.aside, parked_in=self.aside)
        if before == wanted:
            return Compared(table=table.name, before=before, after=wanted)
        removed, written = await self._replaced(table)
        after = await self._content(table, self.live, parked_in=self.aside)
        assert after == wanted, f"{table.name} was to be {wanted} and is {after}"
        return Compared(
            table=table.name, before=before, after=after, removed=removed, written=written
        )

    async def parked(self) -> int:
        """List the sessions that cannot be folded, and only those; returns how many there are."""
        live, aside = f"{self.live}.parked_sessions", f"{self.aside}.parked_sessions"
        names = ", ".join(column.name for column in parked_sessions.columns)
        for statement in (
            f"delete from {live} where session_id not in (select session_id from {aside})",
            f"insert into {live} ({names}) select {names} from {aside} on conflict do nothing",
        ):
            await self.connection.execute(text(statement))
        found = await self.connection.execute(text(f"select count(*) from {live}"))
        return int(found.scalar_one())

    async def _content(self, table: Table, schema: str, *, parked_in: str) -> Content:
        found = await self.connection.execute(
            text(
                "select count(*) as total,"
                " coalesce(sum(hashtextextended(whole, 0)), 0) as first,"
                " coalesce(sum(hashtextextended(whole, 1)), 0) as second"
                # Offset 0: or the text of each row would be made twice.
                f" from (select {_whole(table, 'each')} as whole from {schema}.{table.name} as each"
                f" where {_foldable(table, 'each', parked_in)} offset 0) as wholes"
            )
        )
        row = found.one()
        checksum = f"{int(row.first) % 2**64:016x}{int(row.second) % 2**64:016x}"
        return Content(rows=row.total, checksum=checksum)

    async def _replaced(self, table: Table) -> tuple[int, int]:
        """Replace the rows that differ; how many were removed, and written."""
        live, aside = f"{self.live}.{table.name}", f"{self.aside}.{table.name}"
        names = ", ".join(column.name for column in table.columns)
        same_key = " and ".join(
            f"old.{column.name} = new.{column.name}" for column in table.primary_key.columns
        )
        removed = await self.connection.execute(
            text(
                f"delete from {live} as old where {_foldable(table, 'old', self.aside)}"
                f" and not exists (select from {aside} as new where {same_key}"
                f" and {_whole(table, 'old')} = {_whole(table, 'new')})"
            )
        )
        written = await self.connection.execute(
            text(
                f"insert into {live} ({names}) select {names} from {aside} as new"
                f" where not exists (select from {live} as old where {same_key})"
            )
        )
        return removed.rowcount, written.rowcount


def _whole(table: Table, alias: str) -> str:
    """A row as one text: what is compared is what the checksum is of."""
    columns = ", ".join(f"{alias}.{column.name}" for column in table.columns)
    return f"cast(row({columns}) as text)"


def _foldable(table: Table, alias: str, parked_in: str) -> str:
    """The condition for rows that are of no session that is parked in that schema."""
    if table is event_log:
        return "true"  # every record is copied, those that cannot be read too
    return f"{alias}.session_id not in (select session_id from {parked_in}.parked_sessions)"
