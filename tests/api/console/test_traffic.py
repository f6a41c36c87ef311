"""Load, queues, commands and webhooks as the page of analytics shows them, without a browser."""

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from offhook.api.console.charts.ranges import Range
from offhook.api.console.charts.traffic import (
    command_rows,
    load_bars,
    load_tiles,
    load_unit,
    queue_rows,
    survival_of,
    webhook_tiles,
)

BERLIN = ZoneInfo("Europe/Berlin")


def ratio(above: float, below: float) -> dict[str, Any]:
    value = above / below if below else None
    return {"value": value, "numerator": above, "denominator": below, "formula": "a / b"}


def percentiles(p95_s: float | None) -> dict[str, Any]:
    return {"p50_s": p95_s, "p95_s": p95_s, "p99_s": p95_s, "samples": 1, "histogram": None}


def load(hour: int, peak: int, *, is_busy: bool = True) -> dict[str, Any]:
    start, end = (f"2026-11-22T{each:02}:00:00Z" for each in (hour, hour + 1))
    busy = {"start": start, "end": end, "erlangs": ratio(7200, 3600), "calls": 9}
    return {
        "start": start,
        "end": end,
        "calls": 9,
        "peak": peak,
        "erlangs": ratio(1800, 3600),
        "calls_per_second": {"peak": 3, "p99": 1, "seconds": 3600},
        "busy_hour": busy if is_busy else None,
    }


def test_load_is_told_in_the_time_zone_of_the_page() -> None:
    assert load_tiles(load(10, 4), BERLIN) == [
        ("Calls at once", "4", "the most in the range"),
        ("Erlangs", "0.50", "calls up on average"),
        ("Calls per second", "3", "the most; 1 in 99 % of seconds"),
        ("Busy hour", "11:00", "2026-11-22: 2.00 erlangs, 9 calls"),
    ]
    assert len(load_tiles(load(10, 4, is_busy=False), BERLIN)) == 3


def test_bars_of_load_open_the_calls_of_their_bucket() -> None:
    filters = {"direction": "incoming", "flow": "front"}
    within = Range(*(datetime(2026, 11, 22, hour, tzinfo=BERLIN) for hour in (11, 15)))
    low, gap, high, last = load_bars([load(10, 1), load(12, 4)], within, "hour", filters)
    assert (low.height, gap.height, high.height, last.height) == (0.25, 0, 1.0, 0)
    assert high.text == "2026-11-22 13:00: 4 at once, 0.50 erlangs"
    assert high.url is not None
    assert "direction=incoming&started_from=2026-11-22T12" in high.url
    assert "flow" not in high.url
    assert (gap.url, gap.at) == (None, "2026-11-22 12:00")


def test_long_ranges_are_drawn_by_kept_hours() -> None:
    lengths = [timedelta(hours=1), timedelta(hours=8), timedelta(days=7)]
    assert [load_unit(each) for each in lengths] == ["minute", "hour", "day"]


def test_a_queue_is_a_row_with_what_is_not_known() -> None:
    group = {
        "group": {"queue": None},
        "is_other": False,
        "counts": {"offered": 1200},
        "ratios": {"service_level": ratio(3, 4), "abandon_rate": ratio(0, 0)},
        "means": {"asa_s": ratio(90, 2), "aht_s": ratio(0, 0)},
        "percentiles": {"wait": percentiles(200)},
    }
    named, others = queue_rows([group, group | {"is_other": True}])
    assert (named.name, others.name) == (None, "all others")
    assert named.cells == ["1,200", "75.0 %", "–", "45 s", "–", "3:20"]


def test_commands_have_a_row_each_and_transfers_a_funnel() -> None:
    def operation(name: str, bridged: int, survived: int) -> dict[str, Any]:
        return {
            "group": {"operation": name},
            "is_other": False,
            "counts": {"decided": 10, "bridged": bridged, "survived": survived},
            "ratios": {
                "success_rate": ratio(9, 10),
                "late_rate": ratio(1, 10),
                "retry_rate": ratio(0, 10),
            },
            "percentiles": {"reaction": percentiles(0.1), "outcome": percentiles(None)},
        }

    groups = [operation("transfer", 4, 3), operation("speak", 0, 0)]
    assert command_rows(groups)[0].cells == ["10", "90.0 %", "10.0 %", "0.0 %", "100 ms", "–"]
    bridged, held = survival_of(groups)
    assert (bridged.count, bridged.share, held.count, held.share) == (4, None, 3, 0.75)
    assert survival_of(groups[1:]) == []


def test_webhooks_have_delay_duplicates_and_order() -> None:
    total = {
        "counts": {"received": 1000},
        "ratios": {
            "repeat_rate": ratio(10, 1000),
            "disorder_rate": ratio(20, 990),
            "retry_rate": ratio(0, 990),
        },
        "percentiles": {"delay": percentiles(1.5)},
    }
    assert webhook_tiles(total) == [
        ("Webhooks", "1,000", "received"),
        ("Delay p95", "1.5 s", "p50 1.5 s, p99 1.5 s"),
        ("Duplicates", "1.0 %", "10 / 1,000"),
        ("Out of order", "2.0 %", "20 / 990"),
        ("Sent again", "0.0 %", "0 / 990"),
    ]
