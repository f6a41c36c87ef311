"""Writes the rows of a batch, and which sessions are parked.

All rows are written in one statement. If Postgres refuses one of them, the transaction has failed:
it is rolled back, and the batch is applied again in savepoints, where the sessions at fault are
found by halves and left out. A savepoint each time would cost two round trips of every batch.

A session with a text that is too long for an index would be refused again with the same rows:

    refused ─▶ held: folded on in memory ─▶ its long texts change: written again

What is held is of use only while `parked_sessions` has the session, and is forgotten with all else
of its partition; then it is read and written again, as any parked session.
"""

import logging
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from offhook.errors import CheckpointMoved
from offhook.projections.projector.statements import (
    Move,
    Statement,
    stub_statement,
    write_statement,
)
from offhook.projections.views.analytics.subjects.webhooks import Sums
from offhook.projections.views.database.engine import Driver
from offhook.projections.views.database.errors import is_of_a_value
from offhook.projections.views.fold import Folded, folded_from
from offhook.projections.views.registry import LongTexts, Rows, fits_every_index, long_texts
from offhook.projections.views.sessions import SESSIONS, session_view
from offhook.projections.views.view import columns_of

REFUSED_MAX = 1_000
"""Sessions that are held. Those beyond are read and tried with each of their records."""

_log = logging.getLogger(__name__)

Done = tuple[Folded, Rows]
"""A session that was folded, and its rows to be written."""


@dataclass(frozen=True, kw_only=True)
class Refused:
    """`folded` has all that changed since the session's first record: nothing is in the views."""

    folded: Folded
    texts: LongTexts


class RowsRefused(Exception):
    """Postgres refused a value: roll back, and write in savepoints."""


async def write_rows(
    driver: Driver,
    done: Sequence[Done],
    suspected: frozenset[str],
    name: str,
    moves: Sequence[Move],
    sums: Sums,
    *,
    in_savepoints: bool,
) -> Mapping[str, Exception]:
    """Write all rows, add the sums and move the checkpoints.

    Rows that are likely to be refused are written one by one, because all rows of a statement wait
    for each attempt: those of `suspected`, which are parked, and those with a text that may be too
    long for an index. Returns the errors of the sessions that were not written. Raises
    CheckpointMoved, and RowsRefused unless `in_savepoints`.
    """
    alone: list[Done] = []
    together: list[Done] = []
    for each in done:
        is_odd = each[0].session.session_id in suspected or not fits_every_index(each[1])
        (alone if is_odd else together).append(each)
    refused: dict[str, Exception] = {}
    if in_savepoints:
        refused |= await _written_apart(driver, together, name)
        together = []
    try:
        moved = await _write(driver, write_statement(_rows(together), name, moves, sums))
    except Exception as error:
        if not together or not is_of_a_value(error):
            raise
        raise RowsRefused from error
    for each in alone:
        refused |= await _written_apart(driver, [each], name)
    if refusing := {move.partition for move in moves} - moved:
        raise CheckpointMoved(
            f"another projector has partition {', '.join(map(str, sorted(refusing)))} of the log, "
            "or its checkpoint was changed",
            refusing,
        )
    return refused


def refused_among(done: Sequence[Done], errors: Mapping[str, Exception]) -> dict[str, Refused]:
    """Of the sessions that were not written, by id: those for such a text."""
    return {
        session_id: Refused(folded=folded, texts=texts)
        for folded, rows in done
        if isinstance(
            errors.get(session_id := folded.session.session_id), asyncpg.ProgramLimitExceededError
        )
        and (texts := long_texts(rows))
    }


async def list_parked(
    driver: Driver,
    known: AbstractSet[str],
    parked: Mapping[str, str],
    since: Mapping[str, tuple[int, datetime]],
) -> None:
    """List the sessions that are parked now, and no longer those of `known` that are not.

    `since` has the position at which each failed, and when that record was stored.
    """
    for session_id, error in parked.items():
        _log.error("session parked", extra={"session_id": session_id, "error": error})
    if parked:
        await driver.execute(
            "insert into parked_sessions"
            " (session_id, since_seq, error, attempts, parked_at, tried_at)"
            " select session_id, since_seq, error, 1, now(), now()"
            " from unnest($1::text[], $2::bigint[], $3::text[]) as u (session_id, since_seq, error)"
            " on conflict (session_id) do update set error = excluded.error,"
            " attempts = parked_sessions.attempts + 1, tried_at = excluded.tried_at",
            *(list(parked), [since[each][0] for each in parked], list(parked.values())),
        )
    if new := parked.keys() - known:
        # A session that could never be folded is listed too, as an empty one.
        stubs: list[Mapping[str, Any]] = [
            columns_of(SESSIONS.table, session_view(folded_from(session_id, ())))
            | {"first_seq": since[session_id][0]}
            | dict.fromkeys(("first_stored_at", "last_stored_at"), since[session_id][1])
            for session_id in sorted(new)
        ]
        statement = stub_statement(SESSIONS.table, stubs)
        await driver.execute(statement.text, *statement.values)
    if healed := known - parked.keys():
        await driver.execute(
            "delete from parked_sessions where session_id = any($1::text[])", sorted(healed)
        )


async def _written_apart(
    driver: Driver, done: Sequence[Done], name: str
) -> Mapping[str, Exception]:
    """Write the rows of these sessions, in a savepoint; the errors of those not written."""
    if not done:
        return {}
    try:
        async with driver.transaction():
            await _write(driver, write_statement(_rows(done), name))
    except Exception as error:
        if not is_of_a_value(error):
            raise
        if len(done) == 1:
            return {done[0][0].session.session_id: error}
    else:
        return {}
    middle = len(done) // 2
    first = await _written_apart(driver, done[:middle], name)
    return {**first, **await _written_apart(driver, done[middle:], name)}


def _rows(done: Sequence[Done]) -> list[Rows]:
    return [rows for _, rows in done]


async def _write(driver: Driver, statement: Statement) -> set[int]:
    return {row["partition"] for row in await driver.fetch(statement.text, *statement.values)}
