"""What is up now.

GET /live    how many calls are up, by phase, and how many come in and are dialled each second
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from fastapi import APIRouter, Depends

from offhook.api.auth import Tokens
from offhook.api.freshness import ListMeta, Views
from offhook.api.own.parameters import WAIT_DEFAULT_S, MinSeq, WaitS
from offhook.api.replies import ReplyRoute
from offhook.projections.views.live.counts import Counts, count_live


@dataclass(frozen=True, kw_only=True)
class Limits:
    """OFFHOOK_DIALS_PER_S as the API was started with it; null is no limit."""

    dials_per_s: float | None


@dataclass(frozen=True, kw_only=True)
class UpReply:
    """How many calls are up."""

    data: Counts
    limits: Limits
    meta: ListMeta


def up_router(
    *, tokens: Tokens, views: Views, now: Callable[[], datetime], dials_per_s: float
) -> APIRouter:
    """The route above; `dials_per_s` is the limit of all workers together, 0 is none."""
    router = APIRouter(
        route_class=ReplyRoute, tags=["sessions"], dependencies=[Depends(tokens.allow("read"))]
    )

    @router.get("/live", summary="Count the calls that are up")
    async def up(min_seq: MinSeq = 0, timeout_s: WaitS = WAIT_DEFAULT_S) -> UpReply:
        """Calls that are up: `setting_up` if no leg was answered, `waiting` if a leg waits in a
        queue, else `talking`. New calls and dials per second are averages over the last 10 s.
        `failed`, `failed_commands` and `flow_raised` count sessions of the last hour that
        `GET /sessions` finds with `failed=true`, `failed_command=*` and `flow_raised=true`, up to
        1,000 of each.
        """
        async with views.snapshot(min_seq, timeout_s) as snapshot:
            found = await count_live(snapshot.connection, now())
        limits = Limits(dials_per_s=dials_per_s or None)
        return UpReply(data=found, limits=limits, meta=snapshot.meta)

    return router
