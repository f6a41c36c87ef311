"""What `offhook analytics` does: a request to the API, and its groups as a table with bars.

Without buckets and dimensions there is one group, and each of its ratios is printed with numerator,
denominator and formula.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from offhook.cli.printable import printable
from offhook.cli.remote.answers import error_to_raise, print_json
from offhook.cli.remote.exchange import ErrorResponse, open_api
from offhook.errors import SelectionInvalid
from offhook.history.selection import moment_from
from offhook.settings import Settings
from offhook.wording.durations import duration

BAR_CHARS = 24
SPARK_CHARS_MAX = 96
WIDTH_MAX = 1_000
_SPARKS = "▁▂▃▄▅▆▇█"
_EIGHTHS = " ▏▎▍▌▋▊▉"

PATHS = {"calls": "groups"}
"""The resource of a subject below /analytics, where it has another name."""

Kind = Literal["count", "percent", "seconds", "number"]


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of the table: where its value is in a group, as `ratios.asr.value`."""

    title: str
    path: str
    kind: Kind


def _count(title: str, path: str) -> Column:
    return Column(title=title, path=path, kind="count")


def _percent(title: str, name: str) -> Column:
    return Column(title=title, path=f"ratios.{name}.value", kind="percent")


def _seconds(title: str, path: str) -> Column:
    return Column(title=title, path=path, kind="seconds")


COLUMNS: Mapping[str, Sequence[Column]] = {
    "calls": (
        _count("calls", "counts.calls"),
        _count("answered", "counts.answered"),
        _percent("ASR", "asr"),
        _percent("ABR", "abr"),
        _percent("NER", "ner"),
        _percent("short", "short_call"),
        _percent("abandoned", "abandoned"),
        _seconds("ACD", "durations.acd_s.value"),
        _seconds("answer p95", "durations.answer_delay.p95_s"),
    ),
    "load": (
        Column(title="erlangs", path="erlangs.value", kind="number"),
        _count("peak", "peak"),
        _count("calls", "calls"),
        _count("calls/s peak", "calls_per_second.peak"),
        _count("p99", "calls_per_second.p99"),
    ),
    "queues": (
        _count("offered", "counts.offered"),
        _count("answered", "counts.answered"),
        _percent("service level", "service_level"),
        _percent("abandoned", "abandon_rate"),
        _seconds("ASA", "means.asa_s.value"),
        _seconds("AHT", "means.aht_s.value"),
        _seconds("wait p95", "percentiles.wait.p95_s"),
    ),
    "commands": (
        _count("decided", "counts.decided"),
        _count("failed", "counts.failed"),
        _percent("success", "success_rate"),
        _percent("late", "late_rate"),
        _percent("retried", "retry_rate"),
        _percent("transfers hold", "transfer_survival"),
        _seconds("reaction p99", "percentiles.reaction.p99_s"),
        _seconds("outcome p99", "percentiles.outcome.p99_s"),
    ),
    "webhooks": (
        _count("received", "counts.received"),
        _percent("repeated", "repeat_rate"),
        _percent("out of order", "disorder_rate"),
        _percent("retried", "retry_rate"),
        _seconds("delay p50", "percentiles.delay.p50_s"),
        _seconds("p99", "percentiles.delay.p99_s"),
    ),
}
"""The first one is drawn as a bar."""


@dataclass(frozen=True, kw_only=True)
class FiguresWanted:
    """What was asked for, as text."""

    subject: str
    since: str
    until: str | None
    group_by: str | None
    where: Sequence[str]
    tz: str
    top: int


def run_analytics(
    console: Console,
    settings: Settings,
    wanted: FiguresWanted,
    *,
    form: Literal["text", "json", "csv"],
) -> None:
    """Ask the API and print. Raises BadParameter, or OffhookError."""
    path = f"/analytics/{PATHS.get(wanted.subject, wanted.subject)}"
    with open_api(settings) as api:
        try:
            if form == "csv":
                print(api.read_text(path, _query(wanted) | {"format": "csv"}), end="")  # noqa: T201
                return
            reply = api.ask("GET", path, query=_query(wanted)).body
        except ErrorResponse as error:
            raise error_to_raise(error, as_json=form == "json") from None
    if form == "json":
        print_json(reply)
        return
    for part in _shown(reply, wanted, console):
        # A line that the terminal cannot hold goes on in the next: a cropped figure is of no use.
        console.width = max(console.width, _width(console, part))
        console.print(part)


def _query(wanted: FiguresWanted) -> dict[str, str]:
    now = datetime.now(UTC)
    query = {"tz": wanted.tz, "top": str(wanted.top), "from": _moment("--since", wanted.since, now)}
    if wanted.until is not None:
        query["to"] = _moment("--until", wanted.until, now)
    if wanted.group_by is not None:
        query["group_by"] = wanted.group_by
    for text in wanted.where:
        name, equals, value = text.partition("=")
        if not equals or not name or name in (*query, "to", "group_by", "format"):
            raise typer.BadParameter(f"--where {text!r}: expected NAME=VALUE, once for each name")
        query[name] = value
    return query


