"""Ranges of hours, made of months, days and hours."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from offhook.projections.views.analytics.rollups.periods import Span, spans_of

HOURS = st.integers(min_value=0, max_value=24 * 800).map(
    lambda hours: datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=hours)
)


@given(HOURS, HOURS)
def test_spans_are_the_range_without_gaps(first: datetime, last: datetime) -> None:
    spans = spans_of(first, last)
    at = first
    for span in spans:
        assert span.first == at < span.last
        at = span.last
        if span.level != "hour":
            assert {span.first.hour, span.last.hour} == {0}
        if span.level == "month":
            assert {span.first.day, span.last.day} == {1}
    assert at == last or not spans
    assert len(spans) <= 5
    # From the first hour of a day until the last of the next there is no whole day.
    assert all(span.last - span.first < timedelta(days=2) for span in spans if span.level == "hour")


def test_a_year_has_whole_months_inside() -> None:
    first, last = datetime(2025, 11, 26, 5, tzinfo=UTC), datetime(2026, 11, 27, tzinfo=UTC)
    assert spans_of(first, last) == [
        Span("hour", first, first.replace(day=27, hour=0)),
        Span("day", first.replace(day=27, hour=0), datetime(2025, 12, 1, tzinfo=UTC)),
        Span("month", datetime(2025, 12, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)),
        Span("day", datetime(2026, 11, 1, tzinfo=UTC), last),
    ]
