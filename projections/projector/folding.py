"""Folds the sessions of a batch, each on top of what there is of it.

    archived records ─▶ records of earlier batches ─┐
    or the fold that is in memory ──────────────────┴─▶ the records of the batch ─▶ rows

A session that cannot be folded comes back with its error; the others go on.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from offhook.events import Record
from offhook.process.slices import Slices
from offhook.projections.projector.special_sessions import SpecialSessions
from offhook.projections.projector.writing import Done, Refused
from offhook.projections.views.database.engine import Driver
from offhook.projections.views.fold import Folded, advanced, folded_from, is_out_of_order
from offhook.projections.views.registry import long_texts, rows_of
from offhook.projections.views.stored.event_log import StoredRecord, read_stored
from offhook.projections.views.view import storable

ERROR_CHARS_MAX = 2_000

READ_AHEAD = 200
"""Records of earlier batches that are read in one round trip: a long call's, held all at once, fill
the memory."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """What event_log and parked_sessions have of a batch's sessions.

    `recorded`: those with records to be read first, and up to which position; None for all.
    `refused`: those of `parked` that are held in memory, and need not be read.
    `copied` are the records that the batch has copied, `repeated` those whose event was there.
    """

    parked: frozenset[str] = frozenset()
    recorded: Mapping[str, int | None] = field(default_factory=dict)
    special: SpecialSessions = field(default_factory=SpecialSessions)
    refused: Mapping[str, Refused] = field(default_factory=dict)
    copied: Sequence[Record] = ()
    repeated: Sequence[Record] = ()


@dataclass(frozen=True, kw_only=True)
class Folding:
    """The sessions of a batch after it."""

    done: Sequence[Done]
    parked: Mapping[str, str]  # session id -> error
    refused: Mapping[str, Refused]  # that would be refused again
    out_of_order: Sequence[Record] = ()


async def fold_sessions(
    driver: Driver,
    known: Known,
    kept: Mapping[str, Sequence[StoredRecord]],
    cached: Mapping[str, Folded],
) -> Folding:
    """Fold the batch's records by session; `cached` has the folds that are in memory."""
    earlier, parked = await _earlier(driver, known.recorded, known.special)
    done: list[Done] = []
    refused: dict[str, Refused] = {}
    out_of_order: list[Record] = []
    new = {each.seq for each in known.copied}
    slices = Slices.of_batch()
    for session_id, records in kept.items():
        if session_id in parked:
            continue
        # All records of a parked session are read, including those of the batch.
        counted = frozenset[int]() if session_id in known.parked else new
        try:
            before, held = earlier.get(session_id), known.refused.get(session_id)
            if held is not None:
                before = held.folded
            elif before is None and session_id not in known.parked:
                before = cached.get(session_id)
            before = after = before or folded_from(session_id, ())
            for record in records:
                read = record.record if record.seq in counted else None
                if read is not None and is_out_of_order(after, read):
                    out_of_order.append(read)
                after = _advanced(after, record)
                await slices.yield_if_due()
            # Rows that have not changed since the last batch are in the views already.
            in_views = 0 if session_id in known.parked else before.last_seq
            rows = rows_of(after, in_views)
            if held is not None and held.texts == long_texts(rows):
                refused[session_id] = Refused(folded=after, texts=held.texts)
            else:
                done.append((after, rows))
        except Exception as error:
            parked[session_id] = parked_because(error)
    return Folding(done=done, parked=parked, refused=refused, out_of_order=out_of_order)


def by_session(records: Iterable[StoredRecord]) -> dict[str, list[StoredRecord]]:
    """The records of each session, in their order."""
    found: dict[str, list[StoredRecord]] = {}
    for record in records:
        found.setdefault(record.session_id, []).append(record)
    return found


def parked_because(error: Exception) -> str:
    """What is stored of an error that parks a session."""
    reason = str(error) if isinstance(error, _Unreadable) else repr(error)
    return str(storable(reason))[:ERROR_CHARS_MAX]


async def _earlier(
    driver: Driver, recorded: Mapping[str, int | None], special: SpecialSessions
) -> tuple[dict[str, Folded], dict[str, str]]:
    """The sessions as of their positions, and the error of each that cannot be folded."""
    folded: dict[str, Folded] = {}
    if not recorded:
        return folded, {}
    failed = {key: special.failed[key] for key in recorded if key in special.failed}
    slices = Slices.of_batch()
    for session_id in recorded:
        try:
            for record in special.archived.get(session_id, ()):
                before = folded.get(session_id) or folded_from(session_id, ())
                folded[session_id] = _advanced(before, record)
                await slices.yield_if_due()
        except Exception as error:
            failed[session_id] = parked_because(error)
    async for row in driver.cursor(
        "select e.seq, e.session_id, side, type, version, stored_at, body from event_log as e"
        " join unnest($1::text[], $2::bigint[]) as u (session_id, position)"
        " on e.session_id = u.session_id and e.seq <= coalesce(u.position, e.seq)"
        " order by e.seq",
        *(list(recorded), list(recorded.values())),
        prefetch=READ_AHEAD,
    ):
        session_id = row["session_id"]
        if session_id in failed:
            continue
        try:
            before = folded.get(session_id) or folded_from(session_id, ())
            folded[session_id] = _advanced(before, read_stored(**row))
        except Exception as error:
            failed[session_id] = parked_because(error)
        await slices.yield_if_due()
    return folded, failed


def _advanced(folded: Folded, record: StoredRecord) -> Folded:
    if record.record is None:
        raise _Unreadable(record.error)
    return advanced(folded, record.record)


class _Unreadable(Exception):
    """A record of the session cannot be read."""
