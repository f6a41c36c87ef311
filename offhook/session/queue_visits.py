"""A leg's visits to queues: what its call.enqueued and call.dequeued add up to. Pure.

    call.enqueued ──▶ waits ──call.dequeued──▶ has left

Each call.enqueued begins a visit, and the call.dequeued of the same queue that follows it by the
carrier's clock ends it. Either webhook can be lost: a visit may have the one, the other, or both.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from offhook.carrier_events import CallDequeued, CallEnqueued
from offhook.session.folding import altered, stamp_of

QUEUE_VISITS_MAX = 128
"""Visits that are kept of a leg, the first ones: one for every two minutes that a leg can last."""

_EVENTS_MAX = 2 * QUEUE_VISITS_MAX
_WAIT_S_MAX = 10**9  # the carrier's JSON may have a number that no float holds


@dataclass(frozen=True, kw_only=True)
class QueueEvent:
    """A call.enqueued or call.dequeued, without its payload."""

    seq: int  # of its record; of a repeated one, the first
    stored_at: datetime  # of the same record
    event: CallEnqueued | CallDequeued


@dataclass(frozen=True, kw_only=True)
class QueueVisit:
    """A stay of a leg in a queue."""

    enqueued: CallEnqueued | None  # None if it was not received
    dequeued: CallDequeued | None  # None while it waits, or if that was not received
    first_seq: int  # of the earlier of the two records
    first_stored_at: datetime

    @property
    def queue(self) -> str | None:
        """The queue's name."""
        named = [each.queue for each in (self.enqueued, self.dequeued) if each is not None]
        return next((queue for queue in named if queue is not None), None)

    @property
    def wait_s(self) -> float | None:
        """Seconds in the queue; None while it waits."""
        return wait_s(self.enqueued, self.dequeued)


def wait_s(enqueued: CallEnqueued | None, dequeued: CallDequeued | None) -> float | None:
    """Seconds as the carrier counts them, else by its time stamps; None if neither is known."""
    if dequeued is None:
        return None
    if dequeued.wait_time_secs is not None:
        return float(max(0, min(dequeued.wait_time_secs, _WAIT_S_MAX)))
    since = enqueued.occurred_at if enqueued is not None else None
    if since is None or dequeued.occurred_at is None:
        return None
    return max(0.0, (dequeued.occurred_at - since).total_seconds())


def queue_events_after(
    held: tuple[QueueEvent, ...],
    event: CallEnqueued | CallDequeued,
    seq: int,
    stored_at: datetime,
) -> tuple[QueueEvent, ...]:
    """The leg's events of queues, by the carrier's time, with one more; `held` if it changes
    nothing."""
    stamp = stamp_of(event)
    at = bisect_left(held, stamp, key=lambda each: stamp_of(each.event))
    is_known = at < len(held) and stamp_of(held[at].event) == stamp
    if is_known and held[at].seq <= seq:
        return held
    if at >= _EVENTS_MAX:
        return held
    kept = QueueEvent(seq=seq, stored_at=stored_at, event=altered(event, payload={}))
    return (*held[:at], kept, *held[at + is_known :])[:_EVENTS_MAX]


def visits_of(events: Sequence[QueueEvent]) -> list[QueueVisit]:
    """The first visits, QUEUE_VISITS_MAX at most, in order.

    One more event never makes them fewer, so a visit that was counted once keeps a place. As many
    as twice the number of events are kept: every visit that counts has both of its events.
    """
    visits: list[QueueVisit] = []
    waiting: QueueEvent | None = None
    for each in events:
        match each.event, waiting:
            case CallEnqueued(), None:
                waiting = each
            case CallEnqueued(), QueueEvent():
                visits.append(_visit(waiting, None))
                waiting = each
            case CallDequeued(), QueueEvent() if _is_same_queue(waiting, each):
                visits.append(_visit(waiting, each))
                waiting = None
            case CallDequeued(), _:
                if waiting is not None:
                    visits.append(_visit(waiting, None))
                    waiting = None
                visits.append(_visit(None, each))
    if waiting is not None:
        visits.append(_visit(waiting, None))
    return visits[:QUEUE_VISITS_MAX]


def _is_same_queue(entered: QueueEvent, left: QueueEvent) -> bool:
    names = {entered.event.queue, left.event.queue} - {None}
    return len(names) < 2


def _visit(entered: QueueEvent | None, left: QueueEvent | None) -> QueueVisit:
    enqueued = entered.event if entered is not None else None
    dequeued = left.event if left is not None else None
    assert not isinstance(enqueued, CallDequeued)
    assert not isinstance(dequeued, CallEnqueued)
    first = min((each for each in (entered, left) if each is not None), key=lambda each: each.seq)
    return QueueVisit(
        enqueued=enqueued,
        dequeued=dequeued,
        first_seq=first.seq,
        first_stored_at=first.stored_at,
    )
