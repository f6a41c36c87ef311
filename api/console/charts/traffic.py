"""Load, queues, commands and webhooks of a range, as the page of analytics shows them. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from offhook.api.console.charts.figures import Group, written
from offhook.api.console.charts.links import calls_url
from offhook.api.console.charts.ranges import Range
from offhook.api.console.charts.series import buckets_of
from offhook.wording.durations import duration

RANGE_MAX = timedelta(days=31)
"""The API counts these figures over no longer range."""

LOAD_FILTERS = ("direction", "connection_id")
"""The page's filters that load has."""


@dataclass(frozen=True, kw_only=True)
class LoadBar:
    """Most calls at once in a bucket. `height` is from 0 to 1, of the highest; `at` is its start.

    `url` is None if no call was up.
    """

    at: str
    height: float
    text: str
    url: str | None


@dataclass(frozen=True, kw_only=True)
class Row:
    """Cells of a table, as written; the first is a name, None of what has none."""

    name: str | None
    cells: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Survival:
    """Of transfers after which the leg was bridged, those that held; `share` is of those before."""

    name: str
    count: int
    share: float | None


def load_unit(length: timedelta) -> str:
    """The bucket of its chart. Whole hours are kept; shorter ones are counted from every leg."""
    if length <= timedelta(hours=1.5):
        return "minute"
    return "hour" if length <= timedelta(hours=100) else "day"


def load_bars(
    groups: Sequence[Group], within: Range, unit: str, filters: Mapping[str, str]
) -> list[LoadBar]:
    """A bar for each bucket of the range, in order of time."""
    most = max((group["peak"] for group in groups), default=0)
    chosen = {name: filters[name] for name in LOAD_FILTERS if name in filters}
    bars = []
    for start, end, group in buckets_of(groups, within, unit):
        peak = 0 if group is None else group["peak"]
        erlangs = written(None if group is None else group["erlangs"]["value"], "number")
        bars.append(
            LoadBar(
                at=f"{start:%Y-%m-%d %H:%M}",
                height=peak / most if most else 0.0,
                text=f"{start:%Y-%m-%d %H:%M}: {peak:,} at once, {erlangs} erlangs",
                url=None if group is None else calls_url(start, end, chosen),
            )
        )
    return bars


def load_tiles(total: Group, tz: tzinfo | None) -> list[tuple[str, str, str]]:
    """Name, value and a remark."""
    rate, busy = total["calls_per_second"], total["busy_hour"]
    tiles = [
        ("Calls at once", f"{total['peak']:,}", "the most in the range"),
        ("Erlangs", written(total["erlangs"]["value"], "number"), "calls up on average"),
        ("Calls per second", f"{rate['peak']:,}", f"the most; {rate['p99']:,} in 99 % of seconds"),
    ]
    if busy is not None:
        at = datetime.fromisoformat(busy["start"]).astimezone(tz)
        erlangs = written(busy["erlangs"]["value"], "number")
        remark = f"{at:%Y-%m-%d}: {erlangs} erlangs, {busy['calls']:,} calls"
        tiles.append(("Busy hour", f"{at:%H:%M}", remark))
    return tiles


QUEUE_COLUMNS = ("Offered", "Service level", "Abandoned", "ASA", "AHT", "Wait p95")


def queue_rows(groups: Sequence[Group]) -> list[Row]:
    """A row for each queue; the last may be all others."""
    return [
        Row(
            name="all others" if group["is_other"] else group["group"]["queue"],
            cells=[
                f"{group['counts']['offered']:,}",
                *_ratios(group, "service_level", "abandon_rate"),
                *(_time(group["means"][name]["value"]) for name in ("asa_s", "aht_s")),
                _time(group["percentiles"]["wait"]["p95_s"]),
            ],
        )
        for group in groups
    ]


COMMAND_COLUMNS = ("Decided", "Accepted", "Late", "Sent again", "Reaction p95", "Outcome p95")


def command_rows(groups: Sequence[Group]) -> list[Row]:
    """A row for each operation; the last may be all others."""
    return [
        Row(
            name="all others" if group["is_other"] else group["group"]["operation"],
            cells=[
                f"{group['counts']['decided']:,}",
                *_ratios(group, "success_rate", "late_rate", "retry_rate"),
                *(_time(group["percentiles"][name]["p95_s"]) for name in ("reaction", "outcome")),
            ],
        )
        for group in groups
    ]


def survival_of(groups: Sequence[Group]) -> list[Survival]:
    """Transfers that were accepted and bridged, and those that held; empty without any."""
    counts = [group["counts"] for group in groups]
    bridged, survived = (sum(each[name] for each in counts) for name in ("bridged", "survived"))
    if not bridged:
        return []
    return [
        Survival(name="Bridged", count=bridged, share=None),
        Survival(name="Held for 120 s", count=survived, share=survived / bridged),
    ]


def webhook_tiles(total: Group) -> list[tuple[str, str, str]]:
    """Name, value and a remark."""
    delay = total["percentiles"]["delay"]
    tiles = [
        ("Webhooks", f"{total['counts']['received']:,}", "received"),
        (
            "Delay p95",
            _time(delay["p95_s"]),
            f"p50 {_time(delay['p50_s'])}, p99 {_time(delay['p99_s'])}",
        ),
    ]
    for key, name in (
        ("repeat_rate", "Duplicates"),
        ("disorder_rate", "Out of order"),
        ("retry_rate", "Sent again"),
    ):
        ratio = total["ratios"][key]
        parts = f"{ratio['numerator']:,} / {ratio['denominator']:,}"
        tiles.append((name, written(ratio["value"], "share"), parts))
    return tiles


def _ratios(group: Group, *names: str) -> list[str]:
    return [written(group["ratios"][name]["value"], "share") for name in names]


def _time(value: float | None) -> str:
    return duration(value, "–")
