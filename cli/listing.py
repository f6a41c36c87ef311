"""Rows of texts for a terminal or a pipe.

No text is ever broken, so that an id can be copied: what does not fit is moved to the next line as
a whole, and what is longer than a line is left to the terminal.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.text import Text

GAP = "  "


def print_listing(console: Console, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print them, the headings in bold."""
    heading, *lines = columns(headings, rows, console.width)
    console.print(Text(heading, style="bold"), soft_wrap=True)
    for line in lines:
        console.print(Text(line), soft_wrap=True)


def columns(headings: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """The headings and each row: in columns if they fit into the width, else as `filled` lines."""
    table = [headings, *rows]
    widths = [max(len(row[at]) for row in table) for at in range(len(headings))]
    lines = [
        GAP.join(text.ljust(size) for text, size in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
    if max(map(len, lines)) <= width:
        return lines
    return ["\n".join(filled([text for text in row if text], width)) for row in table]


def filled(texts: Sequence[str], width: int) -> list[str]:
    """The texts on as few lines as hold them; a text that is longer than a line has its own."""
    lines = [texts[0]]
    for text in texts[1:]:
        longer = lines[-1] + GAP + text
        if len(longer) <= width:
            lines[-1] = longer
        else:
            lines.append((GAP + text) if len(text) + len(GAP) <= width else text)
    return lines


def print_timed(console: Console, text: str) -> None:
    """Print it after the time of day. `Console.log` would wrap it, and fill the line of a pipe."""
    time = f"[{datetime.now(UTC).astimezone():%H:%M:%S}] "
    console.print(Text.assemble((time, "log.time"), text), soft_wrap=True)
