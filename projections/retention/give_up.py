"""Segments that are lost for good are given up: no erasure waits for them any more.

The other sessions of such a segment stay in its index: the views keep their rows, and whoever reads
their records is answered with the file that is missing.
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from offhook.errors import HistoryUnreadable, OperatorFault, shown, shown_url
from offhook.history.files import names_in
from offhook.history.segments import files_of, read_manifest, require_hash
from offhook.projections.views.stored.archive import archive_segments, archived_sessions
from offhook.projections.views.stored.erasures import erasures

NAMED_MAX = 50
"""Segments that an error names: for each that is lost an option is to be typed."""


@dataclass(frozen=True, kw_only=True)
class Lost:
    """A segment that cannot be read, and the sessions whose records are lost with it.

    Without those that are being erased.
    """

    name: str
    root: str
    session_ids: Sequence[str]
    records: int
    in_log: int = 0  # of these sessions; an interrupted archive run may have deleted some records
    first_position: int | None = None  # None if there are no such sessions
    last_position: int | None = None


def listed(names: Collection[str]) -> str:
    """The names of segments that cannot be read, for an error."""
    more = f" and {len(names) - NAMED_MAX:,} more" if len(names) > NAMED_MAX else ""
    return ", ".join([*names][:NAMED_MAX]) + more


async def find_lost(engine: AsyncEngine, names: Sequence[str]) -> list[Lost]:
    """What is lost with these segments.

    Raises OperatorFault for one that is not known, or of which anything is still there.
    """
    lost: list[Lost] = []
    async with engine.connect() as connection:
        for name in dict.fromkeys(names):
            found = await connection.execute(
                select(archive_segments).where(archive_segments.c.name == name)
            )
            row = found.one_or_none()
            if row is None:
                raise OperatorFault(
                    f"there is no segment {shown(name)}; expected a name like"
                    " segment-0123456789abcdef, as `offhook erase --resume` prints it; nothing was"
                    " given up"
                )
            await asyncio.to_thread(_require_gone, row)
            lost.append(await _lost_with(connection, row))
    return lost


async def give_segments_up(engine: AsyncEngine, names: Sequence[str]) -> None:
    """Wait for these segments no longer. Raises OperatorFault, as `find_lost` does."""
    await find_lost(engine, names)
    async with engine.begin() as connection:
        await connection.execute(
            update(archive_segments)
            .where(archive_segments.c.name.in_(names))
            .values(given_up_at=text("clock_timestamp()"))
        )


def _require_gone(row: Any) -> None:
    """Raise OperatorFault if anything of the segment is there: that would stay unerased."""
    try:
        names = names_in(row.root)
    except OperatorFault:
        return
    there = [each for each in files_of(row.name) if each in names]
    if not there:
        return
    try:
        read_manifest(row.root, row.name)
        if row.sha256 is not None:  # it is while it is written
            require_hash(row.root, row.name, row.sha256)
    except (OperatorFault, HistoryUnreadable) as error:
        raise OperatorFault(
            f"{row.name} is not given up, since there is {' and '.join(there)} in"
            f" {shown_url(row.root)}: restore the segment, or delete what is left of it: {error}"
        ) from error
    raise OperatorFault(
        f"{row.name} can be read: run `offhook erase --resume`, which rewrites or removes it;"
        " nothing was given up"
    )


async def _lost_with(connection: AsyncConnection, row: Any) -> Lost:
    sessions = archived_sessions.c
    erased = select(func.jsonb_array_elements_text(erasures.c.pending["session_ids"]))
    found = await connection.execute(
        select(archived_sessions)
        .where(sessions.segment == row.name, sessions.session_id.not_in(erased))
        .order_by(sessions.first_seq)
    )
    rows = found.all()
    return Lost(
        name=row.name,
        root=row.root,
        session_ids=[each.session_id for each in rows],
        records=sum(each.records for each in rows),
        in_log=sum(each.left_log_at is None for each in rows),
        first_position=min((each.first_seq for each in rows), default=None),
        last_position=max((each.last_seq for each in rows), default=None),
    )
