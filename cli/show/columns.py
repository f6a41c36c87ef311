"""A session's records in columns, and elapsed times. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from rich.text import Text

from offhook.cli.show.hanging import hanging
from offhook.events import Record
from offhook.position import position_text

NARROW = 60
"""If fewer columns are left of a line than this, what follows it begins below the record's time."""


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Lines of records: seq, time of day, time since the first record, side, and what it says."""

    seq: int  # widths
    elapsed: int
    width: int | None
    first_at: datetime

    @classmethod
    def of(cls, records: Sequence[Record], width: int | None) -> "Columns":
        """As wide as the records need. There is at least one record."""
        first_at = records[0].stored_at
        return cls(
            seq=max(len("seq"), *(len(position_text(each.seq)) for each in records)),
            elapsed=max(len(elapsed(each.stored_at, first_at)) for each in records),
            width=width,
            first_at=first_at,
        )

    def of_day(self, day: str) -> list[Text]:
        """The line above the first record of a day."""
        prefix = self._prefix("seq", day, "", "")
        note = Text("times are UTC, + since the first record", "dim")
        return hanging(prefix, note, self.width)

    def of_record(self, record: Record, said: Text, state: Text) -> list[Text]:
        """A record, with the session after it on lines of their own."""
        at = f"{record.stored_at:%H:%M:%S.%f}"[:-3]
        since = elapsed(record.stored_at, self.first_at)
        prefix = self._prefix(position_text(record.seq), at, since, record.side)
        is_narrow = self.width is not None and self.width - len(prefix) < NARROW
        indent = " " * (self.seq + 2 if is_narrow else len(prefix))
        first = hanging(prefix, said, self.width, indent)
        return [*first, *hanging(indent, state, self.width, indent)]

    def _prefix(self, seq: str, at: str, since: str, side: str) -> str:
        return f"{seq:>{self.seq}}  {at:<12}  {since:>{self.elapsed}}  {side:<3}  "


def elapsed_from(text: str) -> timedelta | None:
    """What `elapsed` writes, or `+90s`, `+1.5m`, `+250ms`; None if it is neither.

    A record that is printed with that time is not after it: half of what rounding took is added.
    """
    found = _ELAPSED.fullmatch(text)
    if found is None:
        return None
    if (unit := found["unit"]) is not None:
        length = timedelta(**{_UNITS[unit]: float(found["count"])})
    else:
        seconds = 0.0
        for part in text[1:].split(":"):
            seconds = seconds * 60 + float(part)
        length = timedelta(seconds=seconds)
    return length + _ROUNDED


_ELAPSED = re.compile(
    r"\+((?P<count>[0-9]{1,6}(\.[0-9]{1,6})?)(?P<unit>ms|s|m|h|d)"
    r"|([0-9]{1,4}:)?([0-5]?[0-9]:)?[0-9]{1,6}(\.[0-9]{1,6})?)"
)
_UNITS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_ROUNDED = timedelta(microseconds=500)


def elapsed(at: datetime, since: datetime) -> str:
    """`+0.067`, `+1:05.123`, `+2:01:05.123`: seconds, minutes and hours."""
    milliseconds = round((at - since).total_seconds() * 1000)
    seconds, fraction = divmod(abs(milliseconds), 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    sign = "-" if milliseconds < 0 else "+"
    if hours:
        return f"{sign}{hours}:{minutes:02}:{seconds:02}.{fraction:03}"
    if minutes:
        return f"{sign}{minutes}:{seconds:02}.{fraction:03}"
    return f"{sign}{seconds}.{fraction:03}"
