"""The projectors that are running, and which of them holds which partition of the log.

A projector renews its row in `projectors`; a partition is held by the one that its lease names, as
long as that one's row has not expired by Postgres' clock. Each change of hands raises the epoch,
which every batch compares: see `projector.leases`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger, Column, DateTime, Integer, Table, Text, text
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.projections.views.view import metadata

projectors = Table(
    "projectors",
    metadata,
    Column("name", Text, primary_key=True),
    Column("projector_id", Text, primary_key=True),
    Column("joined_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    # The connection that it writes the views with.
    Column("backend_pid", Integer, nullable=False),
    Column("backend_started_at", DateTime(timezone=True), nullable=False),
)

projector_leases = Table(
    "projector_leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("holder", Text),  # null once it was given back
    Column("epoch", BigInteger, nullable=False),
    Column("taken_at", DateTime(timezone=True)),
)


@dataclass(frozen=True, kw_only=True)
class Holder:
    """The projector that holds a partition; null if none does, or if it is gone."""

    projector_id: str | None
    since: datetime | None
    epoch: int  # raised by each change of hands


async def read_holders(connection: AsyncConnection, name: str) -> Mapping[int, Holder]:
    """Who holds each partition that was ever held, by its number."""
    found = await connection.execute(
        text(
            "select partition, epoch, taken_at, projector_id"
            " from projector_leases as lease left join projectors on projectors.name = lease.name"
            " and projector_id = holder and expires_at > now()"
            " where lease.name = :name order by partition"
        ),
        {"name": name},
    )
    return {
        row.partition: Holder(
            projector_id=row.projector_id,
            since=row.taken_at if row.projector_id is not None else None,
            epoch=row.epoch,
        )
        for row in found
    }
