"""Key figures of calls, from the views.

    GET /analytics/summary       a time range as a whole
    GET /analytics/timeseries    the same figures for each bucket of it

Groups of calls are in `groups`.

Every ratio comes with its numerator, denominator and formula, and every reply says in `grouping`
which calls each part covers; the rules are in `offhook.projections.views.analytics.kpis`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query

from offhook.api.auth import Tokens
from offhook.api.errors import refusal
from offhook.api.freshness import ListMeta, Views
from offhook.api.own.parameters import WAIT_DEFAULT_S, MinSeq, WaitS
from offhook.api.query_parameters import moment_in
from offhook.api.replies import ReplyRoute
from offhook.projections.views.analytics.kpis import GROUPING
from offhook.projections.views.analytics.timeseries import (
    BUCKETS_MAX,
    BucketView,
    CallFilter,
    bucket_count,
    read_summary,
    read_timeseries,
)

RANGE_DEFAULT = timedelta(days=1)
RANGE_MAX = timedelta(days=366)

Bucket = Literal["minute", "5m", "15m", "hour", "day"]

WIDTHS: Mapping[Bucket, timedelta] = {
    "minute": timedelta(minutes=1),
    "5m": timedelta(minutes=5),
    "15m": timedelta(minutes=15),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
}


Asked = Mapping[str, str | None]
"""The parameters that the figures are for, with the defaults of the range filled in."""


@dataclass(frozen=True, kw_only=True)
class SummaryReply:
    """The figures of a time range."""

    data: BucketView
    asked: Asked
    grouping: Mapping[str, str]
    meta: ListMeta


@dataclass(frozen=True, kw_only=True)
class TimeseriesReply:
    """The buckets in order of time, including empty ones."""

    data: Sequence[BucketView]
    asked: Asked
    grouping: Mapping[str, str]
    meta: ListMeta


From = Annotated[
    str | None,
    Query(
        alias="from",
        description="Start, included, in RFC 3339 with its offset; default: 24 h before `to`",
    ),
]
To = Annotated[
    str | None,
    Query(description="End, excluded, in RFC 3339 with its offset; default: now"),
]
Direction = Annotated[Literal["incoming", "outgoing"] | None, Query(description="Default: both")]
ConnectionId = Annotated[
    str | None, Query(description="Only calls of this connection of the carrier")
]


_BUCKET = (
    f"Width of the buckets, which start at multiples of it in UTC; at most {BUCKETS_MAX} buckets"
)


def analytics_router(*, tokens: Tokens, views: Views, now: Callable[[], datetime]) -> APIRouter:
    """The routes above."""
    router = APIRouter(
        route_class=ReplyRoute, prefix="/analytics", dependencies=[Depends(tokens.allow("read"))]
    )

    @router.get("/summary", tags=["analytics"], summary="Key figures of a time range")
    async def summary(
        from_: From = None,
        to: To = None,
        direction: Direction = None,
        connection_id: ConnectionId = None,
        min_seq: MinSeq = 0,
        timeout_s: WaitS = WAIT_DEFAULT_S,
    ) -> SummaryReply:
        """Counts, ratios, durations, concurrency and hangup causes of [from, to)."""
        at = now()
        wanted = _wanted(from_, to, direction, connection_id, at)
        async with views.snapshot(min_seq, timeout_s) as snapshot:
            found = await read_summary(snapshot.connection, wanted, at)
        return SummaryReply(data=found, asked=_asked(wanted), grouping=GROUPING, meta=snapshot.meta)

    @router.get("/timeseries", tags=["analytics"], summary="Key figures by bucket")
    async def timeseries(
        bucket: Annotated[Bucket, Query(description=_BUCKET)] = "hour",
        from_: From = None,
        to: To = None,
        direction: Direction = None,
        connection_id: ConnectionId = None,
        min_seq: MinSeq = 0,
        timeout_s: WaitS = WAIT_DEFAULT_S,
    ) -> TimeseriesReply:
        """The summary of every bucket of [from, to). The first and last bucket may be partial."""
        at = now()
        wanted = _wanted(from_, to, direction, connection_id, at)
        _require_few(wanted, bucket)
        async with views.snapshot(min_seq, timeout_s) as snapshot:
            found = await read_timeseries(snapshot.connection, wanted, WIDTHS[bucket], at)
        asked = _asked(wanted, bucket=bucket)
        return TimeseriesReply(data=found, asked=asked, grouping=GROUPING, meta=snapshot.meta)

    return router


def _wanted(
    from_: str | None,
    to: str | None,
    direction: str | None,
    connection_id: str | None,
    now: datetime,
) -> CallFilter:
    """Raises ErrorAnswer 422, which names the parameter and its value."""
    start, end = time_range(from_, to, now)
    return CallFilter(start=start, end=end, direction=direction, connection_id=connection_id)


def time_range(from_: str | None, to: str | None, now: datetime) -> tuple[datetime, datetime]:
    """Start and end, in UTC. Raises ErrorAnswer 422, which names the parameter and its value."""
    end = now if to is None else moment_in("to", to)
    start = end - RANGE_DEFAULT if from_ is None else moment_in("from", from_)
    if start >= end:
        detail = f"from is {rfc3339(start)}; expected a time before to, which is {rfc3339(end)}"
        raise refusal(422, "10015", detail, parameter="from")
    if end - start > RANGE_MAX:
        detail = (
            f"from is {rfc3339(start)}, {(end - start).days} days before to, which is "
            f"{rfc3339(end)}; expected at most {RANGE_MAX.days}"
        )
        raise refusal(422, "10015", detail, parameter="from")
    return start, end


def _require_few(wanted: CallFilter, bucket: Bucket) -> None:
    if (count := bucket_count(wanted, WIDTHS[bucket])) > BUCKETS_MAX:
        detail = (
            f"bucket is {bucket!r}, which makes {count} buckets from {rfc3339(wanted.start)} "
            f"to {rfc3339(wanted.end)}; expected at most {BUCKETS_MAX}"
        )
        raise refusal(422, "10015", detail, parameter="bucket")


def _asked(wanted: CallFilter, **more: str) -> Asked:
    return {
        "from": rfc3339(wanted.start),
        "to": rfc3339(wanted.end),
        "direction": wanted.direction,
        "connection_id": wanted.connection_id,
        **more,
    }


def rfc3339(at: datetime) -> str:
    """As the API writes a time in UTC."""
    return at.isoformat().replace("+00:00", "Z")
