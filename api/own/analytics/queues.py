"""Queues now and over a time range.

    GET /queues            a row for each queue: who waits, service level, abandoned, answered, ASA
    GET /queues/waiting    each leg that waits now, the longest wait first
    GET /queues/agents     who answered, by number or SIP address

What is counted, and why, is in `offhook.projections.views.analytics.queues`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from offhook.api.auth import Tokens
from offhook.api.freshness import ListMeta, Views
from offhook.api.own.parameters import (
    PAGE_DEFAULT,
    WAIT_DEFAULT_S,
    MinSeq,
    RangeFrom,
    RangeTo,
    WaitS,
    rfc3339,
    time_range,
)
from offhook.api.query_parameters import Number, WholeNumber
from offhook.api.replies import ReplyRoute
from offhook.projections.views.analytics.queues import (
    WAITING_MAX,
    AgentView,
    QueueRange,
    QueueView,
    WaitingLeg,
    list_agents,
    list_queues,
    list_waiting,
    service_level_formula,
)

RANGE_MAX = timedelta(days=31)
LEVEL_MAX_S = 3_600.0

Asked = Mapping[str, str | float | None]
QueueName = Annotated[str | None, Query(description="The queue's name; default: every queue")]
ServiceLevelS = Annotated[
    Number,
    Query(ge=0, le=LEVEL_MAX_S, description="Answered after at most so many seconds is in time"),
]
ShortAbandonS = Annotated[
    Number,
    Query(
        ge=0,
        le=LEVEL_MAX_S,
        description="A hangup after less than so many seconds is left out of the service level",
    ),
]


@dataclass(frozen=True, kw_only=True)
class QueueList:
    """The queues, those in which most wait first. `policy` is how the service level is counted."""

    data: Sequence[QueueView]
    asked: Asked
    policy: str
    meta: ListMeta


@dataclass(frozen=True, kw_only=True)
class WaitingList:
    """The waiting legs, the longest wait first."""

    data: Sequence[WaitingLeg]
    meta: ListMeta


@dataclass(frozen=True, kw_only=True)
class AgentList:
    """The agents, those who handled most first."""

    data: Sequence[AgentView]
    asked: Asked
    meta: ListMeta


def queue_figures_router(*, tokens: Tokens, views: Views, now: Callable[[], datetime]) -> APIRouter:
    """The routes above."""
    router = APIRouter(
        route_class=ReplyRoute, prefix="/queues", dependencies=[Depends(tokens.allow("read"))]
    )

    @router.get("", tags=["queues"], summary="Queues now and over a time range")
    async def queues(
        queue: QueueName = None,
        from_: RangeFrom = None,
        to: RangeTo = None,
        service_level_s: ServiceLevelS = 20.0,
        short_abandon_s: ShortAbandonS = 5.0,
        min_seq: MinSeq = 0,
        timeout_s: WaitS = WAIT_DEFAULT_S,
    ) -> QueueList:
        """A row for each queue that somebody waits in now, or entered in [from, to).

        `waiting` and `longest_wait_now_s` are of now. All else is about the visits whose
        call.enqueued was in the range. Each ratio has its numerator, denominator and formula.
        """
        at = now()
        start, end = time_range(from_, to, at, longest=RANGE_MAX)
        wanted = QueueRange(
            start=start,
            end=end,
            queue=queue,
            service_level_s=service_level_s,
            short_abandon_s=short_abandon_s,
        )
        async with views.snapshot(min_seq, timeout_s) as snapshot:
            found = await list_queues(snapshot.connection, wanted, at)
        asked = _asked(wanted) | {
            "service_level_s": service_level_s,
            "short_abandon_s": short_abandon_s,
        }
        return QueueList(
            data=found, asked=asked, policy=service_level_formula(wanted), meta=snapshot.meta
        )

    @router.get("/waiting", tags=["queues"], summary="List who waits now")
    async def waiting(
        queue: QueueName = None,
        limit: Annotated[WholeNumber, Query(ge=1, le=WAITING_MAX)] = PAGE_DEFAULT,
        min_seq: MinSeq = 0,
        timeout_s: WaitS = WAIT_DEFAULT_S,
    ) -> WaitingList:
        """Legs that are up and in a queue, the longest wait first."""
        at = now()
        async with views.snapshot(min_seq, timeout_s) as snapshot:
            found = await list_waiting(snapshot.connection, at, queue=queue, limit=limit)
        return WaitingList(data=found, meta=snapshot.meta)

    @router.get("/agents", tags=["queues"], summary="Who answered, and for how long")
    async def agents(
        queue: QueueName = None,
        from_: RangeFrom = None,
        to: RangeTo = None,
        min_seq: MinSeq = 0,
        timeout_s: WaitS = WAIT_DEFAULT_S,
    ) -> AgentList:
        """The far side of the bridge commands of [from, to) that joined a leg from a queue.

        An agent is a number or a SIP address: the carrier knows no other name. A visit that was
        answered without a bridge command has no agent here, so `handled` may be less than
        `answered` of the queue.
        """
        at = now()
        start, end = time_range(from_, to, at, longest=RANGE_MAX)
        wanted = QueueRange(start=start, end=end, queue=queue)
        async with views.snapshot(min_seq, timeout_s) as snapshot:
            found = await list_agents(snapshot.connection, wanted, at)
        return AgentList(data=found, asked=_asked(wanted), meta=snapshot.meta)

    return router


def _asked(wanted: QueueRange) -> dict[str, str | float | None]:
    return {"from": rfc3339(wanted.start), "to": rfc3339(wanted.end), "queue": wanted.queue}
