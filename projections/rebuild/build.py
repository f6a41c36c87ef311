"""The state of a build, in the schema aside: what is done, and how far it has come.

    folding ──▶ finishing ──▶ following ──▶ live (in its grace period)
     cold        tail: archived  tail, parity    after the cutover
                 sessions

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

State = Literal["folding", "finishing", "following", "live", "rejected"]
UNFINISHED: tuple[State, ...] = ("folding", "finishing", "following")
"""What `build_version` goes on with."""

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
    total: int  # records in event_log up to `limits`, but for those of archived sessions
    folded: int  # of those, in chunks that are done
    archived: int  # records in segments
    archived_folded: int
    unreadable: int  # archived sessions of which a segment cannot be read, or was changed
    rate: float  # records folded per second since a process began with this state; 0 if it does not
    started_at: datetime
    cut_over_at: datetime | None
    grace_until: datetime | None


async def create_build(connection: AsyncConnection, live: str, aside: str) -> None:
    """Create the state of a new build, which begins with everything that is in the views now."""
    await connection.execute(
        text(
            f"create table {aside}.build (fingerprint text not null, state text not null,"
            " wanted text, limits jsonb not null, positions jsonb not null, total bigint not null,"
            " archived bigint not null, claimed_to text not null, is_claimed boolean not null,"
            " started_at timestamptz not null, cut_over_at timestamptz, grace_until timestamptz,"
            # When a process began with the state at hand, and how many records were folded then.
            " run_began_s double precision, run_began_with bigint not null default 0)"
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
    # Sessions that the cold phase leaves to the tail, with their number of archived records, and
    # why these cannot be read, if that was tried.
    await connection.execute(
        text(
            f"create table {aside}.later (session_id text primary key,"
            " archived bigint not null default 0, unreadable text)"
        )
    )
    # One statement, and so one moment: records that come later are not counted.
    found = await connection.execute(
        text(
            f"select (select array_agg(seq) from {live}.checkpoint where name = :name and seq > 0),"
            f" (select count(*) from {live}.event_log where {not_archived(live)}),"
            f" (select coalesce(sum(records), 0) from {live}.archived_sessions)"
        ),
        {"name": PROJECTOR},
    )
    reached, total, archived = found.one()
    await connection.execute(
        text(
            f"insert into {aside}.build (fingerprint, state, limits, positions, total, archived,"
            " claimed_to, is_claimed, started_at) values (:fingerprint, 'folding',"
            " cast(:limits as jsonb), cast(:limits as jsonb), :total, :archived, '', false, now())"
        ),
        {
            "fingerprint": fingerprint(),
            "limits": json.dumps({partition_of(seq): seq for seq in reached}),
            "total": total,
            "archived": archived,
        },
    )


def not_archived(live: str) -> str:
    """The condition on records of event_log whose session has none in a segment.

    Not by "not in": beyond work_mem Postgres would read all archived sessions for each record.
    """
    return (
        f"not exists (select from {live}.archived_sessions as archived"
        " where archived.session_id = event_log.session_id)"
    )


async def leave_archived(connection: AsyncConnection, live: str, aside: str) -> None:
    """Leave the archived sessions to the tail, and copy the rows of those that were erased.

    Sessions that were archived since the build began are no longer among those of the cold phase.
    """
    await connection.execute(
        text(
            f"insert into {aside}.later (session_id, archived) select session_id, sum(records)"
            f" from {live}.archived_sessions group by session_id"
            " on conflict (session_id) do update set archived = excluded.archived"
        )
    )
    await connection.execute(
        text(
            f"update {aside}.build set total = (select coalesce(sum(records), 0)"
            f" from {aside}.chunk), archived = (select coalesce(sum(archived), 0)"
            f" from {aside}.later)"
        )
    )
    await copy_erased(connection, [each.name for each in VIEWS], live, aside)


async def read_build(connection: AsyncConnection, aside: str) -> Build | None:
    """The build; None if there is none, or one of a version of Offhook that kept no such state.

    Columns of `build` that not every version has had are read as JSON, where they may be missing;
    `later` may have very many rows.
    """
    found = await connection.execute(
        text(
            "select to_regclass(:build), exists (select from pg_attribute where attrelid ="
            " to_regclass(:later) and attname = 'unreadable' and not attisdropped)"
        ),
        {"build": f"{aside}.build", "later": f"{aside}.later"},
    )
    build, counts_archived = found.one()
    if build is None:
        return None
    archived_left, unreadable = ("archived", "unreadable") if counts_archived else ("0", "null")
    found = await connection.execute(
        text(
            "select fingerprint, state, wanted, limits, positions, total, started_at,"
            " cut_over_at, grace_until, to_jsonb(build) as stored,"
            f" (select coalesce(sum(records), 0) from {aside}.chunk where is_done) as folded,"
            f" (select coalesce(sum({archived_left}), 0) from {aside}.later) as archived_left,"
            f" (select count({unreadable}) from {aside}.later) as unreadable,"
            f" extract(epoch from clock_timestamp()) as now_s from {aside}.build"
        )
    )
    row = found.one()
    stored = json.loads(row.stored) if isinstance(row.stored, str) else row.stored
    archived, folded = stored.get("archived", 0), int(row.folded)
    archived_folded = 0 if row.state == "folding" else archived - int(row.archived_left)
    rate = 0.0
    is_folding = row.state in ("folding", "finishing") and row.wanted is None
    if is_folding and (began_s := stored.get("run_began_s")) is not None:
        # Fewer than then if an archived session could not be read any more.
        done = max(0, folded + archived_folded - stored["run_began_with"])
        rate = done / max(0.001, float(row.now_s) - began_s)
    return Build(
        fingerprint=row.fingerprint,
        state=row.state,
        wanted=row.wanted,
        limits=positions_in(row.limits),
        positions=positions_in(row.positions),
        total=row.total,
        folded=folded,
        archived=archived,
        archived_folded=archived_folded,
        unreadable=row.unreadable,
        rate=rate,
        started_at=row.started_at,
        cut_over_at=row.cut_over_at,
        grace_until=row.grace_until,
    )


async def begin_run(connection: AsyncConnection, aside: str) -> None:
    """Measure the rate from now on."""
    build = await read_build(connection, aside)
    assert build is not None
    await connection.execute(
        text(
            f"update {aside}.build set run_began_s = extract(epoch from clock_timestamp()),"
            " run_began_with = :done"
        ),
        {"done": build.folded + build.archived_folded},
    )


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
