"""Which sessions may be archived, and what of them. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

from offhook.history.lines import HistoryRecord
from offhook.history.segments import Archived
from offhook.jetstream.message import imported_from
from offhook.projections.views.stored.event_log import StoredRecord, event_id_of
from offhook.session import Session, fold


def why_not(session: Session, last_stored_at: datetime, *, before: datetime, now: datetime) -> str:
    """Why the session stays where it is; empty if it may be archived.

    `before` is when its last record must have been stored at the latest.
    """
    if last_stored_at >= before:
        return "has newer records, or was imported since"
    if session.status == "active" and session.up_until is not None and session.up_until > now:
        return "has a call that is up"
    if session.is_parked:
        return "is parked"
    if session.undecided or session.open_commands:
        return "has records that no worker has settled"
    if session.pending_timers or session.open_timers:
        return "has timers"
    return ""


def session_of(rows: Sequence[StoredRecord]) -> Session | None:
    """The fold of a session's records; None if one of them cannot be read.

    As workers fold it: nobody decides on an imported record, or acts on it.
    """
    records = [
        replace(row.record, imported_from=imported_from(row.headers or {}))
        for row in rows
        if row.record is not None
    ]
    return fold(rows[0].session_id, records) if len(records) == len(rows) else None


def archived_from(rows: Sequence[StoredRecord], messages: Sequence[StoredRecord]) -> Archived:
    """A session as it is archived: the rows of event_log, and repeated deliveries from the log.

    The rows say what happened; the log has headers that rows of an earlier version have not.
    """
    by_position = {each.seq: each for each in messages}
    merged = {row.seq: (row, by_position.get(row.seq, row)) for row in rows}
    repeated = sorted(by_position.keys() - merged.keys())
    merged |= {position: (by_position[position],) * 2 for position in repeated}
    return Archived(
        session_id=rows[0].session_id,
        records=[_line(*merged[position]) for position in sorted(merged)],
        repeated=tuple(repeated),
    )


def unexplained(
    rows: Sequence[StoredRecord], messages: Sequence[StoredRecord], known_ids: Collection[str]
) -> list[StoredRecord]:
    """Messages that event_log should have and has not.

    A repeated delivery of an event is not copied; `known_ids` are event ids in other sessions.
    """
    positions = {row.seq for row in rows}
    ids = {event_id_of(row) for row in rows} | {*known_ids}
    return [
        each
        for each in messages
        if each.seq not in positions and (event_id_of(each) or "") not in ids
    ]


def _line(row: StoredRecord, message: StoredRecord) -> HistoryRecord:
    headers = row.headers if row.headers is not None else message.headers
    return HistoryRecord(
        position=row.seq,
        session_id=row.session_id,
        side=row.side,
        type=row.type,
        version=row.version,
        stored_at=row.stored_at,
        body=row.body,
        fact_id=row.record.fact_id if row.record is not None else "",
        headers=headers or {},
    )
