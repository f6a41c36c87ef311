"""Times of the API and the spans between them, as the console and the command line write them."""

from datetime import UTC, datetime
from typing import Any


def instant(moment: Any) -> float | None:
    """Seconds since 1970; None if it is missing or no time."""
    if not isinstance(moment, str):
        return None
    try:
        return datetime.fromisoformat(moment).timestamp()
    except (OverflowError, ValueError):
        return None


def seconds_between(start: Any, end: Any) -> float | None:
    """None if one of the two is missing or no time."""
    first, last = instant(start), instant(end)
    return None if first is None or last is None else last - first


def clock(moment: Any) -> str:
    """`07:43:05.889` in UTC; the text itself if it is no time."""
    if instant(moment) is None:
        return str(moment)
    at = datetime.fromisoformat(moment).astimezone(UTC)
    return f"{at:%H:%M:%S}.{at.microsecond // 1000:03}"
