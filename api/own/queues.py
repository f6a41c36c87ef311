"""Queues as the views have them.

    GET /queues/visits    each visit of a leg to a queue, newest first, in pages

With as_of=, a time or a position, the list is as it was then. `meta` in every answer says how fresh
it is; with min_seq a request waits until it is fresh enough.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from offhook.api.auth import Tokens
from offhook.api.freshness import Views
from offhook.api.own.parameters import (
    PAGE_DEFAULT,
    WAIT_DEFAULT_S,
    AsOf,
    BeforeSeq,
    ListPageMeta,
    MinSeq,
    Moment,
    WaitS,
    list_page_meta,
    listed_as_of,
    optional_as_of,
    optional_moment,
    require_before_seq,
)
from offhook.api.query_parameters import WholeNumber
from offhook.api.replies import ReplyRoute
from offhook.projections.views.past.lists_as_of import list_queue_visits_as_of
from offhook.projections.views.queues import QueueVisitFilter, QueueVisitView, list_queue_visits
from offhook.projections.views.view import PAGE_MAX


@dataclass(frozen=True, kw_only=True)
class QueueVisitList:
    """A page of visits."""

    data: Sequence[QueueVisitView]
    meta: ListPageMeta


def queues_router(*, tokens: Tokens, views: Views) -> APIRouter:
    """The route above."""
    router = APIRouter(
        route_class=ReplyRoute, prefix="/queues", dependencies=[Depends(tokens.allow("read"))]
    )

    @router.get("/visits", tags=["queues"], summary="List visits to queues")
    async def visits(
        queue: Annotated[str | None, Query(description="The queue's name")] = None,
        session_id: str | None = None,
        enqueued_from: Moment = None,
        enqueued_before: Moment = None,
        limit: Annotated[WholeNumber, Query(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT,
        before_seq: BeforeSeq = None,
        as_of: AsOf = None,
        min_seq: MinSeq = 0,
        timeout_s: WaitS = WAIT_DEFAULT_S,
    ) -> QueueVisitList:
        """Newest first. A leg that returns to a queue has a visit for each time.

        A visit whose call.enqueued was not received has no `enqueued_at`, and is not found by time.

        With `as_of` the list is as it was at that time, or at the time of the record at that
        position. It has a bound on what may have changed since, and names it in an error.
        """
        position = optional_as_of(views, as_of)
        require_before_seq(views, before_seq)
        wanted = QueueVisitFilter(
            queue=queue,
            session_id=session_id,
            enqueued_from=optional_moment("enqueued_from", enqueued_from),
            enqueued_before=optional_moment("enqueued_before", enqueued_before),
        )
        async with views.snapshot(min_seq, timeout_s) as snapshot:
            if position is None:
                found = await list_queue_visits(
                    snapshot.connection, wanted, limit=limit, before_seq=before_seq
                )
            else:
                found = await listed_as_of(
                    snapshot.connection,
                    position,
                    lambda at: list_queue_visits_as_of(
                        snapshot.connection, wanted, at, limit=limit, before_seq=before_seq
                    ),
                )
        following = found[-1].first_seq if len(found) == limit else None
        return QueueVisitList(data=found, meta=list_page_meta(snapshot.meta, following))

    return router
