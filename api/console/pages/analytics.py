"""Analytics: the figures of a range, and the calls behind each of them.

    ?last= or ?from= &to=, &tz=     the range, in a time zone
    &direction= &connection_id= …   only these calls
    &show=                          the figure over time
    &by=                            the breakdown

The page is complete without scripts; its script draws the figure over time. The tiles and the
figure over time are sent first, and the panels below them as soon as they are read.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from starlette.requests import Request

from offhook.api.console.charts.figures import figures_of, tiles_of, title_of, written
from offhook.api.console.charts.histogram import Histogram, histogram_of
from offhook.api.console.charts.links import FILTERS, calls_url, span_filters, view_url
from offhook.api.console.charts.policies import NAMED_DAYS_MAX, gauges_of, whole_days
from offhook.api.console.charts.ranges import (
    LENGTH_DEFAULT,
    LENGTHS,
    WEEK,
    Range,
    range_of,
    rfc3339,
    unit_of,
    zone_of,
)
from offhook.api.console.charts.series import buckets_of, points_of
from offhook.api.console.charts.shares import funnel_of, heat_map, parts_of_all
from offhook.api.console.charts.traffic import (
    COMMAND_COLUMNS,
    LOAD_FILTERS,
    QUEUE_COLUMNS,
    RANGE_MAX,
    command_rows,
    load_bars,
    load_tiles,
    load_unit,
    queue_rows,
    survival_of,
    webhook_tiles,
)
from offhook.api.console.client import Api
from offhook.api.console.page import BAR, Later, Page, Shown
from offhook.api.console.page_query import choice_in
from offhook.wording.causes import cause_text, sip_text

SHOW_DEFAULT = "calls"
PAIRS_MAX = 100
PARTS_MAX = 12

BREAKDOWNS = {
    "connection_id": "Connection",
    "number_prefix": "Number prefix",
    "flow,flow_version": "Flow and version",
    "direction": "Direction",
    "hangup_source": "Who hung up",
}
BREAKDOWN_DEFAULT = "connection_id"
BREAKDOWN_RATIOS = ("asr", "ner", "acd_s")

FIELDS = (
    ("connection_id", "Connection", ""),
    ("number_prefix", "Number prefix", "+4930"),
    ("flow", "Flow", ""),
    ("flow_version", "Flow version", ""),
    ("hangup_cause", "Hangup cause", "user_busy"),
    ("hangup_source", "Who hung up", "caller"),
    ("sip_hangup_cause", "SIP code", "486"),
)
"""Inputs of the form besides the range and the direction, with an example."""


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What the URL asks for."""

    given: Mapping[str, str]
    tz: ZoneInfo
    within: Range
    unit: str
    filters: Mapping[str, str]
    by: str

    def calls_url(self, values: Mapping[str, str]) -> str:
        """The search for the calls of the range that have these values too."""
        return calls_url(*self.within, {**self.filters, **values})


async def shown(request: Request, api: Api) -> Shown:
    """The figures of the range in the URL, in total, over time and by what calls have in common."""
    given = {name: value for name, value in request.query_params.items() if value.strip()}
    asked = _asked(given, datetime.now(UTC))
    found = await _first(asked, api)
    shown = {
        "given": given,
        "filters": asked.filters,
        "fields": FIELDS,
        "directions": ("incoming", "outgoing"),
        "lengths": LENGTHS,
        "chosen": None if "from" in given or "to" in given else given.get("last", LENGTH_DEFAULT),
        "tz": asked.tz.key,
        "within": asked.within,
        "unit": asked.unit,
        "view": lambda **changed: view_url(given, **changed),
        "calls_url": asked.calls_url({}),
        "total": None,
        "written": written,
    }
    if not found["total"]:
        return shown

    async def panels() -> Shown:
        return _panels(asked, {**found, **await _rest(asked, api)})

    later = Later(template="analytics_panels.html", shown=panels)
    return shown | _over_time(asked, found) | {"later": [later]}


def _asked(given: Mapping[str, str], now: datetime) -> _Asked:
    tz = zone_of(given.get("tz", "UTC"))
    within = range_of(given, tz, now)
    return _Asked(
        given=given,
        tz=tz,
        within=within,
        unit=unit_of(within.end - within.start),
        filters={name: given[name] for name in FILTERS if name in given},
        by=choice_in(given, "by", BREAKDOWNS, BREAKDOWN_DEFAULT),
    )


Groups = Callable[..., Awaitable[Any]]


def _groups(asked: _Asked, api: Api) -> Groups:
    async def groups(within: tuple[datetime, datetime], **more: object) -> Any:
        start, end = (rfc3339(at) for at in within)
        wanted = {"tz": asked.tz.key, **asked.filters, "from": start, "to": end, **more}
        return (await api.get("/analytics/groups", wanted))["data"]

    return groups


async def _first(asked: _Asked, api: Api) -> Mapping[str, Any]:
    """The API's groups for the figures and their series, and its definitions."""
    groups = _groups(asked, api)

    async def definitions() -> Any:
        return (await api.get("/analytics/definitions"))["data"]

    within = asked.within
    return await _replies(
        total=groups(within, include="histograms"),
        series=groups(within, group_by=asked.unit),
        before=groups(within.week_earlier, group_by=asked.unit),
        definitions=definitions(),
    )


