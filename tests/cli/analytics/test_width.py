"""`offhook analytics`: how wide a table is printed."""

import pytest
from rich.console import Console
from rich.table import Table

from offhook.cli.analytics.run import _width


@pytest.mark.parametrize("is_terminal", [False, True])
def test_a_heading_or_figure_of_two_words_is_whole(is_terminal: bool) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("answer p95", no_wrap=True)
    table.add_row("1.083 s")
    console = Console(width=5, force_terminal=is_terminal)
    assert _width(console, table) >= len("answer p95")