def _moment(option: str, text: str, now: datetime) -> str:
    try:
        return moment_from(text, now).isoformat()
    except SelectionInvalid as error:
        raise typer.BadParameter(f"{option} {error}") from None


def _width(console: Console, part: RenderableType) -> int:
    needed = console.measure(part, options=console.options.update(max_width=WIDTH_MAX))
    # The minimum is that of the longest word, and `no_wrap` crops what has two, as "1.083 s".
    has_folded = isinstance(part, Table) and not all(each.no_wrap for each in part.columns)
    return needed.minimum if has_folded and console.is_terminal else needed.maximum


def _shown(
    reply: Mapping[str, Any], wanted: FiguresWanted, console: Console
) -> Iterator[RenderableType]:
    groups, asked = reply["data"], reply["asked"]
    zone = _zone(wanted.tz)
    since, until = (_at(asked[name], zone) for name in ("from", "to"))
    yield Text(f"{wanted.subject}, {since} to {until} {wanted.tz}")
    if not groups:
        yield Text(f"no {wanted.subject} in this range")
        return
    if not asked["group_by"]:
        yield _figures(groups[0], COLUMNS[wanted.subject])
        return
    has_buckets = len({group["start"] for group in groups}) > 1
    if has_buckets:
        yield Text(_sparkline(groups, COLUMNS[wanted.subject][0]), style="cyan")
    table = _table(groups, COLUMNS[wanted.subject], zone, has_buckets=has_buckets)
    if console.is_terminal and _width(console, table) > console.width:
        table = _table(
            groups, COLUMNS[wanted.subject], zone, has_buckets=has_buckets, has_bars=False
        )
    yield table


def _table(
    groups: Sequence[Mapping[str, Any]],
    columns: Sequence[Column],
    zone: ZoneInfo,
    *,
    has_buckets: bool,
    has_bars: bool = True,
) -> Table:
    names = list(groups[0]["group"])
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in (["start"] if has_buckets else []) + names:
        table.add_column(name, no_wrap=True)
    first, *others = columns
    table.add_column(first.title, justify="right", no_wrap=True)
    if has_bars:
        table.add_column("", no_wrap=True)
    for column in others:
        table.add_column(column.title, justify="right", no_wrap=True)
    most = max((_value(group, first.path) or 0 for group in groups), default=0)
    for group in groups:
        starts = [_at(group["start"], zone)] if has_buckets else []
        values = ["others" if group["is_other"] else "–" if each is None else printable(str(each))
                  for each in group["group"].values()]  # fmt: skip
        bars = [Text(_bar(_value(group, first.path) or 0, most), style="cyan")] if has_bars else []
        cells = [_text(group, column) for column in others]
        table.add_row(*starts, *map(Text, values), _text(group, first), *bars, *cells)
    return table


def _figures(group: Mapping[str, Any], columns: Sequence[Column]) -> Table:
    """All ratios with what they are made of, and the other columns below."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("figure", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("of", justify="right", no_wrap=True)
    table.add_column("formula", overflow="fold", style="dim")
    for name, ratio in group.get("ratios", {}).items():
        of = f"{ratio['numerator']:,} / {ratio['denominator']:,}"
        table.add_row(name, _formatted(ratio["value"], "percent"), of, Text(ratio["formula"]))
    for column in columns:
        if column.kind != "percent":
            table.add_row(column.title, _text(group, column), "", "")
    if busy := group.get("busy_hour"):
        value = _formatted(busy["erlangs"]["value"], "number")
        table.add_row("busy hour", f"{value} erlangs", f"{busy['calls']:,} calls", busy["start"])
    return table


def _sparkline(groups: Sequence[Mapping[str, Any]], column: Column) -> str:
    """A character for each bucket; several buckets share one if they are many."""
    totals: dict[str, float] = {}
    for group in groups:
        value = _value(group, column.path) or 0
        totals[group["start"]] = totals.get(group["start"], 0) + value
    values = [totals[start] for start in sorted(totals)]
    step = -(-len(values) // SPARK_CHARS_MAX)
    values = [max(values[at : at + step]) for at in range(0, len(values), step)]
    most = max(values)
    if not most:
        return _SPARKS[0] * len(values)
    return "".join(_SPARKS[round(value / most * (len(_SPARKS) - 1))] for value in values)


def _bar(value: float, most: float) -> str:
    eighths = round(value / most * BAR_CHARS * 8) if most else 0
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _text(group: Mapping[str, Any], column: Column) -> str:
    return _formatted(_value(group, column.path), column.kind)


def _formatted(value: float | None, kind: Kind) -> str:
    if value is None:
        return "–"
    match kind:
        case "count":
            return f"{value:,}"
        case "percent":
            return f"{value:.1%}"
        case "seconds":
            return duration(value)
        case "number":
            return f"{value:,.2f}"


def _value(group: Mapping[str, Any], path: str) -> Any:
    found: Any = group
    for name in path.split("."):
        found = None if found is None else found.get(name)
    return found


def _at(text: str, zone: ZoneInfo) -> str:
    return f"{datetime.fromisoformat(text).astimezone(zone):%Y-%m-%d %H:%M}"


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):  # the API knows it, this machine does not
        return ZoneInfo("UTC")
