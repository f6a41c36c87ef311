"""GET /sessions/failures: what failed in the sessions that match a filter, by cause."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from fastapi import APIRouter, Depends

from offhook.api.auth import Tokens
from offhook.api.freshness import ListMeta, Views
from offhook.api.own.sessions.parameters import WantedSessions
from offhook.api.replies import ReplyRoute
from offhook.projections.views.search.failures import Failures, count_failures


@dataclass(frozen=True, kw_only=True)
class FailuresReply:
    data: Failures
    meta: ListMeta


def failures_router(*, tokens: Tokens, views: Views, now: Callable[[], datetime]) -> APIRouter:
    """The route; it comes before the one for a session, whose id could be any word."""
    router = APIRouter(
        route_class=ReplyRoute, tags=["sessions"], dependencies=[Depends(tokens.allow("read"))]
    )

    @router.get("/sessions/failures", summary="Count what failed, by cause")
    async def failures(wanted: WantedSessions) -> FailuresReply:
        """Of the newest 1,000 sessions that match: how many have a failed leg with a hangup cause
        and SIP code, a failed command of an operation or for a reason, or a flow that raised. The
        filters are those of `GET /sessions`, and each cause is one of them.
        """
        async with views.snapshot() as snapshot:
            found = await count_failures(snapshot.connection, wanted, now())
        return FailuresReply(data=found, meta=snapshot.meta)

    return router
