"""Calls as lines of text, a line for each where it fits. Pure.

No id or number is ever broken: what does not fit is moved to the next line as a whole.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.text import Text

from offhook.cli.listing import GAP, filled
from offhook.cli.printable import printable
from offhook.wording.durations import duration
from offhook.wording.found_row import FoundRow, found_row

COLUMNS = (
    ("started (UTC)", 19),
    ("outcome", 12),
    ("from → to", 27),
    ("lasted", 8),
    ("cause", 21),
    ("flow", 20),
    ("session", 36),
)
"""Headings and widths; a longer text pushes what follows it."""

WIDE = sum(width + len(GAP) for _, width in COLUMNS) - len(GAP)
"""Below this width a call takes several lines."""

STYLES = {
    "failed": "red",
    "parked": "red",
    "unreadable": "red",
    "no call": "red",
    "not answered": "yellow",
    "waiting": "yellow",
    "answered": "green",
    "talking": "green",
    "setting up": "cyan",
}
"""By outcome."""


@dataclass(frozen=True, kw_only=True)
class CallLines:
    """How calls are printed: in columns, or, if `width` is below WIDE, on several lines."""

    width: int | None = None  # None: not a terminal

    @property
    def is_wide(self) -> bool:
        """Whether there is a line for each call."""
        return self.width is None or self.width >= WIDE

    def heading(self) -> Text | None:
        """The names of the columns; None if this is not a terminal, as scripts read calls only."""
        if self.width is None:
            return None
        names = [name for name, _ in COLUMNS]
        text = _line(names) if self.is_wide else "\n".join(filled(names, self.width))
        return Text(text, style="dim")

    def lines_of(self, session: Mapping[str, Any]) -> Text:
        """A session as the API lists it with include=legs."""
        texts = texts_of(session)
        if self.is_wide:
            shown = Text(_line(texts))
        else:
            assert self.width is not None
            shown = Text("\n".join(filled([text for text in texts if text != "–"], self.width)))
        if texts[1] in STYLES:
            shown.highlight_words([texts[1]], STYLES[texts[1]])
        return shown


def texts_of(session: Mapping[str, Any]) -> Sequence[str]:
    """The texts of the columns."""
    row = found_row(session)
    texts = (
        _moment(row.started_at),
        row.outcome_words,
        f"{row.from_number} → {row.to_number}",
        duration(row.lasted_s, "–"),
        _causes(row),
        " ".join(each for each in (row.flow, row.flow_version) if each) or "–",
        row.session_id,
    )
    return [printable(text) for text in texts]


def _causes(row: FoundRow) -> str:
    """The cause that is shown, then what else went wrong."""
    cause = " ".join(each for each in (row.cause, row.sip) if each)
    return "; ".join(filter(None, [cause, *(each.words for each in row.problems)])) or "–"


def _line(texts: Sequence[str]) -> str:
    padded = (
        text.rjust(width) if name == "lasted" else text.ljust(width)
        for text, (name, width) in zip(texts, COLUMNS, strict=True)
    )
    return GAP.join(padded).rstrip()


def _moment(text: str | None) -> str:
    if not text:
        return "–"
    return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
