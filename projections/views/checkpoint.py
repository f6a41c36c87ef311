"""How far the views have come: the projector's position, which Postgres alone holds."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger, Column, DateTime, Table, Text, text
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.projections.views.view import metadata

CHANNEL = "offhook_projected"
"""Postgres notifies here with `<name>:<position>`, when a batch is committed."""

checkpoint = Table(
    "checkpoint",
    metadata,
    Column("name", Text, primary_key=True),
    Column("stream_created_at", DateTime(timezone=True), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("stored_at", DateTime(timezone=True)),
    Column("updated_at", DateTime(timezone=True), nullable=False),
)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """`seq` is the stream sequence of the last record in the views, 0 for none."""

    seq: int
    stream_created_at: datetime
    stored_at: datetime | None = None  # when that record came into the log
    updated_at: datetime | None = None  # when the views had it

    @property
    def lag_ms(self) -> float:
        """How long the last record took from the log into the views, by the two servers' clocks."""
        if self.stored_at is None or self.updated_at is None:
            return 0.0
        return max(0.0, (self.updated_at - self.stored_at).total_seconds() * 1000)


async def read_checkpoint(connection: AsyncConnection, name: str) -> Checkpoint | None:
    """The checkpoint of the projector of that name; None before its first batch.

    Take it first, then the rows: the rows are then at least as new as it says.
    """
    found = await connection.execute(
        text(
            "select seq, stream_created_at, stored_at, updated_at from checkpoint"
            " where name = :name"
        ),
        {"name": name},
    )
    row = found.one_or_none()
    return None if row is None else Checkpoint(**row._mapping)
