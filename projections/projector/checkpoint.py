"""Moving the checkpoint: whose turn it is to project, and the move itself, which is the fence."""

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.errors import CheckpointMoved
from offhook.position import partition_of, position_of
from offhook.projections.views.checkpoint import CHANNEL, Checkpoint, read_checkpoint


async def become_active(connection: AsyncConnection, name: str) -> bool:
    """Whether this connection is now the one projector of that name, until it is closed.

    Needs a connection of its own all the way to Postgres: no pooler in transaction mode.
    """
    answer = await connection.execute(
        text("select pg_try_advisory_lock(hashtextextended(:name, 0))"), {"name": name}
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


async def advance(
    connection: AsyncConnection, name: str, *, expected_seq: int, seq: int, stored_at: datetime
) -> None:
    """Move the checkpoint of these positions' partition, in the batch's transaction.

    Raises CheckpointMoved. Readers that wait for `seq` are notified when, and only if, the
    transaction commits.
    """
    result = await connection.execute(
        text(
            "update checkpoint"
            " set seq = :seq, stored_at = :stored_at, updated_at = clock_timestamp()"
            " where name = :name and partition = :partition and seq = :expected_seq"
        ),
        {
            "name": name,
            "partition": partition_of(seq),
            "seq": seq,
            "stored_at": stored_at,
            "expected_seq": expected_seq,
        },
    )
    if result.rowcount != 1:
        raise CheckpointMoved(
            f"checkpoint {name} is no longer at {expected_seq}: another projector is running"
        )
    await connection.execute(
        text("select pg_notify(:channel, :position)"),
        {"channel": CHANNEL, "position": f"{name}:{seq}"},
    )