async def _rest(asked: _Asked, api: Api) -> Mapping[str, Any]:
    """What the panels are made of, by what each request is for."""
    groups = _groups(asked, api)

    async def figures(name: str, **more: object) -> Any:
        if asked.within.end - asked.within.start > RANGE_MAX:
            return None
        start, end = (rfc3339(at) for at in asked.within)
        wanted = {"tz": asked.tz.key, "from": start, "to": end, **more}
        return (await api.get(f"/analytics/{name}", wanted))["data"]

    within = asked.within
    of_load = {name: asked.filters[name] for name in LOAD_FILTERS if name in asked.filters}
    unit = load_unit(within.end - within.start)
    return await _replies(
        load=figures("load", **of_load),
        loads=figures("load", group_by=unit, **of_load),
        queues=figures("queues", group_by="queue", top=PARTS_MAX),
        commands=figures("commands", group_by="operation", top=PARTS_MAX),
        webhooks=figures("webhooks"),
        pairs=groups(within, group_by="hangup_cause,sip_hangup_cause", top=PAIRS_MAX),
        directions=groups(within, group_by="direction"),
        days=groups(whole_days(*within), group_by="day", tz="UTC"),
        parts=groups(within, group_by=asked.by, top=PARTS_MAX),
    )


async def _replies(**requests: Awaitable[Any]) -> Mapping[str, Any]:
    """By name, asked for at once."""
    return dict(zip(requests, await asyncio.gather(*requests.values()), strict=True))


def _over_time(asked: _Asked, found: Mapping[str, Any]) -> dict[str, Any]:
    """The tiles, and the one that is shown over time."""
    buckets = buckets_of(found["series"], asked.within, asked.unit)
    (total,), before = found["total"], found["before"]
    whole = [each.group for each in buckets if not each.part(asked.unit)]
    tiles = tiles_of(total, whole, before, found["definitions"])
    by_key = {tile.key: tile for tile in tiles}
    show = by_key[choice_in(asked.given, "show", by_key, SHOW_DEFAULT)]
    points = points_of(buckets, asked.unit, show.key, asked.filters)
    earlier = buckets_of(before, asked.within.week_earlier, asked.unit) if before else []
    points_before = points_of(earlier, asked.unit, show.key, asked.filters, WEEK)
    return {
        "total": total,
        "talk_min": total["durations"]["acd_s"]["numerator"] / 60,
        "tiles": tiles,
        "show": show,
        "points": points,
        "points_before": points_before,
        "is_cut": any(point.part for point in points),
        "chart": {
            "key": show.key,
            "title": show.title,
            "kind": figures_of(total)[show.key].kind,
            "points": [vars(point) for point in points],
            "before": [vars(point) for point in points_before],
        },
    }


def _panels(asked: _Asked, found: Mapping[str, Any]) -> dict[str, Any]:
    """What is beside and below the series."""
    (total,) = found["total"]
    durations = total["durations"]

    def day_url(start: datetime, end: datetime, values: Mapping[str, str]) -> str:
        return calls_url(start, end, {**asked.filters, **values})

    def histogram(name: str, classes: Sequence[Any]) -> Histogram:
        return histogram_of(
            classes, lambda above_s, most_s: asked.calls_url(span_filters(name, above_s, most_s))
        )

    return {
        "heat": heat_map(found["pairs"], asked.calls_url),
        "cause_text": cause_text,
        "sip_text": sip_text,
        "funnels": {
            direction: funnel_of(group["counts"], direction, asked.calls_url)
            for group in found["directions"]
            if (direction := group["group"]["direction"]) is not None
        },
        "named_days_max": NAMED_DAYS_MAX,
        "gauges": gauges_of(total, found["days"], found["definitions"], day_url),
        "histograms": [
            (title, each, histogram(key, each["histogram"]))
            for title, key in (("Answer delay", "answer_delay"), ("Talk time", "talk"))
            if (each := durations[key]) is not None
        ],
        **_traffic(asked, found),
        "by": asked.by,
        "breakdowns": BREAKDOWNS,
        "breakdown_ratios": [(key, title_of(key)) for key in BREAKDOWN_RATIOS],
        "parts": parts_of_all(
            found["parts"], asked.calls_url, has_direction="direction" in asked.filters
        ),
    }


def _traffic(asked: _Asked, found: Mapping[str, Any]) -> dict[str, Any]:
    """Load, queues, commands and webhooks; nothing of a range that is too long for them."""
    tz = asked.within.start.tzinfo
    unit = load_unit(asked.within.end - asked.within.start)
    return {
        "is_traffic_shown": found["load"] is not None,
        "load": [tile for total in found["load"] or () for tile in load_tiles(total, tz)],
        "load_bars": load_bars(found["loads"] or (), asked.within, unit, asked.filters),
        "load_unit": unit,
        "queue_columns": QUEUE_COLUMNS,
        "queues": queue_rows(found["queues"] or ()),
        "command_columns": COMMAND_COLUMNS,
        "commands": command_rows(found["commands"] or ()),
        "survival": survival_of(found["commands"] or ()),
        "webhooks": [tile for total in found["webhooks"] or () for tile in webhook_tiles(total)],
    }


ANALYTICS = Page(
    path="/analytics", template="analytics.html", shown=shown, in_menu="Analytics", at_once=BAR
)
