"""Text on lines of a width that breaks no word, so that ids can be copied. Pure."""

import re

from rich.cells import cell_len
from rich.text import Text


def hanging(prefix: str, text: Text, width: int | None, indent: str = "") -> list[Text]:
    """`prefix` and text, then lines that begin with `indent`; one line if there is no `width`.

    A word that is longer than a line has a line of its own, which the terminal breaks.
    """
    breaks: list[int] = []
    start, room = 0, (width or 0) - len(prefix)
    for word in re.finditer("[^ ]+", text.plain) if width is not None else ():
        is_too_long = cell_len(text.plain[start : word.end()]) > room
        if is_too_long and word.start() > start:
            breaks.append(word.start())
            start, room = word.start(), (width or 0) - len(indent)
    starts = [prefix, *[indent] * len(breaks)]
    parts = text.divide(breaks)
    for part in parts:
        part.rstrip()
    # Nor may rich break what is longer than the console.
    return [
        Text.assemble(start, part, no_wrap=True, overflow="ignore")
        for start, part in zip(starts, parts, strict=True)
    ]
