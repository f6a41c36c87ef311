"""The classes of a duration as bars on a logarithmic axis. Pure."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from offhook.wording.durations import duration

BARS_MAX = 40
TICKS_APART = 0.09
"""Of the width of the axis."""

FIRST_S, GROWTH = 0.1, 1.1
"""The classes of the API: the first ends here, and each other so many times further."""

NICE_S = (
    *(0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800),
    *(3600, 7200, 4 * 3600, 8 * 3600, 24 * 3600),
)

BarUrl = Callable[[float, float | None], str]
"""The search for calls that took longer than the one and at most the other."""


@dataclass(frozen=True, kw_only=True)
class Bar:
    """`height` is from 0 to 1, of the highest. `text` is "1.2 s to 1.5 s"."""

    calls: int
    height: float
    text: str
    url: str | None


@dataclass(frozen=True, kw_only=True)
class Tick:
    """`at` is from 0 to 1, of the width."""

    at: float
    text: str


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """Bars of one width, without gaps."""

    bars: Sequence[Bar]
    ticks: Sequence[Tick]


def histogram_of(classes: Sequence[Mapping[str, Any]], bar_url: BarUrl) -> Histogram:
    """Classes that follow each other are one bar where there would be more than BARS_MAX."""
    if not classes:
        return Histogram(bars=[], ticks=[])
    numbered = [(_number(each), each) for each in classes]
    first, last = numbered[0][0], numbered[-1][0]
    width = -(-(last - first + 1) // BARS_MAX)
    count = (last - first) // width + 1
    members: list[list[Mapping[str, Any]]] = [[] for _ in range(count)]
    for number, each in numbered:
        members[(number - first) // width].append(each)
    totals = [sum(each["calls"] for each in bar) for bar in members]
    bars = []
    for at, (bar, calls) in enumerate(zip(members, totals, strict=True)):
        start, end = _edge(first + at * width - 1), _edge(first + (at + 1) * width - 1)
        bars.append(
            Bar(
                calls=calls,
                height=calls / max(totals),
                text=f"{duration(start)} to {duration(end)}",
                # The edges of its own classes are exact.
                url=bar_url(bar[0]["from_s"], bar[-1]["to_s"]) if bar else None,
            )
        )
    return Histogram(bars=bars, ticks=_ticks(first - 1, first + count * width - 1))


def _number(each: Mapping[str, Any]) -> int:
    """Which class it is, from 0."""
    if each["to_s"] is None:
        return _class(each["from_s"]) + 1
    return _class(each["to_s"])


def _class(end_s: float) -> int:
    return round(math.log(end_s / FIRST_S, GROWTH))


def _edge(number: int) -> float:
    """Where a class ends; the one before the first does at 0."""
    return FIRST_S * GROWTH**number if number >= 0 else 0.0


def _ticks(first: int, last: int) -> list[Tick]:
    ticks: list[Tick] = []
    for nice in NICE_S:
        at = (math.log(nice / FIRST_S, GROWTH) - first) / (last - first)
        if 0 <= at <= 1 and (not ticks or at - ticks[-1].at >= TICKS_APART):
            ticks.append(Tick(at=at, text=duration(nice)))
    return ticks
