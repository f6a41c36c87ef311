"""Ranges of hours, made of months, days and hours, and without some of them."""

from collections import Counter
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from offhook.projections.views.analytics.rollups.periods import LEVELS, Span, spans_of

HOURS = st.integers(min_value=0, max_value=24 * 800).map(
    lambda hours: datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=hours)
)


HOUR = timedelta(hours=1)
LONGEST = {"hour": HOUR, "day": timedelta(days=1), "month": timedelta(days=28)}


@given(HOURS, HOURS)
def test_spans_add_up_to_the_range(first: datetime, last: datetime) -> None:
    spans = spans_of(first, last)
    changes = Counter[datetime]()
    for span in spans:
        assert span.first < span.last
        if span.level != "hour":
            assert {span.first.hour, span.last.hour} == {0}
        if span.level == "month":
            assert {span.first.day, span.last.day} == {1}
        changes[span.first] += span.sign
        changes[span.last] -= span.sign
    expected = {first: 1, last: -1} if first < last else {}
    assert {at: change for at, change in changes.items() if change} == expected
    # No more than half a day of hours and half a month of days at each end.
    counts = Counter[str]()
    for span in spans:
        counts[span.level] += (span.last - span.first) // LONGEST[span.level]
    assert counts["hour"] <= 24
    assert counts["day"] <= 34


def test_a_day_elsewhere_is_a_day_of_utc_but_for_few_hours() -> None:
    first = datetime(2026, 11, 26, 23, tzinfo=UTC)
    midnight = first + HOUR
    assert spans_of(first, first + 24 * HOUR, LEVELS[:2]) == [
        Span("hour", first, midnight),
        Span("day", midnight, midnight + 24 * HOUR),
        Span("hour", first + 24 * HOUR, midnight + 24 * HOUR, sign=-1),
    ]


def test_a_year_has_whole_months_inside() -> None:
    first, last = datetime(2025, 11, 26, 5, tzinfo=UTC), datetime(2026, 11, 27, tzinfo=UTC)
    assert spans_of(first, last) == [
        Span("day", first.replace(hour=0), first.replace(day=27, hour=0)),
        Span("hour", first.replace(hour=0), first, sign=-1),
        Span("day", first.replace(day=27, hour=0), datetime(2025, 12, 1, tzinfo=UTC)),
        Span("month", datetime(2025, 12, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)),
        Span("month", datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)),
        Span("day", last, datetime(2026, 12, 1, tzinfo=UTC), sign=-1),
    ]
