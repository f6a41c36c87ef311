"""The state of a build, in the schema aside: what is done, and how far it has come.

    folding ──▶ following ──▶ live (in its grace period)
     cold        tail, parity    after the cutover

An earlier version of Offhook marked it `rejected` after a rollback, before it dropped the schema.

A build belongs to the code that began it: half a fold by other code is not continued. Positions are
those of `offhook.position`, one for each partition; they are kept as JSON, by partition.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

import offhook
from offhook.jetstream.stream import PROJECTOR
from offhook.position import partition_of, position_of
from offhook.projections.views.registry import VIEWS
from offhook.projections.views.stored.erasures import copy_erased

State = Literal["folding", "following", "live", "rejected"]
Wanted = Literal["pause", "cancel"]
Positions = Mapping[int, int]
"""The position of the last record of each partition, by partition."""

_FOLDING = (
    "*.py",
    "carrier_events/*.py",
    "codec/*.py",
    "commands/**/*.py",
    "flow/*.py",
    "session/*.py",
    "jetstream/*.py",
    "jetstream/consuming/*.py",
    "telnyx/*.py",
    "projections/**/*.py",
)


@dataclass(frozen=True, kw_only=True)
class Build:
    """A build as it is stored."""

    fingerprint: str  # of the code that it was begun with
    state: State
    wanted: Wanted | None  # by another process
    limits: Positions  # what the cold phase folds up to
    positions: Positions  # of the last records in the version aside, once it follows
    total: int  # records up to `limits`
    folded: int  # of those, in chunks that are done
    started_at: datetime
    cut_over_at: datetime | None
    grace_until: datetime | None


async def create_build(connection: AsyncConnection, live: str, aside: str) -> None:
    """Create the state of a new build, which begins with everything that is in the views now."""
    await connection.execute(
        text(
            f"create table {aside}.build (fingerprint text not null, state text not null,"
            " wanted text, limits jsonb not null, positions jsonb not null, total bigint not null,"
            " claimed_to text not null, is_claimed boolean not null,"
            " started_at timestamptz not null, cut_over_at timestamptz, grace_until timestamptz)"
        )
    )
    # A chunk is the sessions above `after_id` up to `to_id`, or to the last one.
    await connection.execute(
        text(
            f"create table {aside}.chunk (number integer generated always as identity primary key,"
            " after_id text not null, to_id text, owner text not null,"
            " is_done boolean not null default false, records bigint not null default 0)"
        )
    )
    # Sessions that the cold phase leaves to the tail.
    await connection.execute(text(f"create table {aside}.later (session_id text primary key)"))
    limits = json.dumps(await live_positions(connection, live))
    await connection.execute(
        text(
            f"insert into {aside}.build (fingerprint, state, limits, positions, total, claimed_to,"
            " is_claimed, started_at) select :fingerprint, 'folding', cast(:limits as jsonb),"
            f" cast(:limits as jsonb), count(*), '', false, now() from {live}.event_log"
        ),
        {"fingerprint": fingerprint(), "limits": limits},
    )


async def leave_archived(connection: AsyncConnection, live: str, aside: str) -> None:
    """Leave the archived sessions to the tail, and copy the rows of those that were erased."""
    await connection.execute(
        text(
            f"insert into {aside}.later (session_id) select distinct session_id"
            f" from {live}.archived_sessions on conflict do nothing"
        )
    )
    await copy_erased(connection, [each.name for each in VIEWS], live, aside)


async def read_build(connection: AsyncConnection, aside: str) -> Build | None:
    """The build; None if there is none, or one of a version of Offhook that kept no such state."""
    found = await connection.execute(text("select to_regclass(:name)"), {"name": f"{aside}.build"})
    if found.scalar_one() is None:
        return None
    found = await connection.execute(
        text(
            "select fingerprint, state, wanted, limits, positions, total, started_at,"
            " cut_over_at, grace_until, coalesce((select sum(records)"
            f" from {aside}.chunk where is_done), 0) as folded from {aside}.build"
        )
    )
    values: dict[str, Any] = dict(found.one()._mapping)
    values["folded"] = int(values["folded"])
    for name in ("limits", "positions"):
        values[name] = positions_in(values[name])
    return Build(**values)


async def write_build(connection: AsyncConnection, aside: str, **values: Any) -> None:
    """Set these columns."""
    columns = ", ".join(f"{name} = :{name}" for name in values)
    await connection.execute(text(f"update {aside}.build set {columns}"), values)


async def write_positions(connection: AsyncConnection, aside: str, positions: Positions) -> None:
    """Set the positions of the version aside, in the transaction of the rows up to them."""
    await connection.execute(
        text(f"update {aside}.build set positions = cast(:positions as jsonb)"),
        {"positions": json.dumps(dict(positions))},
    )


async def live_positions(connection: AsyncConnection, live: str) -> dict[int, int]:
    """How far the live views have come."""
    found = await connection.execute(
        text(f"select seq from {live}.checkpoint where name = :name and seq > 0"),
        {"name": PROJECTOR},
    )
    return {partition_of(seq): seq for seq in found.scalars()}


def positions_in(value: Any) -> dict[int, int]:
    """The positions in a JSON column."""
    decoded = json.loads(value) if isinstance(value, str) else value
    return {int(partition): int(position) for partition, position in decoded.items()}


def position_in(positions: Positions, partition: int) -> int:
    """The position of that partition; its beginning if it has none."""
    return positions.get(partition, position_of(partition, 0))


def folding_files() -> list[Path]:
    """The ground and this room, sorted; the other rooms take no part in a fold."""
    package = Path(offhook.__file__).parent
    return sorted(path for pattern in _FOLDING for path in package.glob(pattern))


def fingerprint() -> str:
    """Of all code that a fold runs through."""
    digest = hashlib.sha256()
    for path in folding_files():
        digest.update(path.read_bytes())
    return digest.hexdigest()[:32]
