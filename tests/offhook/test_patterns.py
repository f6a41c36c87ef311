"""Search patterns: what they match, and what is no pattern."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.patterns import (
    PATTERN_CHARS_MAX,
    PATTERNS_MAX,
    PatternInvalid,
    Patterns,
    number_patterns_in,
    patterns_in,
)

values = st.text("+0123456789abc%_\\ä", min_size=1, max_size=12)
numbers = st.from_regex(r"[1-9][0-9]{6,14}", fullmatch=True)


@given(values, values)
def test_a_value_a_start_and_an_end_match_what_they_say(wanted: str, value: str) -> None:
    assert patterns_in(wanted).match(value) is (value == wanted)
    assert patterns_in(f"{wanted}*").match(value) is value.startswith(wanted)
    assert patterns_in(f"*{wanted}").match(value) is value.endswith(wanted)
    for text in (wanted, f"{wanted}*", f"*{wanted}"):
        assert patterns_in(f"!{text}").match(value) is not patterns_in(text).match(value)


@given(st.lists(values, min_size=1, max_size=4), st.lists(values, max_size=4), values)
def test_one_has_to_match_and_none_that_is_negated(
    wanted: list[str], unwanted: list[str], value: str
) -> None:
    text = ",".join([*(f"{each}*" for each in wanted), *(f"!*{each}" for each in unwanted)])
    expected = any(map(value.startswith, wanted)) and not any(map(value.endswith, unwanted))
    assert patterns_in(text).match(value) is expected


@given(numbers, st.integers(1, 7))
def test_a_number_is_found_in_every_spelling(number: str, length: int) -> None:
    shown = f"+{number[0]} ({number[1:4]}) {number[4:]}"
    for text in (f"+{number}", number, shown, f" {number}"):
        assert all(map(number_patterns_in(text).match, (f"+{number}", number)))
    for text in (f"+{number[:length]}*", f"{number[:length]}*", f"*{number[-length:]}"):
        assert all(map(number_patterns_in(text).match, (f"+{number}", number)))
    for text in (f"!+{number[:length]}*", f"!{number}"):
        assert not any(map(number_patterns_in(text).match, (f"+{number}", number)))


def test_no_value_is_what_a_negation_leaves() -> None:
    assert patterns_in("!busy").match(None)
    assert not patterns_in("busy").match(None)
    assert not patterns_in("x*").match()


@pytest.mark.parametrize("read", [patterns_in, number_patterns_in])
def test_a_star_is_any_value_and_its_negation_none(read: Callable[[str], Patterns]) -> None:
    assert read("*").match("x")
    assert not read("*").match(None)
    assert read("!*").match(None)
    assert not read("!*").match("x")


def test_one_of_several_values_is_enough_and_one_unwanted_too_many() -> None:
    wanted = patterns_in("a*,!b")
    assert wanted.match("ab", None)
    assert not wanted.match("ab", "b")


@pytest.mark.parametrize("read", [patterns_in, number_patterns_in])
@pytest.mark.parametrize(
    "text",
    [
        *("", "!", "**", ",", "a,", ",a", "a,,b", "a*b", "*a*", "a**", "**a", " "),
        "x" * (PATTERN_CHARS_MAX + 1),
        ",".join("x" * (PATTERNS_MAX + 1)),
    ],
)
def test_what_is_no_pattern_is_refused(read: Callable[[str], Patterns], text: str) -> None:
    with pytest.raises(PatternInvalid, match="expected"):
        read(text)


@given(st.text(max_size=30))
def test_no_text_raises_anything_else(text: str) -> None:
    for read in (patterns_in, number_patterns_in):
        with suppress(PatternInvalid):
            read(text)
