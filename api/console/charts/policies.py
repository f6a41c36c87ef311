"""The carrier's policy lines, and how far each ratio is from its line. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from offhook.api.console.charts.figures import Figure, Group, figures_of, parts_of, title_of

DAYS_MIN, DAYS_MAX = 7, 31
NAMED_DAYS_MAX = 10
"""More days have no room for the name of each."""

NUMERATORS: Mapping[str, Mapping[str, str]] = {
    "short_call": {"direction": "outgoing", "talk_s_max": "6"},
    "abandoned": {
        "direction": "outgoing",
        "answered": "false",
        "hangup_cause": "originator_cancel",
    },
}
"""The search's filters for the calls that count in the numerator of a ratio."""

DayUrl = Callable[[datetime, datetime, Mapping[str, str]], str]
"""The search for the calls of a time that have these values."""


@dataclass(frozen=True, kw_only=True)
class Day:
    """A day of UTC. `height` is from 0 to 1, of the scale of all days."""

    name: str
    value: float | None
    parts: str
    height: float
    is_above: bool
    url: str


@dataclass(frozen=True, kw_only=True)
class Gauge:
    """A ratio with a line. `share` and `line_at` are from 0 to 1, of its scale.

    So is `day_line_at`, of the scale of its days.
    """

    key: str
    title: str
    figure: Figure
    line: float
    share: float
    line_at: float
    is_above: bool
    meaning: str
    source: str
    day_line_at: float
    days: Sequence[Day]


def gauges_of(
    total: Group, days: Sequence[Group], definitions: Mapping[str, Any], day_url: DayUrl
) -> list[Gauge]:
    """A gauge for each ratio with a policy line. `days` are groups by day of UTC."""
    figures = figures_of(total)
    gauges = []
    for key, definition in definitions["ratios"].items():
        line = definition["policy_line"]
        if line is None or key not in figures:
            continue
        by_day = [(day, figures_of(day)[key]) for day in days[-DAYS_MAX:]]
        values = [figures[key].value or 0.0, *(figure.value or 0.0 for _, figure in by_day)]
        scale = max(2 * line, values[0])
        day_scale = max(1.4 * line, *values)
        gauges.append(
            Gauge(
                key=key,
                title=title_of(key),
                figure=figures[key],
                line=line,
                share=values[0] / scale,
                line_at=line / scale,
                is_above=values[0] > line,
                meaning=definition["meaning"],
                source=definition["source"],
                day_line_at=line / day_scale,
                days=[_day(day, key, figure, line, day_scale, day_url) for day, figure in by_day],
            )
        )
    return gauges


def _day(day: Group, key: str, figure: Figure, line: float, scale: float, day_url: DayUrl) -> Day:
    start = datetime.fromisoformat(day["start"])
    value = figure.value or 0.0
    return Day(
        name=f"{start:%Y-%m-%d}",
        value=figure.value,
        parts=parts_of(figure),
        height=value / scale,
        is_above=value > line,
        url=day_url(start, datetime.fromisoformat(day["end"]), NUMERATORS.get(key, {})),
    )


def whole_days(start: datetime, end: datetime) -> tuple[datetime, datetime]:
    """The days of UTC that the range is in; at least its last DAYS_MIN, at most DAYS_MAX."""
    first = min(start, end - timedelta(days=DAYS_MIN - 1)).astimezone(UTC)
    first = max(first, end - timedelta(days=DAYS_MAX - 1))
    return first.replace(hour=0, minute=0, second=0, microsecond=0), end
