"""Checkpoints: where they begin, and what a batch requires of them."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.position import position_of
from offhook.projections.views.progress.checkpoint import Checkpoint, read_checkpoint


@dataclass(frozen=True, kw_only=True)
class Fence:
    """What a batch requires of a partition, or none of it is committed.

    `seq` is the position at which the checkpoint must be. The partition's lease must have this
    epoch; None where one process alone moves the checkpoint.
    """

    seq: int
    epoch: int | None = None


async def become_active(connection: AsyncConnection, name: str) -> bool:
    """Whether this connection now has the lock of that name, until it is closed.

    Needs a connection of its own all the way to Postgres: no pooler in transaction mode.
    """
    answer = await connection.execute(
        text("select pg_try_advisory_lock(hashtextextended(:name, 0))"), {"name": name}
    )
    return bool(answer.scalar_one())


async def is_active(connection: AsyncConnection, name: str) -> bool:
    """Whether any connection has the lock of that name. It is not taken to find out: others, who
    try for it meanwhile, would find it taken."""
    answer = await connection.execute(
        text(
            "select exists (select from pg_locks where locktype = 'advisory' and granted"
            " and database = (select oid from pg_database where datname = current_database())"
            # A key of 64 bits is in two columns.
            " and objsubid = 1 and classid::bigint << 32 | objid::bigint"
            " = hashtextextended(:name, 0))"
        ),
        {"name": name},
    )
    return bool(answer.scalar_one())


async def begin(
    connection: AsyncConnection, name: str, stream_created_at: datetime, partition: int = 0
) -> Checkpoint:
    """The partition's checkpoint; created at its beginning if there was none."""
    await connection.execute(
        text(
            "insert into checkpoint (name, partition, stream_created_at, seq, updated_at)"
            " values (:name, :partition, :stream_created_at, :seq, now()) on conflict do nothing"
        ),
        {
            "name": name,
            "partition": partition,
            "stream_created_at": stream_created_at,
            "seq": position_of(partition, 0),
        },
    )
    found = await read_checkpoint(connection, name, partition)
    assert found is not None
    return found
