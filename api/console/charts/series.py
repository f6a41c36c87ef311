"""One figure over time, in buckets without a gap, beside the same a week earlier. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from offhook.api.console.charts.figures import Group, figures_of, parts_of, written
from offhook.api.console.charts.links import calls_url
from offhook.api.console.charts.ranges import Range, bucket_starts, end_of, floor_of


class Bucket(NamedTuple):
    """A bucket of time with the group of its calls, if there were any.

    The range may begin or end within a bucket; then it has a part of its calls.
    """

    start: datetime
    end: datetime
    group: Group | None

    def part(self, unit: str) -> str:
        """Which part of the bucket it is, as "until 11:33"; empty if it is all of it."""
        start = floor_of(self.start, unit)
        parts = []
        if self.start.astimezone(UTC) > start.astimezone(UTC):
            parts.append(f"from {self.start:%H:%M}")
        if self.end.astimezone(UTC) < end_of(start, unit).astimezone(UTC):
            parts.append(f"until {self.end:%H:%M}")
        return " ".join(parts)


@dataclass(frozen=True, kw_only=True)
class Point:
    """A bucket as it is drawn. `at` is its start by the clock of the page's time zone, and `part`
    is empty if the bucket is whole."""

    at: str
    part: str
    calls: int
    answered: int
    value: float | None
    text: str
    parts: str
    url: str


def buckets_of(groups: Sequence[Group], within: Range, unit: str) -> list[Bucket]:
    """Every bucket of the range, in order; those that the API left out have no group."""
    tz = within.start.tzinfo
    by_start = {datetime.fromisoformat(group["start"]).astimezone(UTC): group for group in groups}
    starts = {start.astimezone(UTC) for start in bucket_starts(within, unit)} | by_start.keys()
    edges = [*sorted(starts), within.end]
    return [
        Bucket(start.astimezone(tz), end.astimezone(tz), by_start.get(start))
        for start, end in pairwise(edges)
    ]


def points_of(
    buckets: Sequence[Bucket],
    unit: str,
    key: str,
    filters: Mapping[str, str],
    later: timedelta = timedelta(),
) -> list[Point]:
    """The figure of that name in each bucket, drawn `later` than it was."""
    points = []
    for bucket in buckets:
        start, end, group = bucket
        figure = None if group is None else figures_of(group).get(key)
        counts = {} if group is None else group["counts"]
        value = figure.value if figure else 0 if key == "calls" else None
        points.append(
            Point(
                # The first bucket, which the range cuts off, is drawn as wide as the others.
                at=(floor_of(start, unit) + later).replace(tzinfo=None).isoformat("T", "seconds"),
                part=bucket.part(unit),
                calls=counts.get("calls", 0),
                answered=counts.get("answered", 0),
                value=value,
                text=written(value, figure.kind if figure else "count"),
                parts=parts_of(figure) if figure else "",
                url=calls_url(start, end, filters),
            )
        )
    return points
