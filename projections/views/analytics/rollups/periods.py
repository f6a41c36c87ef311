"""A range of whole hours as few periods of UTC: months, the days beside them, hours. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple


class Span(NamedTuple):
    """Whole periods of a level, from the start of the first until the end of the last."""

    level: str  # hour, day, month
    first: datetime
    last: datetime


def spans_of(
    first: datetime, last: datetime, levels: Sequence[str] = ("hour", "day", "month")
) -> list[Span]:
    """The range in order of time, each part of it in the longest of the levels that fits."""
    if first >= last:
        return []
    *shorter, level = levels
    if level == "hour":
        return [Span("hour", first, last)]
    inner_first, inner_last = _next(level, first), _floor(level, last)
    if inner_first >= inner_last:
        return spans_of(first, last, shorter)
    return [
        *spans_of(first, inner_first, shorter),
        Span(level, inner_first, inner_last),
        *spans_of(inner_last, last, shorter),
    ]


def _floor(level: str, at: datetime) -> datetime:
    day = at.replace(hour=0, minute=0, second=0, microsecond=0)
    return day if level == "day" else day.replace(day=1)


def _next(level: str, at: datetime) -> datetime:
    """The first start of a period that is not before."""
    start = _floor(level, at)
    if start == at:
        return start
    # 32 days after the first of a month is in the next one.
    return _floor(level, start + timedelta(days=1 if level == "day" else 32))
