"""Queues, as the views have them.

    GET /queues/visits    each visit of a leg to a queue, newest first, by pages

Every answer says in `meta` how new it is; with min_seq it waits until it is new enough.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from offhook.api.auth import Tokens
from offhook.api.freshness import Views
from offhook.api.own.sessions import PAGE_DEFAULT, SEQ_MAX, MinSeq, PageMeta, WaitS
from offhook.api.query_parameters import WholeNumber, moment_in
from offhook.projections.views.database import PAGE_MAX
from offhook.projections.views.queues import QueueVisitFilter, QueueVisitView, list_queue_visits

_WAIT_S = 2.0
_TIME = "A time in RFC 3339 with its offset from UTC"


@dataclass(frozen=True, kw_only=True)
class QueueVisitList:
    """A page of visits."""

    data: Sequence[QueueVisitView]
    meta: PageMeta


def queues_router(*, tokens: Tokens, views: Views) -> APIRouter:
    """The route above."""
    router = APIRouter(prefix="/queues", dependencies=[Depends(tokens.allow("read"))])

    @router.get("/visits", tags=["queues"], summary="List visits to queues")
    async def visits(
        queue: Annotated[str | None, Query(description="The queue's name")] = None,
        session_id: str | None = None,
        enqueued_from: Annotated[str | None, Query(description=_TIME)] = None,
        enqueued_before: Annotated[str | None, Query(description=_TIME)] = None,
        limit: Annotated[WholeNumber, Query(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT,
        before_seq: Annotated[
            WholeNumber | None,
            Query(ge=0, le=SEQ_MAX, description="meta.next of the page before this one"),
        ] = None,
        min_seq: MinSeq = 0,
        timeout_s: WaitS = _WAIT_S,
    ) -> QueueVisitList:
        """Newest first. A leg that returns to a queue has a visit for each time.

        A visit whose call.enqueued was not received has no `enqueued_at`, and is not found by time.
        """
        wanted = QueueVisitFilter(
            queue=queue,
            session_id=session_id,
            enqueued_from=(
                None if enqueued_from is None else moment_in("enqueued_from", enqueued_from)
            ),
            enqueued_before=(
                None if enqueued_before is None else moment_in("enqueued_before", enqueued_before)
            ),
        )
        async with views.look(min_seq, timeout_s) as look:
            found = await list_queue_visits(
                look.connection, wanted, limit=limit, before_seq=before_seq
            )
        following = found[-1].first_seq if len(found) == limit else None
        meta = PageMeta(as_of_seq=look.meta.as_of_seq, lag_ms=look.meta.lag_ms, next=following)
        return QueueVisitList(data=found, meta=meta)

    return router
