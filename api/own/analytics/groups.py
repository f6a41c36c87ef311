"""Key figures of groups of calls, from the views.

    GET /analytics/groups    by a bucket of time, the connection, the number, the cause …

All figures of a group are about the calls that started in it; they are defined in
`offhook.projections.views.analytics`. As JSON, or as CSV with a row for each group.
"""

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, get_args

from fastapi import APIRouter, Depends, Header, Query
from fastapi.responses import Response

from offhook.api.auth import Tokens
from offhook.api.errors import refusal
from offhook.api.freshness import ListMeta, Views
from offhook.api.own.analytics.summary import ConnectionId, Direction, From, To, rfc3339, time_range
from offhook.api.own.csv_cells import cell_of
from offhook.api.own.parameters import WAIT_DEFAULT_S, MinSeq, WaitS
from offhook.api.query_parameters import WholeNumber
from offhook.api.replies import ReplyRoute
from offhook.errors import shown
from offhook.projections.views.analytics.grouping.buckets import Unit, UnknownTimeZone
from offhook.projections.views.analytics.grouping.percentiles import Percentiles
from offhook.projections.views.analytics.grouping.wanted import (
    GROUPS_MAX,
    TOP_MAX,
    GroupsWanted,
    TooManyGroups,
)
from offhook.projections.views.analytics.groups import GroupView, read_groups
from offhook.projections.views.analytics.kpis import GROUPS_GROUPING, Ratio
from offhook.projections.views.analytics.leg_facts import DIMENSIONS

TOP_DEFAULT = 20
UNITS: Sequence[str] = get_args(Unit)

Asked = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class GroupsReply:
    """The groups in order of time, the largest first in each bucket; only those with calls."""

    data: Sequence[GroupView]
    asked: Asked
    grouping: Mapping[str, str]
    meta: ListMeta


GroupBy = Annotated[
    str | None,
    Query(
        description="What calls are grouped by, separated by commas: at most one of "
        f"{', '.join(UNITS)}, and any of {', '.join(DIMENSIONS)}; default: one group of all"
    ),
]
TimeZone = Annotated[
    str,
    Query(description="The time zone of buckets, as Europe/Berlin or UTC"),
]
Top = Annotated[
    WholeNumber,
    Query(
        ge=1,
        le=TOP_MAX,
        description="How many groups there are in a bucket, the most frequent in the whole range; "
        "all others are added up in one, with is_other",
    ),
]
Prefix = Annotated[
    str | None,
    Query(description="Only calls whose remote number begins so, with up to 4 digits: +49, +1202"),
]
Equal = Annotated[str | None, Query(description="Only calls with this value")]
Include = Annotated[
    Literal["histograms"] | None,
    Query(description="histograms: the classes that percentiles are read from; in JSON only"),
]
Format = Annotated[
    Literal["json", "csv"] | None,
    Query(description="Default: as the Accept header says, else JSON"),
]


def groups_router(*, tokens: Tokens, views: Views, now: Callable[[], datetime]) -> APIRouter:
    """The route above."""
    router = APIRouter(
        route_class=ReplyRoute, prefix="/analytics", dependencies=[Depends(tokens.allow("read"))]
    )

    @router.get(
        "/groups",
        tags=["analytics"],
        summary="Key figures of groups of calls",
        response_model=GroupsReply,
        responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
    )
    async def groups(
        group_by: GroupBy = None,
        tz: TimeZone = "UTC",
        from_: From = None,
        to: To = None,
        direction: Direction = None,
        connection_id: ConnectionId = None,
        number_prefix: Prefix = None,
        flow: Equal = None,
        flow_version: Equal = None,
        hangup_cause: Equal = None,
        hangup_source: Equal = None,
        sip_hangup_cause: Equal = None,
        top: Top = TOP_DEFAULT,
        include: Include = None,
        format: Format = None,
        min_seq: MinSeq = 0,
        timeout_s: WaitS = WAIT_DEFAULT_S,
        accept: Annotated[str, Header(include_in_schema=False)] = "",
    ) -> Any:
        """Counts, ratios, durations, quality and cost of each group of calls of [from, to)."""
        at = now()
        start, end = time_range(from_, to, at)
        unit, by = grouped_by(group_by, DIMENSIONS)
        filters = {
            "direction": direction,
            "connection_id": connection_id,
            "number_prefix": None if number_prefix is None else _prefix(number_prefix),
            "flow": flow,
            "flow_version": flow_version,
            "hangup_cause": hangup_cause,
            "hangup_source": hangup_source,
            "sip_hangup_cause": sip_hangup_cause,
        }
        require_time_zone(tz)
        wanted = GroupsWanted(
            start=start,
            end=end,
            unit=unit,
            tz=tz,
            by=by,
            filters={name: value for name, value in filters.items() if value is not None},
            top=top,
            with_histograms=include == "histograms",
        )
        try:
            async with views.snapshot(min_seq, timeout_s) as snapshot:
                found = await read_groups(snapshot.connection, wanted, at)
        except UnknownTimeZone:
            raise unknown_time_zone(tz) from None
        except TooManyGroups as error:
            raise too_many_groups(group_by, wanted) from error
        if format == "csv" or (format is None and "text/csv" in accept):
            rows = [_flat(group, by) for group in found]
            return Response(csv_of(rows, by), media_type="text/csv")
        asked = {
            "from": rfc3339(start),
            "to": rfc3339(end),
            "group_by": [*([unit] if unit else []), *by],
            "tz": tz,
            "top": top,
            "include": include,
            **filters,
        }
        return GroupsReply(data=found, asked=asked, grouping=GROUPS_GROUPING, meta=snapshot.meta)

    return router


