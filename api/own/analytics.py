"""Calls in numbers, from the views.

    GET /analytics/summary       a range of time as a whole
    GET /analytics/timeseries    the same numbers for each bucket of it

Every ratio comes with its numerator, denominator and formula, and every reply says in `grouping`
which calls each part is about; the rules are in `offhook.projections.views.analytics.kpis`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query

from offhook.api.auth import Tokens
from offhook.api.errors import refusal
from offhook.api.freshness import Meta, Views
from offhook.api.own.sessions import MinSeq, WaitS
from offhook.api.query_parameters import moment_in
from offhook.projections.views.analytics.kpis import GROUPING
from offhook.projections.views.analytics.reads import (
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
"""What the numbers are about: the parameters, with the range's defaults filled in."""


@dataclass(frozen=True, kw_only=True)
class SummaryReply:
    data: BucketView
    asked: Asked
    grouping: Mapping[str, str]
    meta: Meta


@dataclass(frozen=True, kw_only=True)
class TimeseriesReply:
    """The buckets in order of time, empty ones too."""

    data: Sequence[BucketView]
    asked: Asked
    grouping: Mapping[str, str]
    meta: Meta


From = Annotated[
    str | None,
    Query(
        alias="from",
        description="The first instant, in RFC 3339 with its offset; 24 h before `to` if left out",
    ),
]
To = Annotated[
    str | None,
    Query(description="The end, itself not in the range; now if left out"),
]
Direction = Annotated[Literal["incoming", "outgoing"] | None, Query(description="Both if left out")]
ConnectionId = Annotated[
    str | None, Query(description="Calls of one connection of the carrier; all if left out")
]
_WAIT_S = 2.0


def analytics_router(*, tokens: Tokens, views: Views, now: Callable[[], datetime]) -> APIRouter:
    """The routes above."""
    router = APIRouter(prefix="/analytics", dependencies=[Depends(tokens.allow("read"))])

    @router.get("/summary", tags=["analytics"], summary="Calls of a range of time in numbers")
    async def summary(
        from_: From = None,
        to: To = None,
        direction: Direction = None,
        connection_id: ConnectionId = None,
        min_seq: MinSeq = 0,
        timeout_s: WaitS = _WAIT_S,
    ) -> SummaryReply:
        """Counts, ratios, durations, concurrency and hangup causes of [from, to)."""
        at = now()
        wanted = _wanted(from_, to, direction, connection_id, at)
        async with views.look(min_seq, timeout_s) as look:
            found = await read_summary(look.connection, wanted, at)
        return SummaryReply(data=found, asked=_asked(wanted), grouping=GROUPING, meta=look.meta)

    @router.get("/timeseries", tags=["analytics"], summary="Calls in numbers, bucket by bucket")
    async def timeseries(
        bucket: Annotated[
            Bucket, Query(description=f"Cut at multiples of it in UTC; at most {BUCKETS_MAX}")
        ] = "hour",
        from_: From = None,
        to: To = None,
        direction: Direction = None,
        connection_id: ConnectionId = None,
        min_seq: MinSeq = 0,
        timeout_s: WaitS = _WAIT_S,
    ) -> TimeseriesReply:
        """The summary of every bucket of [from, to). The first and the last may be cut short."""
        at = now()
        wanted = _wanted(from_, to, direction, connection_id, at)
        _require_few(wanted, bucket)
        async with views.look(min_seq, timeout_s) as look:
            found = await read_timeseries(look.connection, wanted, WIDTHS[bucket], at)
        asked = _asked(wanted, bucket=bucket)
        return TimeseriesReply(data=found, asked=asked, grouping=GROUPING, meta=look.meta)

    return router


def _wanted(
    from_: str | None,
    to: str | None,
    direction: str | None,
    connection_id: str | None,
    now: datetime,
) -> CallFilter:
    """Raises ErrorAnswer 422, which names the parameter and its value."""
    end = now if to is None else moment_in("to", to)
    start = end - RANGE_DEFAULT if from_ is None else moment_in("from", from_)
    if start >= end:
        detail = f"from is {_told(start)}; expected a time before to, which is {_told(end)}"
        raise refusal(422, "10015", detail, parameter="from")
    if end - start > RANGE_MAX:
        detail = (
            f"from is {_told(start)}, {(end - start).days} days before to, which is {_told(end)}; "
            f"expected at most {RANGE_MAX.days}"
        )
        raise refusal(422, "10015", detail, parameter="from")
    return CallFilter(start=start, end=end, direction=direction, connection_id=connection_id)


def _require_few(wanted: CallFilter, bucket: Bucket) -> None:
    if (count := bucket_count(wanted, WIDTHS[bucket])) > BUCKETS_MAX:
        detail = (
            f"bucket is {bucket!r}, which makes {count} buckets from {_told(wanted.start)} "
            f"to {_told(wanted.end)}; expected at most {BUCKETS_MAX}"
        )
        raise refusal(422, "10015", detail, parameter="bucket")


def _asked(wanted: CallFilter, **more: str) -> Asked:
    return {
        "from": _told(wanted.start),
        "to": _told(wanted.end),
        "direction": wanted.direction,
        "connection_id": wanted.connection_id,
        **more,
    }


def _told(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
