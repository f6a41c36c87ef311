"""Parked sessions, which wait for an operator.

    GET  /parked                        each with the error that parked it, the longest parked first
    POST /parked/{session_id}/retry     have its flow called again, or its views folded again

A session is parked by its flow, which raised five times on the same record, or by the views, which
cannot fold its records. The commands `offhook parked list` and `retry` do the same for many.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query

from offhook.api.auth import Caller, Tokens
from offhook.api.errors import refusal
from offhook.api.freshness import ListMeta, Views
from offhook.api.own.parameters import PAGE_DEFAULT
from offhook.api.query_parameters import WholeNumber
from offhook.api.replies import ReplyRoute
from offhook.codec.facts import encode
from offhook.errors import RecordUnreadable, shown
from offhook.events import SessionParked, SessionResumed
from offhook.jetstream.log import JetStreamLog, pages
from offhook.projections.views.parked import (
    ParkedView,
    count_parked,
    is_parked_by_views,
    list_parked,
)
from offhook.projections.views.view import PAGE_MAX
from offhook.session import Session, evolve

DECIDED_WITHIN_S = 10.0
"""How long a request waits for a worker to decide on what was resumed."""

DECIDED_POLL_S = 0.05

FoldAgain = Callable[[str], Awaitable[str]]
"""Fold a session's views again; returns the error, empty if there is none."""


@dataclass(frozen=True, kw_only=True)
class ParkedList:
    """`total` is how many are parked; `data` has the longest parked of them."""

    data: Sequence[ParkedView]
    total: int
    meta: ListMeta


@dataclass(frozen=True, kw_only=True)
class RetryView:
    """What the retry came to; null is what was not parked.

    `flow` is not_decided if no worker decided on the session within 10 s. `resumed_seq` is the
    position of the record that resumed it.
    """

    session_id: str
    flow: Literal["decided", "parked_again", "not_decided"] | None
    views: Literal["rebuilt", "failed"] | None
    resumed_seq: int | None
    error: str | None  # of the flow or the views, if it is still parked


@dataclass(frozen=True, kw_only=True)
class RetryReply:
    data: RetryView


def parked_router(
    *, tokens: Tokens, views: Views, log: JetStreamLog, fold_again: FoldAgain
) -> APIRouter:
    """The routes above."""
    router = APIRouter(route_class=ReplyRoute, prefix="/parked", tags=["health"])

    @router.get("", summary="List parked sessions", dependencies=[Depends(tokens.allow("read"))])
    async def parked(
        limit: Annotated[WholeNumber, Query(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT,
    ) -> ParkedList:
        """The longest parked first, each with its error and the traceback of the flow's code."""
        async with views.snapshot() as snapshot:
            found = await list_parked(snapshot.connection, limit)
            total = await count_parked(snapshot.connection)
        return ParkedList(data=found[:limit], total=total, meta=snapshot.meta)

    @router.post("/{session_id}/retry", summary="Retry a parked session")
    async def retry(
        session_id: Annotated[str, Path()],
        caller: Annotated[Caller, Depends(tokens.allow("admin"))],
    ) -> RetryReply:
        """Resume a session that its flow parked, and fold the views again that parked it.

        The flow is not called for records on which the policy for parked sessions has decided.
        Waits up to 10 s for a worker to decide. 404 if the session is not parked.
        """
        async with views.connection() as connection:
            by_views = await is_parked_by_views(connection, session_id)
        resumed_seq = await _resume(log, session_id, caller.name)
        if resumed_seq is None and not by_views:
            raise refusal(404, "10005", f"Session {shown(session_id)} is not parked")
        flow, error = None, ""
        if resumed_seq is not None:
            flow, error = await _decided(log, session_id, resumed_seq)
        views_error = await fold_again(session_id) if by_views else ""
        return RetryReply(
            data=RetryView(
                session_id=session_id,
                flow=flow,
                views=None if not by_views else "failed" if views_error else "rebuilt",
                resumed_seq=resumed_seq,
                error=error or views_error or None,
            )
        )

    return router


async def _resume(log: JetStreamLog, session_id: str, name: str) -> int | None:
    """The position at which it was resumed; None if its flow has not parked it."""
    try:
        session = await _fold(log, session_id)
    except RecordUnreadable:
        return None  # no worker can settle it either
    if not session.is_parked:
        return None
    resumed = encode(SessionResumed(resumed_by=f"api:{name}"), session_id)
    return (await log.append(session_id, "in", resumed)).seq


async def _decided(
    log: JetStreamLog, session_id: str, resumed_seq: int
) -> tuple[Literal["decided", "parked_again", "not_decided"], str]:
    """What became of it, and the error if it was parked again."""
    loop = asyncio.get_running_loop()
    deadline, pause_s = loop.time() + DECIDED_WITHIN_S, DECIDED_POLL_S
    while True:
        session = await _fold(log, session_id)
        parked = session.parked
        if session.is_parked and parked is not None and parked.seq > resumed_seq:
            assert isinstance(parked.fact, SessionParked)
            return "parked_again", parked.fact.error
        if not session.is_parked and not session.undecided:
            return "decided", ""
        if loop.time() >= deadline:
            return "not_decided", "no worker has decided on its records; check that workers run"
        await asyncio.sleep(pause_s)
        pause_s *= 2


async def _fold(log: JetStreamLog, session_id: str) -> Session:
    """Page by page. Raises RecordUnreadable."""
    session = Session(session_id=session_id)
    async for page in pages(log, session_id):
        for record in page:
            session = evolve(session, record)
    return session
