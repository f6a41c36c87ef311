"""How durations and ages are written."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.wording.durations import age, duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.0042, "4 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1 s"),
        (4.018, "4.02 s"),
        (12.34, "12.3 s"),
        (45.0, "45 s"),
        (59.94, "59.9 s"),
        (59.96, "1:00"),
        (185.4, "3:05"),
        (3_599.7, "1:00:00"),
        (93_723, "26:02:03"),
        (-0.5, "-500 ms"),
        (-65, "-1:05"),
    ],
)
def test_a_duration_is_written_in_one_way(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_missing_duration_is_what_the_caller_says() -> None:
    assert (duration(None), duration(None, "–")) == ("", "–")


@given(st.floats(0, 10_000_000))
def test_a_duration_reads_back_within_half_a_per_cent_or_half_a_millisecond(seconds: float) -> None:
    text = duration(seconds)
    if milliseconds := re.fullmatch(r"(\d+) ms", text):
        assert abs(float(milliseconds[1]) / 1000 - seconds) < 0.000_51
        return
    if below_a_minute := re.fullmatch(r"([\d.]+) s", text):
        read = float(below_a_minute[1])
    else:
        assert re.fullmatch(r"(\d+:[0-5]\d|\d):[0-5]\d|[1-5]\d:[0-5]\d", text)
        read = 0.0
        for part in text.split(":"):
            read = 60 * read + float(part)
    assert abs(read - seconds) <= 0.0051 * seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.9, "0 s"), (59.99, "59 s"), (60, "1:00"), (172_799, "47:59:59"), (172_800, "2 days")],
)
def test_an_age_is_what_has_passed(seconds: float, text: str) -> None:
    assert age(seconds) == text
