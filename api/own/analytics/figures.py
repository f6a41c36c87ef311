"""Key figures of commands, visits to queues, webhooks and load, grouped as calls are.

    GET /analytics/commands   outcomes, reaction times, late commands, transfers that hold
    GET /analytics/queues     service level, abandoned, ASA and AHT of visits to queues
    GET /analytics/webhooks   delay, repeats, order
    GET /analytics/load       calls at once, erlangs, calls per second, busy hour

What is counted, and why, is in `offhook.projections.views.analytics`, in a file for each. As JSON,
or as CSV with a row for each group.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query
from fastapi.responses import Response

from offhook.api.auth import Tokens
from offhook.api.errors import refusal
from offhook.api.freshness import ListMeta, Views
from offhook.api.own.analytics.groups import (
    TOP_DEFAULT,
    UNITS,
    Asked,
    Equal,
    Format,
    TimeZone,
    Top,
    csv_of,
    flat_percentiles,
    flat_ratio,
    grouped_by,
    require_time_zone,
    too_many_groups,
    unknown_time_zone,
)
from offhook.api.own.analytics.queues import QueueName, ServiceLevelS, ShortAbandonS
from offhook.api.own.analytics.summary import ConnectionId, Direction, rfc3339
from offhook.api.own.csv_cells import cell_of
from offhook.api.own.parameters import WAIT_DEFAULT_S, MinSeq, RangeFrom, RangeTo, WaitS, time_range
from offhook.api.replies import ReplyRoute
from offhook.projections.views.analytics.grouping.buckets import UnknownTimeZone
from offhook.projections.views.analytics.grouping.wanted import GroupsWanted, TooManyGroups
from offhook.projections.views.analytics.load.load import (
    LOAD_DIMENSIONS,
    LOAD_FIGURES,
    LoadView,
    read_load,
)
from offhook.projections.views.analytics.subject_figures import FigureGroup, read_figures
from offhook.projections.views.analytics.subjects.commands import COMMANDS
from offhook.projections.views.analytics.subjects.subject import Subject
from offhook.projections.views.analytics.subjects.visits import VISITS
from offhook.projections.views.analytics.subjects.webhooks import STEP_S, WEBHOOKS
from offhook.projections.views.database.engine import Connection

RANGE_MAX = timedelta(days=31)
"""Some of these figures may have to be counted from rows."""


@dataclass(frozen=True, kw_only=True)
class FiguresReply:
    """The groups in order of time, the largest first. `definitions` says what each name means."""

    data: Sequence[FigureGroup]
    asked: Asked
    definitions: Mapping[str, str]
    meta: ListMeta


@dataclass(frozen=True, kw_only=True)
class LoadReply:
    """The groups in order of time, the busiest first."""

    data: Sequence[LoadView]
    asked: Asked
    definitions: Mapping[str, str]
    meta: ListMeta


GroupBy = Annotated[
    str | None,
    Query(
        description="Names separated by commas: at most one of "
        f"{', '.join(UNITS)}, and any of the parameters that filter; default: one group of all"
    ),
]


@dataclass(frozen=True, kw_only=True)
class _Query:
    """The parameters that all of these have."""

    views: Views
    at: datetime
    group_by: str | None
    tz: str
    range_from: str | None
    range_to: str | None
    top: int
    min_seq: int
    timeout_s: float
    is_csv: bool

    def wanted(
        self, dimensions: Mapping[str, str], filters: Mapping[str, str | None]
    ) -> GroupsWanted:
        """Raises ErrorAnswer 422, which names the parameter and its value."""
        start, end = time_range(self.range_from, self.range_to, self.at, longest=RANGE_MAX)
        unit, by = grouped_by(self.group_by, tuple(dimensions))
        require_time_zone(self.tz)
        return GroupsWanted(
            start=start,
            end=end,
            unit=unit,
            tz=self.tz,
            by=by,
            filters={name: value for name, value in filters.items() if value is not None},
            top=self.top,
        )

    async def found(
        self, wanted: GroupsWanted, read: Callable[[Connection], Awaitable[Any]]
    ) -> tuple[Any, ListMeta]:
        """What `read` returns, and how current it is. Raises ErrorAnswer 422."""
        try:
            async with self.views.snapshot(self.min_seq, self.timeout_s) as snapshot:
                found = await read(snapshot.connection)
        except UnknownTimeZone:
            raise unknown_time_zone(self.tz) from None
        except TooManyGroups as error:
            raise too_many_groups(self.group_by, wanted) from error
        return found, snapshot.meta

    def asked(self, wanted: GroupsWanted, filters: Mapping[str, Any]) -> Asked:
        """What the reply is for."""
        return {
            "from": rfc3339(wanted.start),
            "to": rfc3339(wanted.end),
            "group_by": [*([wanted.unit] if wanted.unit else []), *wanted.by],
            "tz": wanted.tz,
            "top": wanted.top,
            **filters,
        }


def figures_router(*, tokens: Tokens, views: Views, now: Callable[[], datetime]) -> APIRouter:
    """The routes above."""
    router = APIRouter(
        route_class=ReplyRoute,
        prefix="/analytics",
        tags=["analytics"],
        dependencies=[Depends(tokens.allow("read"))],
    )
    as_csv: Any = {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}
    figures = partial(router.get, response_model=FiguresReply, responses=as_csv)

    async def query(
        group_by: GroupBy = None,
        tz: TimeZone = "UTC",
        from_: RangeFrom = None,
        to: RangeTo = None,
        top: Top = TOP_DEFAULT,
        format: Format = None,
        min_seq: MinSeq = 0,
        timeout_s: WaitS = WAIT_DEFAULT_S,
        accept: Annotated[str, Header(include_in_schema=False)] = "",
    ) -> _Query:
        return _Query(
            views=views,
            at=now(),
            group_by=group_by,
            tz=tz,
            range_from=from_,
            range_to=to,
            top=top,
            min_seq=min_seq,
            timeout_s=timeout_s,
            is_csv=format == "csv" or (format is None and "text/csv" in accept),
        )

    Common = Annotated[_Query, Depends(query)]

    @figures("/commands", summary="Key figures of commands")
    async def commands(
        common: Common,
        operation: Equal = None,
        flow: Equal = None,
        flow_version: Equal = None,
        status: Equal = None,
        reason: Equal = None,
        http_status: Equal = None,
    ) -> Any:
        """Outcomes, reaction times and late commands of those decided in [from, to)."""
        filters = {
            "operation": operation,
            "flow": flow,
            "flow_version": flow_version,
            "status": status,
            "reason": reason,
            "http_status": http_status,
        }
        return await _figures(common, COMMANDS, filters)

    @figures("/queues", summary="Key figures of visits to queues")
    async def queues(
        common: Common,
        queue: QueueName = None,
        service_level_s: ServiceLevelS = 20.0,
        short_abandon_s: ShortAbandonS = 5.0,
    ) -> Any:
        """Service level, abandon rate, ASA and AHT of visits that began in [from, to)."""
        policy = {"service_level_s": service_level_s, "short_abandon_s": short_abandon_s}
        return await _figures(common, VISITS, {"queue": queue}, policy)

    @figures("/webhooks", summary="Key figures of the carrier's webhooks")
    async def webhooks(common: Common) -> Any:
        """Delay, repeats and order of webhooks that the log stored in [from, to).

        They are counted in periods of 5 minutes; the range is widened to whole ones.
        """
        if common.group_by == "minute":
            detail = (
                "group_by is 'minute'; expected 5m or longer: webhooks are counted by 5 minutes"
            )
            raise refusal(422, "10015", detail, parameter="group_by")
        return await _figures(common, WEBHOOKS, {}, widened_to_s=STEP_S)

    @router.get(
        "/load",
        summary="Calls at once, erlangs and calls per second",
        response_model=LoadReply,
        responses=as_csv,
    )
    async def load(
        common: Common,
        direction: Direction = None,
        connection_id: ConnectionId = None,
    ) -> Any:
        """The load of calls that were up, or started, in [from, to)."""
        filters = {"direction": direction, "connection_id": connection_id}
        wanted = common.wanted(LOAD_DIMENSIONS, filters)
        found, meta = await common.found(wanted, lambda each: read_load(each, wanted, common.at))
        if common.is_csv:
            return _csv_reply([_flat_load(group, wanted.by) for group in found], wanted.by)
        definitions = {"calls": "started in the bucket"}
        definitions |= {name: meaning for name, (meaning, _, _) in LOAD_FIGURES.items()}
        reply_asked = common.asked(wanted, filters)
        return LoadReply(data=found, asked=reply_asked, definitions=definitions, meta=meta)

    return router


async def _figures(
    query: _Query,
    subject: Subject,
    filters: Mapping[str, str | None],
    extra: Mapping[str, float] | None = None,
    widened_to_s: int | None = None,
) -> Any:
    wanted = query.wanted(subject.dimensions, filters)
    if widened_to_s is not None:
        wanted = _widened(wanted, timedelta(seconds=widened_to_s))
    found, meta = await query.found(wanted, lambda each: read_figures(each, subject, wanted, extra))
    if query.is_csv:
        return _csv_reply([_flat(group, wanted.by) for group in found], wanted.by)
    return FiguresReply(
        data=found,
        asked=query.asked(wanted, {**filters, **(extra or {})}),
        definitions=subject.definitions,
        meta=meta,
    )


def _widened(wanted: GroupsWanted, step: timedelta) -> GroupsWanted:
    return replace(
        wanted,
        start=wanted.start - (wanted.start - _EPOCH) % step,
        end=wanted.end + (_EPOCH - wanted.end) % step,
    )


def _csv_reply(rows: Sequence[Mapping[str, Any]], by: Sequence[str]) -> Response:
    return Response(csv_of(rows, by), media_type="text/csv")


def _flat(view: FigureGroup, by: Sequence[str]) -> dict[str, Any]:
    row = _place(view, by) | dict(view.counts)
    for name, ratio in {**view.ratios, **view.means}.items():
        row |= flat_ratio(name, ratio)
    for name, found in view.percentiles.items():
        row |= flat_percentiles(name, found)
    return row


def _flat_load(view: LoadView, by: Sequence[str]) -> dict[str, Any]:
    busy = view.busy_hour
    return (
        _place(view, by)
        | {"calls": view.calls, "peak": view.peak}
        | flat_ratio("erlangs", view.erlangs)
        | {
            "cps_peak": view.calls_per_second.peak,
            "cps_p99": view.calls_per_second.p99,
            "busy_hour": None if busy is None else rfc3339(busy.start),
            "busy_hour_erlangs": None if busy is None else busy.erlangs.value,
            "busy_hour_calls": None if busy is None else busy.calls,
        }
    )


def _place(view: FigureGroup | LoadView, by: Sequence[str]) -> dict[str, Any]:
    row: dict[str, Any] = {"start": rfc3339(view.start), "end": rfc3339(view.end)}
    row |= {name: cell_of(view.group[name]) for name in by}
    return row | {"is_other": "true" if view.is_other else "false"}


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
