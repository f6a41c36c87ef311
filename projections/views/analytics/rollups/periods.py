"""A range of whole hours as few periods of UTC: months, days, hours, added and subtracted. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

LEVELS = ("hour", "day", "month")
"""Each leg is in one row of each: readers take the longest that fit."""


class Span(NamedTuple):
    """Whole periods of a level, from the start of the first until the end of the last.

    `sign` is -1 if what is in them has to be subtracted.
    """

    level: str  # of LEVELS
    first: datetime
    last: datetime
    sign: int = 1


def spans_of(first: datetime, last: datetime, levels: Sequence[str] = LEVELS) -> list[Span]:
    """The range as the fewest periods of the levels; they may reach beyond it.

    A part of a longer period is either its shorter ones, or all of it without the others.
    """
    if first >= last:
        return []
    *shorter, level = levels
    if not shorter:
        return [Span(level, first, last)]
    begin, end = _floor(level, first), _next(level, last)
    inner_first, inner_last = _next(level, first), _floor(level, last)
    if inner_first > inner_last:
        return _fewest(
            spans_of(first, last, shorter),
            [
                Span(level, begin, end),
                *_without(begin, first, shorter),
                *_without(last, end, shorter),
            ],
        )
    spans = [Span(level, inner_first, inner_last)] if inner_first < inner_last else []
    if first < inner_first:
        whole = [Span(level, begin, inner_first), *_without(begin, first, shorter)]
        spans = _fewest(spans_of(first, inner_first, shorter), whole) + spans
    if inner_last < last:
        whole = [Span(level, inner_last, end), *_without(last, end, shorter)]
        spans += _fewest(spans_of(inner_last, last, shorter), whole)
    return spans


def _without(first: datetime, last: datetime, levels: Sequence[str]) -> list[Span]:
    return [span._replace(sign=-span.sign) for span in spans_of(first, last, levels)]


def _fewest(added: list[Span], whole: list[Span]) -> list[Span]:
    return min(added, whole, key=lambda spans: sum(map(_count, spans)))


def _count(span: Span) -> int:
    months = (span.last.year - span.first.year) * 12 + span.last.month - span.first.month
    long = {"hour": timedelta(hours=1), "day": timedelta(days=1)}.get(span.level)
    return months if long is None else (span.last - span.first) // long


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
