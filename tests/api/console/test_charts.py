"""What the analytics page shows of groups of calls: ranges, tiles, heat map, bars, gauges."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.api.console.charts.figures import (
    Figure,
    change_of,
    curve_of,
    figures_of,
    summed,
    tiles_of,
    title_of,
    written,
)
from offhook.api.console.charts.histogram import BARS_MAX, histogram_of
from offhook.api.console.charts.links import calls_url, span_filters, view_url
from offhook.api.console.charts.policies import gauges_of, whole_days
from offhook.api.console.charts.ranges import Range, bucket_starts, range_of, unit_of, zone_of
from offhook.api.console.charts.series import buckets_of, points_of
from offhook.api.console.charts.shares import LEVELS, funnel_of, heat_map, level_of, parts_of_all
from offhook.api.console.client import ApiRefused

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def group(
    calls: int,
    answered: int,
    at: datetime = NOW,
    values: Mapping[str, str | None] | None = None,
    **sections: Any,
) -> dict[str, Any]:
    """As the API has it, with one ratio."""
    asr = quotient(answered, calls)
    return {
        "start": at.isoformat(),
        "end": (at + HOUR).isoformat(),
        "group": values or {},
        "is_other": False,
        "counts": {"calls": calls, "answered": answered},
        "ratios": {"asr": asr},
        **sections,
    }


def quotient(above: float, below: float, formula: str = "a / b") -> dict[str, Any]:
    value = above / below if below else None
    return {"value": value, "numerator": above, "denominator": below, "formula": formula}


def definitions(**lines: float | None) -> dict[str, Any]:
    ratios = {
        name: {"meaning": f"what {name} is", "source": "RFC", "formula": "a / b", "policy_line": at}
        for name, at in lines.items()
    }
    return {"counts": {"calls": "started in the range"}, "ratios": ratios}


def test_a_time_of_the_form_is_in_the_time_zone_of_the_url() -> None:
    asked = {"from": "2026-11-22T10:00", "to": "2026-11-22T12:00+02:00"}
    assert range_of(asked, BERLIN, NOW) == (
        datetime(2026, 11, 22, 9, tzinfo=UTC),
        datetime(2026, 11, 22, 10, tzinfo=UTC),
    )
    assert range_of({"last": "1h"}, BERLIN, NOW) == (NOW - HOUR, NOW)


@pytest.mark.parametrize(
    ("now", "midnight"),
    [
        ("2026-11-22T12:00+00:00", "2026-11-21T23:00+00:00"),
        ("2026-11-21T23:30+00:00", "2026-11-21T23:00+00:00"),  # half past midnight in Berlin
        ("2026-10-25T12:00+00:00", "2026-10-24T22:00+00:00"),  # the clocks were changed at night
        ("2026-11-21T23:00+00:00", "2026-11-20T23:00+00:00"),  # the whole day, as it ends
    ],
)
def test_today_begins_at_midnight_in_the_time_zone(now: str, midnight: str) -> None:
    at = datetime.fromisoformat(now)
    assert range_of({"last": "today"}, BERLIN, at) == (datetime.fromisoformat(midnight), at)
    assert range_of({"last": "today", "to": now}, BERLIN, NOW)[1] == at


@pytest.mark.parametrize("asked", [{"from": "yesterday"}, {"to": "22.11."}, {"from": "2027-01-01"}])
def test_a_range_that_is_none_is_refused(asked: dict[str, str]) -> None:
    with pytest.raises(ApiRefused, match="422"):
        range_of(asked, BERLIN, NOW)


@pytest.mark.parametrize("name", ["Mars/Olympus", "../etc", ""])
def test_an_unknown_time_zone_is_refused(name: str) -> None:
    with pytest.raises(ApiRefused, match="tz"):
        zone_of(name)


def test_a_week_earlier_is_the_same_hour_by_the_clock() -> None:
    # Summer time ended in Berlin on 2026-10-25.
    now = datetime(2026, 10, 28, 12, tzinfo=UTC)
    (start, end) = range_of({"last": "1h"}, BERLIN, now).week_earlier
    assert (start.hour, end.hour) == (12, 13)
    assert end.astimezone(UTC) == datetime(2026, 10, 21, 11, tzinfo=UTC)


@pytest.mark.parametrize(
    ("hours", "unit"), [(1, "minute"), (8, "5m"), (24, "15m"), (72, "hour"), (744, "day")]
)
def test_no_chart_has_more_than_about_a_hundred_bars(hours: int, unit: str) -> None:
    within = Range(NOW - timedelta(hours=hours), NOW)
    assert unit_of(timedelta(hours=hours)) == unit
    assert 10 <= len(bucket_starts(within, unit)) <= 100


def test_days_and_weeks_begin_at_midnight_of_the_zone() -> None:
    within = Range(
        datetime(2026, 10, 23, 5, tzinfo=BERLIN), datetime(2026, 11, 3, 5, tzinfo=BERLIN)
    )
    days = bucket_starts(within, "day")
    assert [day.hour for day in days] == [5, *[0] * 11]
    # The day that summer time ended on had 25 hours.
    assert days[3].astimezone(UTC) - days[2].astimezone(UTC) == 25 * HOUR
    assert [week.day for week in bucket_starts(within, "week")] == [23, 26, 2]


def test_hours_are_those_of_the_zone() -> None:
    start = datetime(2026, 11, 22, 10, 50, tzinfo=ZoneInfo("Asia/Kolkata"))
    starts = bucket_starts(Range(start, start + HOUR), "hour")
    assert [(each.hour, each.minute) for each in starts] == [(10, 50), (11, 0)]


def test_a_bar_opens_the_calls_of_its_time_and_filters() -> None:
    filters = {"hangup_cause": "user_busy", "number_prefix": "+49"}
    url = urlsplit(calls_url(NOW, NOW + HOUR, filters))
    assert parse_qs(url.query) == {
        "hangup_cause": ["user_busy"],
        "number": ["+49*"],
        "started_from": ["2026-11-22T12:00:00Z"],
        "started_before": ["2026-11-22T13:00:00Z"],
        "any_leg": ["true"],
    }
    outgoing = parse_qs(urlsplit(calls_url(NOW, NOW, {**filters, "direction": "outgoing"})).query)
    assert (outgoing["to_number"], "number" in outgoing) == (["+49*"], False)


def test_neighbouring_bars_share_no_call() -> None:
    assert span_filters("talk", 0, 0.1) == {"talk_s_min": "0", "talk_s_max": "0.100000"}
    assert span_filters("talk", 0.1, None) == {"talk_s_min": "0.100001"}


def test_a_view_keeps_what_it_does_not_change() -> None:
    url = view_url({"last": "7d", "flow": "desk"}, last=None, show="asr")
    assert parse_qs(url.removeprefix("?")) == {"flow": ["desk"], "show": ["asr"]}


def test_every_quotient_of_the_api_is_a_figure() -> None:
    found = figures_of(
        group(
            4,
            3,
            durations={"acd_s": quotient(90.5, 3), "talk": {"p50_s": 3.0, "samples": 2}},
            traffic={"erlangs": quotient(120.0, 60.0), "peak": 7},
            costs=[],
        )
    )
    assert {key: figure.kind for key, figure in found.items()} == {
        "calls": "count",
        "asr": "share",
        "acd_s": "seconds",
        "erlangs": "number",
        "peak": "count",
    }
    assert found["asr"].value == 0.75


def test_figures_of_several_groups_are_quotients_of_sums() -> None:
    found = summed([group(1, 1), group(9, 0)])
    assert (found["asr"].value, found["calls"].value) == (0.1, 10)


def test_a_tile_has_numerator_denominator_formula_and_change() -> None:
    total, before = group(4, 3), [group(2, 1)]
    calls, asr = tiles_of(total, [group(2, 2), None, group(2, 1)], before, definitions(asr=None))
    assert (calls.value, calls.change, calls.meaning) == ("4", "+100 %", "started in the range")
    assert (asr.value, asr.parts, asr.formula) == ("75.0 %", "3 / 4", "a / b")
    assert (asr.change, asr.before) == ("+25.0 pp", "50.0 %")
    assert [len(line.split()) for line in asr.curve] == [2, 2]
    assert len(calls.curve[0].split()) == 3


def test_what_has_a_policy_line_is_a_gauge_and_no_tile() -> None:
    total = group(10, 3)
    defined = definitions(asr=0.2)
    assert [tile.key for tile in tiles_of(total, [], [], defined)] == ["calls"]
    days = [group(10, 1), group(10, 9, NOW + DAY)]
    (gauge,) = gauges_of(total, days, defined, lambda start, end, values: f"{start:%d} {values}")
    assert (gauge.is_above, gauge.line, gauge.figure.value) == (True, 0.2, 0.3)
    assert [day.is_above for day in gauge.days] == [False, True]
    assert [day.url for day in gauge.days] == ["22 {}", "23 {}"]
    # The highest day is as high as the scale.
    assert gauge.days[1].height == 1.0


def test_days_of_a_policy_are_whole_days_of_utc() -> None:
    start = datetime(2026, 11, 1, 0, 30, tzinfo=BERLIN)
    assert whole_days(start, NOW)[0] == datetime(2026, 10, 31, tzinfo=UTC)
    assert whole_days(NOW - HOUR, NOW)[0] == datetime(2026, 11, 16, tzinfo=UTC)
    assert whole_days(NOW - 90 * DAY, NOW)[0] == datetime(2026, 10, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    ("key", "title"), [("asr", "ASR"), ("ner_strict", "NER strict"), ("queue_wait_s", "Queue wait")]
)
def test_a_new_figure_has_a_readable_name(key: str, title: str) -> None:
    assert title_of(key) == title


def test_a_value_that_is_not_known_is_a_dash() -> None:
    assert written(None, "share") == "–"
    nothing = Figure(value=None, numerator=0, denominator=0, formula="", kind="share")
    something = Figure(value=0.5, numerator=1, denominator=2, formula="", kind="share")
    assert change_of(something, nothing) == change_of(nothing, something) == ""


@given(st.lists(st.none() | st.floats(-1e9, 1e9), max_size=60))
def test_a_curve_stays_in_its_box(values: list[float | None]) -> None:
    lines = curve_of(values)
    known = sum(value is not None for value in values)
    assert bool(lines) == (known >= 2)
    for x, y in (point.split(",") for line in lines for point in line.split()):
        assert 0 <= float(x) <= 100
        assert 2 <= float(y) <= 22


def test_buckets_without_calls_have_a_point_too() -> None:
    within = Range(NOW + HOUR / 2, NOW + 3 * HOUR)
    buckets = buckets_of([group(4, 1, NOW + HOUR)], within, "hour")
    assert buckets[0].start == NOW + HOUR / 2
    points = points_of(buckets, "hour", "asr", {}, later=7 * DAY)
    assert [point.value for point in points] == [None, 0.25, None]
    assert [point.at for point in points[:2]] == ["2026-11-29T12:00:00", "2026-11-29T13:00:00"]
    assert [point.value for point in points_of(buckets, "hour", "calls", {})] == [0, 4, 0]


def test_a_bucket_that_the_range_cuts_off_says_so() -> None:
    start, end = NOW + HOUR / 2, NOW + 2.25 * HOUR
    buckets = buckets_of([], Range(start, end), "hour")
    assert [each.part("hour") for each in buckets] == ["from 12:30", "", "until 14:15"]
    assert [point.part for point in points_of(buckets, "hour", "calls", {})][1] == ""
    (minute,) = buckets_of([], Range(start, start + HOUR / 4), "hour")
    assert minute.part("hour") == "from 12:30 until 12:45"
    # The day on which summer time ends has 25 hours.
    day = datetime(2026, 10, 25, tzinfo=BERLIN)
    (whole,) = buckets_of([], Range(day, day.replace(day=26)), "day")
    assert whole.part("day") == ""


def test_no_point_of_a_sparkline_has_fewer_buckets_than_another() -> None:
    (calls, _) = tiles_of(group(49, 0), [group(1, 0)] * 49, [], definitions(asr=None))
    (line,) = calls.curve
    assert {point.split(",")[1] for point in line.split()} == {"12.0"}


def pair(calls: int, cause: str | None, code: str | None) -> dict[str, Any]:
    return group(calls, 0, values={"hangup_cause": cause, "sip_hangup_cause": code})


def test_the_heat_map_has_a_cell_for_each_pair() -> None:
    other = {**pair(5, None, None), "is_other": True}
    groups = [
        pair(9, "normal_clearing", "200"),
        pair(2, None, None),
        pair(1, "normal_clearing", None),
    ]
    heat = heat_map([*groups, other], lambda values: str(values))
    assert heat.codes == ["200", None]
    assert [(row.cause, row.calls) for row in heat.rows] == [("normal_clearing", 10), (None, 2)]
    first, second = heat.rows[0].cells
    assert first is not None
    assert (first.calls, first.level) == (9, LEVELS)
    assert first.url == "{'hangup_cause': 'normal_clearing', 'sip_hangup_cause': '200'}"
    assert second is not None
    assert second.url == "{'hangup_cause': 'normal_clearing', 'sip_hangup_cause': '!*'}"
    assert heat.rows[1].cells[0] is None
    assert heat.others == 5


@given(st.integers(1, 10**9), st.integers(0, 10**9))
def test_more_calls_are_never_paler(calls: int, more: int) -> None:
    most = calls + more
    assert 1 <= level_of(calls, most) <= level_of(most, most) == LEVELS


def test_a_funnel_has_shares_of_the_step_before_and_of_the_first() -> None:
    counts = {"calls": 8, "answered": 5, "completed": 2}
    counts |= {"outgoing_talked": 4, "outgoing_short": 1}
    outgoing = funnel_of(counts, "outgoing", str)
    assert outgoing[2].url == "{'direction': 'outgoing', 'talk_s_min': '6.000001'}"
    assert [step.calls for step in outgoing] == [8, 5, 3]
    assert [step.share for step in outgoing] == [None, 0.625, 0.6]
    assert [step.of_first for step in outgoing] == [1.0, 0.625, 0.375]
    assert [step.calls for step in funnel_of(counts, "incoming", str)] == [8, 5, 2]
    bids = funnel_of(counts | {"bids_failed": 2}, "outgoing", str)
    assert [step.calls for step in bids] == [10, 8, 5, 3]


def test_a_part_without_a_value_opens_the_calls_that_have_none() -> None:
    parts = parts_of_all(
        [
            group(4, 1, values={"flow": "desk"}),
            group(2, 1, values={"flow": None}),
            {**group(1, 1), "is_other": True},
        ],
        str,
    )
    assert [part.url for part in parts] == ["{'flow': 'desk'}", "{'flow': '!*'}", None]
    assert [part.share for part in parts] == [1.0, 0.5, 0.25]
    assert parts[2].values is None


def test_calls_without_a_number_prefix_are_opened_by_direction() -> None:
    unknown = [group(2, 1, values={"number_prefix": None})]
    (part,) = parts_of_all(unknown, str)
    assert (part.url, "direction" in part.obstacle) == (None, True)
    (part,) = parts_of_all(unknown, str, has_direction=True)
    assert (part.url, part.obstacle) == ("{'number_prefix': '!*'}", "")
    asked = {"number_prefix": "!*", "direction": "incoming"}
    query = parse_qs(urlsplit(calls_url(NOW, NOW, asked)).query)
    assert query["from_number"] == ["!+*,!sip:+*,!sips:+*,!tel:+*"]


def classes_of(*numbers: int) -> list[dict[str, Any]]:
    """The classes of these numbers, of as many calls as the number, with the API's edges."""
    ends = [100_000]
    while ends[-1] < 86_400_000_000:
        ends.append(round(ends[-1] * 1.1))
    edges = [0.0, *(end / 1e6 for end in ends), None]
    return [
        {"from_s": edges[number], "to_s": edges[number + 1], "calls": number + 1}
        for number in numbers
    ]


def test_a_histogram_has_bars_without_gaps() -> None:
    found = histogram_of(classes_of(3, 5), lambda start, end: f"{start} {end}")
    assert [bar.calls for bar in found.bars] == [4, 0, 6]
    assert [bar.url for bar in found.bars] == ["0.121 0.1331", None, "0.14641 0.161051"]
    assert found.bars[2].height == 1.0
    assert found.bars[0].text == "121 ms to 133 ms"
    assert histogram_of([], lambda start, end: "").bars == []


@given(st.sets(st.integers(0, 145), min_size=1))
def test_no_histogram_loses_a_call_or_has_too_many_bars(numbers: set[int]) -> None:
    classes = classes_of(*sorted(numbers))
    found = histogram_of(classes, lambda start, end: f"{start} {end}")
    assert sum(bar.calls for bar in found.bars) == sum(each["calls"] for each in classes)
    assert len(found.bars) <= BARS_MAX
    assert all((bar.url is not None) == (bar.calls > 0) for bar in found.bars)
    assert all(0 <= tick.at <= 1 for tick in found.ticks)