def grouped_by(text: str | None, dimensions: Sequence[str]) -> tuple[Unit | None, Sequence[str]]:
    """The bucket and the dimensions that are named. Raises ErrorAnswer 422."""
    names = [] if text is None else text.split(",")
    units = [name for name in names if name in UNITS]
    by = [name for name in names if name in dimensions]
    if len(units) + len(by) < len(names) or len({*names}) < len(names) or len(units) > 1:
        more = f", and any of {', '.join(dimensions)}" if dimensions else ""
        detail = (
            f"group_by is {shown(text or '')}; expected names separated by commas, each once: at "
            f"most one of {', '.join(UNITS)}{more}"
        )
        raise refusal(422, "10015", detail, parameter="group_by")
    unit: Any = units[0] if units else None
    return unit, by


def _prefix(text: str) -> str:
    if found := _PREFIX.fullmatch(text):
        return f"+{found[1]}"
    detail = f"number_prefix is {shown(text)}; expected 1 to 4 digits after a plus sign: +49, +1202"
    raise refusal(422, "10015", detail, parameter="number_prefix")


def require_time_zone(tz: str) -> None:
    """Raise ErrorAnswer 422 for what cannot be the name of a time zone."""
    # Postgres would take other texts for rules of daylight saving time.
    if not _TIME_ZONE.fullmatch(tz):
        raise unknown_time_zone(tz)


def unknown_time_zone(tz: str) -> Exception:
    """The ErrorAnswer 422 for it."""
    detail = f"tz is {shown(tz)}; expected a time zone of the IANA database: Europe/Berlin, UTC"
    return refusal(422, "10015", detail, parameter="tz")


def too_many_groups(group_by: str | None, wanted: GroupsWanted) -> Exception:
    """The ErrorAnswer 422 for it."""
    detail = (
        f"group_by is {shown(group_by or '')}, which makes more than {GROUPS_MAX} groups from "
        f"{rfc3339(wanted.start)} to {rfc3339(wanted.end)}; expected a shorter range, a longer "
        "bucket or a lower top"
    )
    return refusal(422, "10015", detail, parameter="group_by")


def csv_of(rows: Sequence[Mapping[str, Any]], by: Sequence[str]) -> str:
    """A line for each row, and the names of the columns above."""
    written = io.StringIO()
    # Without groups there is nothing but the names of the columns that every reply has.
    writer = csv.DictWriter(written, list(rows[0]) if rows else ["start", "end", *by, "is_other"])
    writer.writeheader()
    writer.writerows(rows)
    return written.getvalue()


def _flat(view: GroupView, by: Sequence[str]) -> dict[str, Any]:
    row: dict[str, Any] = {"start": rfc3339(view.start), "end": rfc3339(view.end)}
    row |= {name: cell_of(view.group[name]) for name in by}
    row |= {"is_other": "true" if view.is_other else "false", **view.counts}
    durations, quality = view.durations, view.quality
    row["minutes_of_use"] = durations.minutes_of_use
    named = {"acd_s": durations.acd_s, "ring_s": durations.ring_s}
    named |= {"mos": quality.mos, "loss": quality.loss}
    for name, ratio in {**view.ratios, **named}.items():
        row |= flat_ratio(name, ratio)
    for name in ("answer_delay", "talk", "ring", "ring_unanswered"):
        row |= flat_percentiles(name, getattr(durations, name))
    return row


def flat_ratio(name: str, ratio: Ratio) -> dict[str, Any]:
    """The three columns of a ratio."""
    return {
        name: ratio.value,
        f"{name}_numerator": ratio.numerator,
        f"{name}_denominator": ratio.denominator,
    }


def flat_percentiles(name: str, found: Percentiles | None) -> dict[str, Any]:
    """The three columns of percentiles, empty without any."""
    return {
        f"{name}_{at}": None if found is None else getattr(found, at)
        for at in ("p50_s", "p95_s", "p99_s")
    }


_PREFIX = re.compile(r"[+ ]?([0-9]{1,4})")
_TIME_ZONE = re.compile(r"UTC|[A-Za-z]{2,32}(?:/[A-Za-z0-9_+-]{1,32}){1,2}")
