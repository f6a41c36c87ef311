"""Cells of a CSV file: what a spreadsheet would run, and what has to stay as it is."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.api.own.csv_cells import cell_of, harmless

SIGNS = "=+-@"


@pytest.mark.parametrize(
    "text",
    ["+12025550101", "12025550101", "-1.5", "sip:+1@example.com", "anonymous", "a=b", "", "1+1"],
)
def test_what_runs_nothing_stays_as_it_is(text: str) -> None:
    assert harmless(text) == text


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+1+1", "'+1+1"),
        ("-2+3", "'-2+3"),
        ("@SUM(1)", "'@SUM(1)"),
        ("\t=1", "'\t'=1"),
        ("\r=1", "'\r'=1"),
        ("\ttext", "'\ttext"),
        ("  =1", "'  =1"),
        ("a;=1;+2", "a;'=1;'+2"),
        ("a\n@b", "a\n'@b"),
        ("＝1+1", "'＝1+1"),  # full-width
    ],
)
def test_a_formula_gets_an_apostrophe(text: str, cell: str) -> None:
    assert harmless(text) == cell


@given(st.text(alphabet=[*SIGNS, *"\t\r\n; 1.a'"], max_size=12))
def test_no_part_of_a_text_begins_a_formula(text: str) -> None:
    cell = harmless(text)
    assert cell.replace("'", "") == text.replace("'", "")
    if cell.lstrip("+-").replace(".", "", 1).isdigit():
        return
    for part in cell.replace("\r", ";").replace("\n", ";").replace("\t", ";").split(";"):
        assert not part.lstrip().startswith(tuple(SIGNS))


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (None, ""),
        (True, "true"),
        (7, "7"),
        (Decimal("0.0125"), "0.0125"),
        (Decimal("-0.5"), "-0.5"),
        (datetime(2026, 11, 22, 10, 0, 0, 250, tzinfo=UTC), "2026-11-22T10:00:00.000250Z"),
        ([{"recording_id": "r"}], '[{"recording_id":"r"}]'),
    ],
)
def test_values_are_written_as_text(value: Any, cell: str) -> None:
    assert cell_of(value) == cell
