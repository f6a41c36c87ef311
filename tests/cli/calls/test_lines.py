"""Calls as lines of text: a line each where it fits, and nothing is broken where it does not."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from offhook.cli.calls.lines import COLUMNS, WIDE, CallLines
from offhook.cli.listing import columns, filled

SESSION_ID = "d93a1f4e-cb4f-11f0-a8c1-02420aef98a0"


def session(**fields: Any) -> dict[str, Any]:
    return {
        "session_id": SESSION_ID,
        "status": "ended",
        "started_at": "2026-11-22T10:00:00.5+01:00",
        "answered_at": None,
        "ended_at": "2026-11-22T09:01:30.5Z",
        "from_number": "+12025550101",
        "to_number": "+12025550102",
        "hangup_cause": "not_found",
        "sip_hangup_cause": "404",
        "hangup_source": "callee",
        "flow": "frontdesk",
        "flow_version": "7",
        "parked": False,
        "failed": True,
        "failed_commands": None,
        "flow_raised_at": None,
        "first_stored_at": "2026-11-22T09:00:01Z",
        "fold_error": None,
        "end_inferred": False,
        "leg_count": 1,
        "legs": [],
        "phase": None,
        **fields,
    }


def printed(width: int | None, **fields: Any) -> list[str]:
    """What a terminal of this width gets, or a pipe."""
    console = Console(width=width or 30, force_terminal=False)
    with console.capture() as captured:
        console.print(CallLines(width=width).lines_of(session(**fields)), soft_wrap=True)
    return captured.get().splitlines()


def test_a_wide_terminal_and_a_pipe_get_a_line_for_each_call() -> None:
    (line,) = printed(None)
    assert printed(WIDE) == [line]
    assert re.split(r" {2,}", line) == [
        "2026-11-22 09:00:00",
        "failed",
        "+12025550101 → +12025550102",
        "1:30",
        "not_found 404",
        "frontdesk 7",
        SESSION_ID,
    ]
    assert CallLines().heading() is None
    heading = CallLines(width=WIDE).heading()
    assert heading is not None
    assert heading.plain.index("session") == line.index(SESSION_ID)
    assert len(line) == WIDE


def test_what_else_went_wrong_stands_beside_the_cause() -> None:
    refused = {"operation": "transfer", "reason": "refused", "http_status": 422, "count": 1}
    (line,) = printed(None, failed_commands=[refused])
    assert "not_found 404; transfer refused 422  frontdesk 7" in line


@pytest.mark.parametrize("width", [100, 80, 60, 40, 20])
def test_a_narrow_terminal_gets_whole_ids_and_numbers(width: int) -> None:
    lines = printed(width, flow=None, flow_version=None)
    assert len(lines) > 1
    assert lines[-1].strip() == SESSION_ID or lines[-1].endswith(f"  {SESSION_ID}")
    assert any("+12025550101 → +12025550102" in line for line in lines)
    assert "–" not in "".join(lines)
    for line in lines:
        assert len(line) <= width or "  " not in line


@given(st.lists(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1), min_size=1))
def test_no_text_is_broken(texts: list[str]) -> None:
    for width in (10, 40):
        lines = filled(texts, width)
        assert [piece for line in lines for piece in line.split()] == texts
        assert all(len(line) <= width or line in texts for line in lines)


def test_a_narrow_terminal_has_a_heading_too() -> None:
    heading = CallLines(width=40).heading()
    assert heading is not None
    names = [name for name, _ in COLUMNS]
    assert [each for line in heading.plain.splitlines() for each in _texts(line)] == names


def test_a_listing_has_columns_if_they_fit() -> None:
    names, row = ("id", "number", "note"), ("v3:abc", "+12025550101", "")
    assert columns(names, [row], 40) == [
        "id      number        note",
        "v3:abc  +12025550101",
    ]
    assert columns(names, [row], 15) == ["id  number\n  note", "v3:abc\n  +12025550101"]


def _texts(line: str) -> list[str]:
    return re.split(r" {2,}", line.strip())


def test_a_call_that_is_up_shows_its_phase() -> None:
    (line,) = printed(
        None,
        status="active",
        failed=False,
        ended_at=None,
        hangup_cause=None,
        sip_hangup_cause=None,
        phase={"name": "talking", "since": None},
    )
    assert re.split(r" {2,}", line)[1::2] == ["talking", "–", "frontdesk 7"]


def test_a_callers_name_cannot_command_the_terminal() -> None:
    (line,) = printed(None, from_number="\x1b[31mred\x07\n")
    assert "\x1b" not in line
    assert "�[31mred�� → +12025550102" in line


def test_every_column_is_as_wide_as_its_name() -> None:
    assert all(len(name) <= width for name, width in COLUMNS)
