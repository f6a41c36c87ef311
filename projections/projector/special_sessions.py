"""Sessions of a batch that need more than folding: those parked, archived, or erased.

What arrives late of an archived session is folded on top of its archived records; a repeated event
is left out, as in event_log. What arrives of an erased one is dropped, and erased from the log by
the next `offhook archive` or `offhook erase --resume`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.errors import HistoryUnreadable, OperatorFault
from offhook.projections.views.stored.archive import read_archived
from offhook.projections.views.stored.erasures import digest_of, erase_again
from offhook.projections.views.stored.event_log import StoredRecord, event_id_of


@dataclass(frozen=True, kw_only=True)
class SpecialSessions:
    """`failed` has the error of each session whose segment cannot be read."""

    parked: Collection[str] = frozenset()
    archived: Mapping[str, Sequence[StoredRecord]] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    erased: Collection[str] = frozenset()


async def special_among(
    connection: AsyncConnection, session_ids: Collection[str]
) -> SpecialSessions:
    """Which of the sessions are parked, archived or erased.

    Copy the batch into event_log first: an archive run waits for that transaction, so that a
    session's records are either all in event_log by now, or all in a segment.
    """
    digests = {digest_of(each): each for each in session_ids}
    found = await connection.execute(
        text(
            "select 'parked' as what, session_id as id from parked_sessions"
            " where session_id = any(:ids)"
            " union all select distinct 'archived', session_id from archived_sessions"
            " where session_id = any(:ids)"
            " union all select 'erased', digest from erased_sessions where digest = any(:digests)"
        ),
        {"ids": list(session_ids), "digests": list(digests)},
    )
    rows = found.all()
    archived: dict[str, Sequence[StoredRecord]] = {}
    failed: dict[str, str] = {}
    for row in rows:
        if row.what == "archived":
            try:
                archived[row.id] = await read_archived(connection, row.id)
            except (OperatorFault, HistoryUnreadable) as error:
                failed[row.id] = f"its archived records cannot be read: {error}"
    return SpecialSessions(
        parked={row.id for row in rows if row.what == "parked"},
        archived=archived,
        failed=failed,
        erased={digests[row.id] for row in rows if row.what == "erased"},
    )


async def wanted(
    connection: AsyncConnection, records: Sequence[StoredRecord], special: SpecialSessions
) -> list[StoredRecord]:
    """The records that count; the others are deleted from event_log again.

    The log may still have records that are archived: a run that was killed deletes them later.
    """
    in_segments = special.archived.values()
    known = {event_id_of(each) for several in in_segments for each in several} - {None}
    gone = [
        each
        for each in records
        if each.session_id in special.erased
        or (
            (archived := special.archived.get(each.session_id))
            and (each.seq <= archived[-1].seq or event_id_of(each) in known)
        )
    ]
    if not gone:
        return list(records)
    seqs = {each.seq for each in gone}
    await connection.execute(
        text("delete from event_log where seq = any(:seqs)"), {"seqs": sorted(seqs)}
    )
    await erase_again(connection, {each.session_id for each in gone} & {*special.erased})
    return [each for each in records if each.seq not in seqs]
