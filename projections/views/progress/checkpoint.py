"""How far the views have come: the projector's position in each partition, in Postgres alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger, Column, DateTime, Integer, Table, Text, text
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.position import position_of
from offhook.projections.views.view import metadata

CHANNEL = "offhook_projected"

ERASED_NOTICE = "erased:0"
"""Sent on the channel with an erasure: who keeps records in memory forgets them."""
"""Postgres notifies here with `<name>:<position>`, for each partition of a committed batch."""

checkpoint = Table(
    "checkpoint",
    metadata,
    Column("name", Text, primary_key=True),
    Column("stream_created_at", DateTime(timezone=True), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("stored_at", DateTime(timezone=True)),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("partition", Integer, primary_key=True, server_default="0"),
)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """`seq` is the position of the partition's last record in the views, or of its beginning."""

    partition: int
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


async def read_checkpoint(
    connection: AsyncConnection, name: str, partition: int = 0
) -> Checkpoint | None:
    """The checkpoint of the projectors of that name; None before the partition's first batch.

    Take it first, then the rows: the rows are then at least as new as it says.
    """
    return (await read_checkpoints(connection, name)).get(partition)


async def read_checkpoints(connection: AsyncConnection, name: str) -> Mapping[int, Checkpoint]:
    """The checkpoint of each partition that was ever projected, by its number, in order."""
    found = await connection.execute(
        text(
            "select partition, seq, stream_created_at, stored_at, updated_at from checkpoint"
            " where name = :name order by partition"
        ),
        {"name": name},
    )
    return {row.partition: Checkpoint(**row._mapping) for row in found}


def reached(checkpoints: Mapping[int, Checkpoint], partition: int) -> int:
    """The position that the views have reached in that partition."""
    found = checkpoints.get(partition)
    return found.seq if found is not None else position_of(partition, 0)
