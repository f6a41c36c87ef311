"""Percentiles of durations, from how many there are in each class of a histogram. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from offhook.projections.views.analytics.leg_facts import BOUNDS_US

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


def percentiles_of(classes: Mapping[str, int], *, with_histogram: bool = False) -> Percentiles:
    """Nearest rank, of how many there are in each class."""
    counted = sorted((int(number), count) for number, count in classes.items())
    samples = sum(count for _, count in counted)

    def rank(percent: int) -> float | None:
        left = -(-samples * percent // 100)
        for number, count in counted:
            left -= count
            if left <= 0:
                return BOUNDS_US[min(number, len(BOUNDS_US) - 1)] / 1e6
        return None

    return Percentiles(
        p50_s=rank(50),
        p95_s=rank(95),
        p99_s=rank(99),
        samples=samples,
        histogram=[_histogram_class(*each) for each in counted] if with_histogram else None,
    )


def _histogram_class(number: int, count: int) -> HistogramClass:
    return HistogramClass(
        from_s=BOUNDS_US[number - 1] / 1e6 if number else 0.0,
        to_s=BOUNDS_US[number] / 1e6 if number < len(BOUNDS_US) else None,
        calls=count,
    )
