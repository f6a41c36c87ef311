"""`offhook analytics`: how wide a table is printed."""

from zoneinfo import ZoneInfo

import pytest
from rich.console import Console
from rich.table import Table

from offhook.cli.analytics.run import COLUMNS, _table, _width


@pytest.mark.parametrize("is_terminal", [False, True])
def test_a_heading_or_figure_of_two_words_is_whole(is_terminal: bool) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("answer p95", no_wrap=True)
    table.add_row("1.083 s")
    console = Console(width=5, force_terminal=is_terminal)
    assert _width(console, table) >= len("answer p95")


def test_a_group_cannot_command_the_terminal() -> None:
    """A hangup cause or the name of a flow may be anything."""
    group = {"group": {"hangup_cause": "x\x1b]0;title\x07\n[bold]"}, "is_other": False}
    named = {**group, "start": "2026-11-27T00:00:00Z", "counts": {}, "ratios": {}, "durations": {}}
    console = Console(width=400)
    with console.capture() as captured:
        console.print(_table([named], COLUMNS["calls"][:1], ZoneInfo("UTC"), has_buckets=False))
    assert "x\ufffd]0;title\ufffd\ufffd[bold]" in captured.get()
    assert "\x1b]" not in captured.get()
