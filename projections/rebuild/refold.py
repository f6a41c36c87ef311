"""The rows of chosen sessions in one view, folded again from the copy of the log."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.errors import words_of
from offhook.projections.views.database.bulk import upsert_newer
from offhook.projections.views.fold import Folded, advanced
from offhook.projections.views.stored.archive import log_of
from offhook.projections.views.stored.event_log import read_records
from offhook.projections.views.view import View
from offhook.session import Session


@dataclass(kw_only=True)
class Refolded:
    """What came of it. `failed` are sessions that cannot be folded, and why: they keep their rows.

    `changed` counts the rows that were not as the log says.
    """

    sessions: int = 0
    rows: int = 0
    changed: int = 0
    failed: dict[str, str] = field(default_factory=dict)


async def refold(
    connection: AsyncConnection, view: View[Any], session_ids: Sequence[str]
) -> Refolded:
    """Replace their rows, in a transaction in which no projector writes (`hold_off_projectors`)."""
    done = Refolded()
    folds: dict[str, Folded] = {}
    log = await log_of(connection, session_ids)
    async for stored in read_records(connection, log.c.session_id.in_(session_ids), log=log):
        session_id = stored.session_id
        if session_id in done.failed:
            continue
        before = folds.get(session_id) or Folded(session=Session(session_id=session_id))
        try:
            if stored.record is None:
                raise ValueError(stored.error)
            folds[session_id] = advanced(before, stored.record)
        except Exception as error:  # as a projector parks it, whatever it is
            done.failed[session_id] = words_of(error)
    folded = [each for session_id, each in folds.items() if session_id not in done.failed]
    ids = [each.session.session_id for each in folded]
    rows = [row for each in folded for row in view.rows_of(each, 0)]
    before_texts = await _texts(connection, view, ids)
    await connection.execute(
        text(f"delete from {view.name} where session_id = any(:ids)"), {"ids": ids}
    )
    await upsert_newer(connection, view.table, rows)
    after_texts = await _texts(connection, view, ids)
    done.sessions, done.rows = len(folded), len(rows)
    done.changed = max(len(before_texts - after_texts), len(after_texts - before_texts))
    return done


async def _texts(
    connection: AsyncConnection, view: View[Any], session_ids: Sequence[str]
) -> set[str]:
    columns = ", ".join(column.name for column in view.table.columns)
    found = await connection.execute(
        text(f"select cast(row({columns}) as text) from {view.name} where session_id = any(:ids)"),
        {"ids": list(session_ids)},
    )
    return set(found.scalars())
