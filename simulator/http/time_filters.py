"""Filters of a list by time: `filter[occurred_at][gte]` and the like."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from offhook.simulator.errors import request_errors

COMPARISONS: dict[str, Callable[[datetime, datetime], bool]] = {
    "eq": lambda one, other: one == other,
    "gt": lambda one, other: one > other,
    "gte": lambda one, other: one >= other,
    "lt": lambda one, other: one < other,
    "lte": lambda one, other: one <= other,
}


def time_filter(
    query: Mapping[str, str], parameter: str, comparisons: Iterable[str]
) -> Callable[[datetime], bool]:
    """Whether a time passes every filter of the parameter. Raises CarrierError (10015)."""
    limits = []
    for name in comparisons:
        if (text := query.get(f"{parameter}[{name}]")) is not None:
            try:
                limit = datetime.fromisoformat(text).astimezone()
            except (ValueError, OverflowError):  # the latter for a time that UTC does not have
                raise request_errors.filter_invalid(
                    f"{parameter}[{name}]", text, "an ISO 8601 time"
                ) from None
            limits.append((COMPARISONS[name], limit))
    return lambda at: all(passes(at, limit) for passes, limit in limits)
