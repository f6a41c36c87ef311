"""How Offhook itself is: what /health/ready of one process cannot say.

GET /health/roles      every role that answers, with its readiness and what it counted
GET /health/views      how far the views are, by partition, who projects it, and a rebuild
GET /health/commands   what became of the latest commands, and how many were tried again
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from nats.aio.client import Client

from offhook.api.auth import Tokens
from offhook.api.freshness import ListMeta, Views
from offhook.api.query_parameters import WholeNumber
from offhook.api.replies import ReplyRoute
from offhook.errors import LogUnavailable
from offhook.jetstream.lookup import StreamLookup
from offhook.jetstream.roles.answers import RoleAnswer, ask_roles
from offhook.jetstream.stream import PROJECTOR
from offhook.position import seq_of
from offhook.projections.views.live.outcomes import CommandOutcomes, count_outcomes
from offhook.projections.views.progress.checkpoint import Checkpoint, read_checkpoints
from offhook.projections.views.progress.projectors import Holder, read_holders
from offhook.projections.views.schema.versions import RebuildView, read_rebuild_progress

MINUTES_DEFAULT = 60
MINUTES_MAX = 24 * 60


@dataclass(frozen=True, kw_only=True)
class RoleList:
    """The roles that answered, by role and start."""

    data: Sequence[RoleAnswer]


@dataclass(frozen=True, kw_only=True)
class PartitionView:
    """How far the views are in a partition of the log.

    `lag_records` and `lag_ms` are what the views lack, and since when the oldest of it is in the
    log; null if the log does not answer.
    """

    partition: int
    position: int  # of the last record in the views
    lag_records: int | None
    lag_ms: int | None
    projected_at: datetime | None  # when the views had that record
    projector: str | None  # null if none projects it now
    projector_since: datetime | None


@dataclass(frozen=True, kw_only=True)
class ViewsHealth:
    """`rebuild` is null without one."""

    partitions: Sequence[PartitionView]
    rebuild: RebuildView | None


@dataclass(frozen=True, kw_only=True)
class ViewsReply:
    data: ViewsHealth
    meta: ListMeta


@dataclass(frozen=True, kw_only=True)
class CommandOutcomesReply:
    """Of the commands decided since `since`."""

    data: CommandOutcomes
    since: datetime
    meta: ListMeta


def health_router(
    *,
    tokens: Tokens,
    views: Views,
    stream: StreamLookup,
    client: Client,
    now: Callable[[], datetime],
) -> APIRouter:
    """The routes above."""
    router = APIRouter(
        route_class=ReplyRoute,
        prefix="/health",
        tags=["health"],
        dependencies=[Depends(tokens.allow("read"))],
    )

    @router.get("/roles", summary="Every role that answers")
    async def roles() -> RoleList:
        """Asks all roles at once and returns what they answered within 0.3 s.

        A role that does not answer is not running, cut off from NATS, or too busy. The figures
        are since the role started; in /metrics they have the same names.
        """
        return RoleList(data=await ask_roles(client))

    @router.get("/views", summary="How far the views are")
    async def views_() -> ViewsReply:
        """The lag of each partition in records and time, who projects it, and a rebuild."""
        async with views.snapshot() as snapshot:
            checkpoints = await read_checkpoints(snapshot.connection, PROJECTOR)
            holders = await read_holders(snapshot.connection, PROJECTOR)
            rebuild = await read_rebuild_progress(
                snapshot.connection, dict(enumerate(snapshot.positions))
            )
        try:
            ends: Sequence[int | None] = await stream.last_positions()
        except LogUnavailable:
            ends = [None] * len(snapshot.positions)
        found = [
            _partition(number, position, end, lag_ms, checkpoints.get(number), holders.get(number))
            for number, (position, end, lag_ms) in enumerate(
                zip(snapshot.positions, ends, snapshot.lags_ms, strict=True)
            )
        ]
        data = ViewsHealth(partitions=found, rebuild=rebuild)
        return ViewsReply(data=data, meta=snapshot.meta)

    @router.get("/commands", summary="What became of the latest commands")
    async def commands(
        minutes: Annotated[
            WholeNumber, Query(ge=1, le=MINUTES_MAX, description="Decided in the last so many")
        ] = MINUTES_DEFAULT,
    ) -> CommandOutcomesReply:
        """Outcomes by reason, and how many commands were sent more than once."""
        since = now() - timedelta(minutes=minutes)
        async with views.snapshot() as snapshot:
            found = await count_outcomes(snapshot.connection, since)
        return CommandOutcomesReply(data=found, since=since, meta=snapshot.meta)

    return router


def _partition(
    number: int,
    position: int,
    end: int | None,
    lag_ms: int | None,
    checkpoint: Checkpoint | None,
    holder: Holder | None,
) -> PartitionView:
    # What was erased after the position is no record that the views lack.
    lacks = 0 if lag_ms == 0 else None
    if lag_ms and end is not None:
        lacks = max(0, seq_of(end) - seq_of(position))
    return PartitionView(
        partition=number,
        position=position,
        lag_records=lacks,
        lag_ms=lag_ms,
        projected_at=checkpoint.updated_at if checkpoint is not None else None,
        projector=holder.projector_id if holder is not None else None,
        projector_since=holder.since if holder is not None else None,
    )
