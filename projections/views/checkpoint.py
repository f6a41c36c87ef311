"""How far a projector has come. The position lives here alone; its move is the fence."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.errors import CheckpointMoved

CHANNEL = "offhook_projected"
"""Postgres notifies here with `<name>:<position>`, when a batch is committed."""


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


async def become_active(connection: AsyncConnection, name: str) -> bool:
    """Whether this connection is now the one projector of that name, until it is closed.

    Needs a connection of its own all the way to Postgres: no pooler in transaction mode.
    """
    answer = await connection.execute(
        text("select pg_try_advisory_lock(hashtextextended(:name, 0))"), {"name": name}
    )
    return bool(answer.scalar_one())


async def hold_off_projectors(connection: AsyncConnection, schema: str = "") -> None:
    """Until this transaction ends no projector writes the views; readers read on.

    `schema` is a quoted identifier; without one the search path finds the tables.
    """
    prefix = f"{schema}." if schema else ""
    names = ", ".join(f"{prefix}{name}" for name in _WRITTEN_IN_ORDER)
    await connection.execute(text(f"lock table {names} in share row exclusive mode"))


# As a projector comes to them: in another order the two could wait for each other.
_WRITTEN_IN_ORDER = ("event_log", "sessions", "legs", "commands", "parked_sessions")


async def begin(connection: AsyncConnection, name: str, stream_created_at: datetime) -> Checkpoint:
    """The checkpoint, made at 0 if there was none."""
    await connection.execute(
        text(
            "insert into checkpoint (name, stream_created_at, seq, updated_at)"
            " values (:name, :stream_created_at, 0, now()) on conflict do nothing"
        ),
        {"name": name, "stream_created_at": stream_created_at},
    )
    found = await read_checkpoint(connection, name)
    assert found is not None
    return found


async def read_checkpoint(connection: AsyncConnection, name: str) -> Checkpoint | None:
    result = await connection.execute(
        text(
            "select seq, stream_created_at, stored_at, updated_at from checkpoint"
            " where name = :name"
        ),
        {"name": name},
    )
    row = result.one_or_none()
    return None if row is None else Checkpoint(**row._mapping)


async def advance(
    connection: AsyncConnection, name: str, *, expected_seq: int, seq: int, stored_at: datetime
) -> None:
    """Move the checkpoint in the batch's transaction. Raises CheckpointMoved.

    Whoever waits for `seq` is told when, and only if, the transaction commits.
    """
    result = await connection.execute(
        text(
            "update checkpoint"
            " set seq = :seq, stored_at = :stored_at, updated_at = clock_timestamp()"
            " where name = :name and seq = :expected_seq"
        ),
        {"name": name, "seq": seq, "stored_at": stored_at, "expected_seq": expected_seq},
    )
    if result.rowcount != 1:
        raise CheckpointMoved(
            f"checkpoint {name} is no longer at {expected_seq}: another projector is at work"
        )
    await connection.execute(
        text("select pg_notify(:channel, :told)"), {"channel": CHANNEL, "told": f"{name}:{seq}"}
    )
