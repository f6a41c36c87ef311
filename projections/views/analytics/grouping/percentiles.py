"""Percentiles of durations, from how many there are in each class of a histogram. Pure."""

import operator
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain

from offhook.projections.views.analytics.leg_facts import BOUNDS_US
from offhook.projections.views.analytics.rollups.tables import BLOCK

PERCENTILES_FORMULA = "nearest rank of the durations, as the end of its class of 10 %"


@dataclass(frozen=True, kw_only=True)
class HistogramClass:
    """How many calls took longer than `from_s` and at most `to_s`, which is null without a limit.

    The first class has those of 0 s too.
    """

    from_s: float
    to_s: float | None
    calls: int


@dataclass(frozen=True, kw_only=True)
class Percentiles:
    """Seconds, each as the end of its class, which is up to 10 % above the duration itself.

    `histogram` has the classes with calls, in order; it is null unless it was asked for.
    """

    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    samples: int
    histogram: Sequence[HistogramClass] | None = None


Blocks = dict[int, Sequence[int]]
"""Of a histogram: by the number of a block, how many there are of each of its classes."""


def added(one: Sequence[int], other: Sequence[int]) -> Sequence[int]:
    """Of the same block, how many there are in both."""
    return [*map(operator.add, one, other)]


def percentiles_of(classes: Mapping[int, int]) -> Percentiles:
    """Nearest rank, of how many there are in each class."""
    numbers = sorted(classes)
    return _percentiles(numbers, [*map(classes.__getitem__, numbers)], with_histogram=False)


def percentiles_of_blocks(blocks: Blocks, *, with_histogram: bool) -> Percentiles:
    """The same of whole blocks of classes."""
    order = sorted(blocks)
    return _percentiles(
        [*chain.from_iterable(range(each * BLOCK, (each + 1) * BLOCK) for each in order)],
        [*chain.from_iterable(map(blocks.__getitem__, order))],
        with_histogram=with_histogram,
    )


def _percentiles(
    numbers: Sequence[int], counts: Sequence[int], *, with_histogram: bool
) -> Percentiles:
    until = [*accumulate(counts)]
    samples = until[-1] if until else 0

    def rank(percent: int) -> float | None:
        if not samples:
            return None
        number = numbers[bisect_left(until, -(-samples * percent // 100))]
        return BOUNDS_US[min(number, len(BOUNDS_US) - 1)] / 1e6

    return Percentiles(
        p50_s=rank(50),
        p95_s=rank(95),
        p99_s=rank(99),
        samples=samples,
        histogram=[
            _histogram_class(number, count)
            for number, count in zip(numbers, counts, strict=True)
            if count
        ]
        if with_histogram
        else None,
    )


def _histogram_class(number: int, count: int) -> HistogramClass:
    return HistogramClass(
        from_s=BOUNDS_US[number - 1] / 1e6 if number else 0.0,
        to_s=BOUNDS_US[number] / 1e6 if number < len(BOUNDS_US) else None,
        calls=count,
    )
