"""Which groups are asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from offhook.projections.views.analytics.grouping.buckets import Unit

GROUPS_MAX = 5_000
"""Buckets times groups in a reply."""

TOP_MAX = 100
"""Groups besides the one of all others, for each bucket."""


class TooManyGroups(ValueError):
    """There are more than GROUPS_MAX."""


@dataclass(frozen=True, kw_only=True)
class GroupsWanted:
    """Which calls, and by what they are grouped: a bucket of time or None, and dimensions.

    `filters` has a value for each dimension that is filtered. `top` is how many groups there are,
    besides one of all others, for each bucket. `with_histograms` adds the classes behind the
    percentiles.
    """

    start: datetime
    end: datetime
    unit: Unit | None = None
    tz: str = "UTC"
    by: Sequence[str] = ()
    filters: Mapping[str, str] = field(default_factory=dict)
    top: int = TOP_MAX
    with_histograms: bool = False


def is_single(wanted: GroupsWanted) -> bool:
    """Whether buckets are hours, or days of UTC: such periods are kept, so nothing in them has to
    be added up but partitions and the ends of the range."""
    return wanted.unit == "hour" or (wanted.unit == "day" and wanted.tz == "UTC")
