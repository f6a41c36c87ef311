"""The view of queues: a row for each visit of a leg to a queue.

A leg's own row says where it waits now, or did last; here is each visit, and what became of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Index, desc, select
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.projections.views.fold import Folded
from offhook.projections.views.stored.event_log import newest_first, older_than
from offhook.projections.views.view import (
    PAGE_MAX,
    Seq,
    View,
    column_names,
    rows_as,
    storable,
    storable_row,
    table_of,
)
from offhook.session.queue_visits import QueueVisit, visits_of


@dataclass(frozen=True, kw_only=True)
class QueueVisitView:
    """A visit of a leg to a queue; null is what no event has said."""

    session_id: str
    call_control_id: str
    number: int  # among the leg's visits by the carrier's time, from 1
    queue: str | None
    enqueued_at: datetime | None  # null if call.enqueued was not received
    dequeued_at: datetime | None  # null while it waits, or if call.dequeued was not received
    wait_s: float | None  # null while it waits
    reason: str | None  # why it left: bridged, bridging-in-process, hangup, leave, timeout
    first_seq: Seq  # of the first record about the visit
    first_stored_at: datetime  # of the same record, by the log's clock
    last_seq: Seq  # of the last record that changed the leg


queue_visits = table_of(
    "queue_visits",
    QueueVisitView,
    Index("queue_visits_first_seq_index", desc("first_seq")),
    Index("queue_visits_first_stored_at_index", desc("first_stored_at"), desc("first_seq")),
    Index(
        "queue_visits_queue_first_stored_at_index",
        "queue",
        desc("first_stored_at"),
        desc("first_seq"),
    ),
    Index("queue_visits_enqueued_at_index", "enqueued_at"),
    key=("session_id", "call_control_id", "number"),
)


def queue_visit_rows(folded: Folded, after_seq: int = 0) -> list[QueueVisitView]:
    """All visits of the legs that changed after `after_seq`."""
    session = folded.session
    return [
        _row(visit, session.session_id, call_control_id, number, seq)
        for call_control_id, seq in folded.leg_seqs.items()
        if seq > after_seq and (events := session.legs[call_control_id].queue_events)
        for number, visit in enumerate(visits_of(events), start=1)
    ]


QUEUES = View(
    table=queue_visits,
    rows_of=queue_visit_rows,
    kept_when_erased=column_names(
        """
        number queue enqueued_at dequeued_at wait_s reason first_seq first_stored_at
        last_seq
        """
    ),
    cleared_when_erased=frozenset(),
)


@dataclass(frozen=True, kw_only=True)
class QueueVisitFilter:
    """What listed visits have in common; None is anything. Times: from, and until before."""

    queue: str | None = None
    session_id: str | None = None
    enqueued_from: datetime | None = None
    enqueued_before: datetime | None = None


async def list_queue_visits(
    connection: AsyncConnection,
    wanted: QueueVisitFilter,
    *,
    limit: int,
    before_seq: int | None = None,
) -> Sequence[QueueVisitView]:
    """At most `limit` visits, newest first. The next page is before the last one's first_seq."""
    visit = queue_visits.c
    bounded = max(1, min(limit, PAGE_MAX))
    query = select(queue_visits).order_by(*newest_first(queue_visits)).limit(bounded)
    if wanted.queue is not None:
        query = query.where(visit.queue == storable(wanted.queue))
    if wanted.session_id is not None:
        query = query.where(visit.session_id == storable(wanted.session_id))
    if wanted.enqueued_from is not None:
        query = query.where(visit.enqueued_at >= wanted.enqueued_from)
    if wanted.enqueued_before is not None:
        query = query.where(visit.enqueued_at < wanted.enqueued_before)
    if before_seq is not None:
        query = query.where(await older_than(connection, queue_visits, before_seq))
    found = await connection.execute(query)
    return rows_as(QueueVisitView, found)


def is_listed_visit(visit: QueueVisitView, wanted: QueueVisitFilter) -> bool:
    """Whether `list_queue_visits` would list that row."""
    at = visit.enqueued_at
    return (
        (wanted.queue is None or visit.queue == storable(wanted.queue))
        and (wanted.session_id is None or visit.session_id == storable(wanted.session_id))
        and (wanted.enqueued_from is None or (at is not None and at >= wanted.enqueued_from))
        and (wanted.enqueued_before is None or (at is not None and at < wanted.enqueued_before))
    )


def _row(
    visit: QueueVisit, session_id: str, call_control_id: str, number: int, last_seq: int
) -> QueueVisitView:
    enqueued, dequeued = visit.enqueued, visit.dequeued
    return storable_row(
        QueueVisitView,
        session_id=session_id,
        call_control_id=call_control_id,
        number=number,
        queue=visit.queue,
        enqueued_at=enqueued.occurred_at if enqueued else None,
        dequeued_at=dequeued.occurred_at if dequeued else None,
        wait_s=visit.wait_s,
        reason=dequeued.reason if dequeued else None,
        first_seq=visit.first_seq,
        first_stored_at=visit.first_stored_at,
        last_seq=last_seq,
    )
