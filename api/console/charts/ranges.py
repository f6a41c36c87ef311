"""The range of the URL in its time zone, cut into buckets as the API cuts it. Pure."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from offhook.api.console.client import ApiRefused
from offhook.api.console.page_query import choice_in, not_expected

TODAY = "today"
LENGTHS = {
    "1h": ("1 h", timedelta(hours=1)),
    "8h": ("8 h", timedelta(hours=8)),
    TODAY: ("Today", timedelta()),  # from midnight in the time zone of the page
    "24h": ("24 h", timedelta(days=1)),
    "7d": ("7 days", timedelta(days=7)),
    "31d": ("31 days", timedelta(days=31)),
}
LENGTH_DEFAULT = "24h"
WEEK = timedelta(days=7)

_WIDTHS = {"minute": 60, "5m": 300, "15m": 900, "hour": 3600}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Range(NamedTuple):
    """From start until before end, both in the time zone of the page."""

    start: datetime
    end: datetime

    @property
    def week_earlier(self) -> "Range":
        """By the clocks of the time zone, so that hours of the day are compared with themselves."""
        return Range(self.start - WEEK, self.end - WEEK)


def zone_of(name: str) -> ZoneInfo:
    """The time zone. Raises ApiRefused 422, as the API does for its parameters."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise not_expected("tz", name, "a name such as Europe/Berlin or UTC") from None


def range_of(given: Mapping[str, str], tz: ZoneInfo, now: datetime) -> Range:
    """The range. A time without an offset, as the form sends it, is in `tz`. Raises ApiRefused."""
    last = choice_in(given, "last", LENGTHS, LENGTH_DEFAULT)
    end = _moment("to", given["to"], tz) if "to" in given else now
    if "from" in given:
        start = _moment("from", given["from"], tz)
    elif last == TODAY:
        start = floor_of(end.astimezone(tz) - timedelta.resolution, "day")
    else:
        start = end - LENGTHS[last][1]
    if start >= end:
        raise ApiRefused(422, f"from is {start.isoformat()}; expected a time before to")
    return Range(start.astimezone(tz), end.astimezone(tz))


def _moment(name: str, text: str, tz: ZoneInfo) -> datetime:
    try:
        at = datetime.fromisoformat(text.replace(" ", "+"))
        return (at if at.tzinfo else at.replace(tzinfo=tz)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise not_expected(name, text, "a time such as 2026-11-22T10:00") from None


def unit_of(length: timedelta) -> str:
    """The bucket that gives a chart between about 10 and 100 points."""
    for unit, most_h in (("minute", 1.5), ("5m", 8), ("15m", 25), ("hour", 100), ("day", 2400)):
        if length <= timedelta(hours=most_h):
            return unit
    return "week"


def bucket_starts(within: Range, unit: str) -> Sequence[datetime]:
    """Where each bucket begins, in the time zone; the first is cut off where the range starts."""
    start, end = within
    starts, at = [start], floor_of(start, unit)
    while (at := end_of(at, unit)) < end:
        starts.append(at)
    return starts


def floor_of(at: datetime, unit: str) -> datetime:
    """Where the bucket of a time begins, in the time's zone."""
    if unit in _WIDTHS:
        # Hours are those of the zone's clocks, which may be half an hour from those of UTC.
        offset = (at.utcoffset() if unit == "hour" else None) or timedelta()
        since = (at.astimezone(UTC) - _EPOCH + offset) % timedelta(seconds=_WIDTHS[unit])
        return (at.astimezone(UTC) - since).astimezone(at.tzinfo)
    day = at.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    return day - timedelta(days=day.weekday() if unit == "week" else 0)


def end_of(start: datetime, unit: str) -> datetime:
    """Where the bucket that begins at a time ends, in the time's zone."""
    if unit in _WIDTHS:
        width = timedelta(seconds=_WIDTHS[unit])
        return (start.astimezone(UTC) + width).astimezone(start.tzinfo)
    return start + timedelta(days=7 if unit == "week" else 1)


def rfc3339(at: datetime) -> str:
    """As the API writes times: in UTC."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
