"""A session and its timeline → what its ladder shows, and where. Pure.

    columns     the first leg, the carrier, Offhook, the other legs; on a phone closer together, and
                without the carrier if nothing is drawn there
    rows        one for each record, in the order of the page; a row has one line or several
    lines       solid: a webhook; dotted: a command or its outcome; clock: a timer; mark: the rest
    bands       the states of each leg, down its column

No two lines are at the same height, so nothing is drawn over anything else. A record that is odd or
cannot be read is a mark with its type.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from offhook.api.console.ladder.lines import CARRIER, OFFHOOK, Line, LineReader
from offhook.api.console.rendering import shortened
from offhook.wording.durations import duration
from offhook.wording.moments import clock, instant, seconds_between
from offhook.wording.why import event_name

LEGS_MAX = 10
"""Columns for legs; what concerns further legs is drawn at the carrier."""

SLICE_ROWS = 20
"""Rows that a browser lays out at once: it skips the slices that are out of sight."""

GUTTER, TO_CARRIER, TO_OFFHOOK, TO_LEG, BETWEEN_LEGS = 178, 140, 250, 370, 180
RIGHT, RIGHT_WITHOUT_LEGS = 90, 390
ELAPSED = 66  # where the text ends
NARROW_GUTTER, NARROW_RIGHT, NARROW_BETWEEN_MIN, NARROW_ELAPSED = 70, 44, 84, 50
MARGIN = 8
HEAD, FOOT = 62, 18
CHAR = 7.2  # the usual width of a bold character in the drawing's size
NOTE_CHAR = 6.2
STATES = ("setup", "initiated", "answered", "bridged", "ended")
_STATE_AFTER = {
    "call.initiated": "initiated",
    "call.answered": "answered",
    "call.bridged": "bridged",
    "call.hangup": "ended",
}

_BEGUN = {
    "started": "initiated",
    "answered": "answered",
    "bridged": "bridged",
    "ended": "ended",
}
"""What a leg is once it has this time."""

Order = Literal["arrival", "true"]


@dataclass(frozen=True, kw_only=True)
class Column:
    """A vertical line. `key` is a call_control_id, or one of the two above."""

    key: str
    x: int
    title: str
    subtitle: str


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A line at its height; `x1` is where it begins, `x2` where it ends, the same for a mark.

    `within` is the width of a narrow drawing, in which the text of an arrow may be longer than the
    arrow, and that of a mark is on its wider side; 0 in a wide one.
    """

    line: Line
    y: int
    height: int
    x1: int
    x2: int
    within: int = 0

    @property
    def is_before(self) -> bool:
        """Whether the text of a mark ends at it."""
        return self.x1 == self.x2 and self.x1 - NARROW_ELAPSED > self.within - self.x1 > 0

    @property
    def text_x(self) -> int:
        """Where the text is: over the middle of an arrow, or beside a mark."""
        if self.x1 == self.x2:
            return self.x1 - 14 if self.is_before else self.x1 + 14
        return self._centre(len(self.text) * CHAR)

    @property
    def note_x(self) -> int:
        """Where the note is, as the text."""
        return self.text_x if self.x1 == self.x2 else self._centre(len(self.note) * NOTE_CHAR)

    def _centre(self, width: float) -> int:
        middle, half = (self.x1 + self.x2) // 2, int(width / 2)
        if not self.within:
            return middle
        return max(MARGIN + half, min(middle, self.within - MARGIN - half))

    @property
    def text(self) -> str:
        """As much of the line's text as fits over it, or beside a mark."""
        return shortened(self.line.text, self._chars_max)

    @property
    def note(self) -> str:
        """As much of its note as fits, which is smaller."""
        return shortened(self.line.note, self._chars_max + 4) if self.line.note else ""

    @property
    def is_cut(self) -> bool:
        """Whether some of it did not fit."""
        return (self.text, self.note) != (self.line.text, self.line.note)

    @property
    def _chars_max(self) -> int:
        if self.x1 != self.x2:
            room = self.within or abs(self.x2 - self.x1)
        elif self.within:
            room = max(self.x1 - NARROW_ELAPSED, self.within - self.x1) - MARGIN
        else:
            room = TO_LEG - 8
        return max(8, int((room - 2 * MARGIN) / CHAR))


@dataclass(frozen=True, kw_only=True)
class Row:
    """A record. `elapsed` counts from the first row; `at` is the time that the order goes by."""

    seq: int
    name: str
    type: str
    at: str
    elapsed: str
    y: int
    height: int
    lines: Sequence[Placed]

    @property
    def full(self) -> str:
        """All that it says, in one text."""
        lines = (each.line for each in self.lines)
        return "; ".join(f"{each.text} · {each.note}" if each.note else each.text for each in lines)

    @property
    def is_cut(self) -> bool:
        """Whether the drawing has less of it."""
        return any(each.is_cut for each in self.lines)


@dataclass(frozen=True, kw_only=True)
class Band:
    """A state of a leg, from one height to another."""

    key: str
    x: int
    state: str
    y1: int
    y2: int


@dataclass(frozen=True, kw_only=True)
class Slice:
    """A part of the picture over its whole width; a band may begin above it, or end below."""

    top: int
    bottom: int
    rows: Sequence[Row]
    bands: Sequence[Band]

    @property
    def height(self) -> int:
        """In pixels."""
        return self.bottom - self.top


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """The whole picture, in pixels."""

    columns: Sequence[Column]
    rows: Sequence[Row]
    bands: Sequence[Band]
    width: int
    height: int
    is_narrow: bool = False

    @property
    def elapsed_x(self) -> int:
        """Where the time since the first row ends."""
        return NARROW_ELAPSED if self.is_narrow else ELAPSED

    @property
    def slices(self) -> Sequence[Slice]:
        """The picture from top to bottom."""
        starts = range(0, max(1, len(self.rows)), SLICE_ROWS)
        parts = [self.rows[start : start + SLICE_ROWS] for start in starts]
        tops = [0, *(part[0].y for part in parts[1:])]
        return [
            Slice(
                top=top,
                bottom=bottom,
                rows=part,
                bands=[band for band in self.bands if band.y1 < bottom and band.y2 > top],
            )
            for part, top, bottom in zip(parts, tops, [*tops[1:], self.height], strict=True)
        ]


def draw(
    detail: Mapping[str, Any],
    timeline: Sequence[Mapping[str, Any]],
    order: Order = "arrival",
    *,
    has_earlier: bool = False,
    narrow: int | None = None,
) -> Drawing:
    """The ladder of these records; `detail` is the session at the last of them, or later.

    `has_earlier` says that the session has records before the first of these. `narrow` is the width
    of a small screen, in which up to four columns fit.
    """
    reader = LineReader(
        timeline, is_arrival=order == "arrival", commands=detail.get("commands", ())
    )
    ordered = in_order(timeline, order)
    read = [(entry, reader.lines_of(entry)) for entry in ordered]
    columns = _columns(detail["legs"], timeline)
    if narrow is not None:
        columns = _closer(columns, [line for _, lines in read for line in lines], narrow)
    at = {column.key: column.x for column in columns}
    width = columns[-1].x + (RIGHT if columns[-1].key != OFFHOOK else RIGHT_WITHOUT_LEGS)
    if narrow is not None:
        width = columns[-1].x + NARROW_RIGHT
    states = _States(at)
    rows: list[Row] = []
    y = HEAD
    start = time_of(ordered[0], order) if ordered else ""
    if has_earlier:
        states.begin(detail["legs"], start)
        start = detail["session"]["started_at"] or start
    for entry, read_lines in read:
        lines = []
        top = y
        for line in read_lines:
            x1, x2 = (at.get(key, at.get(CARRIER, 0)) for key in (line.start, line.end))
            if line.is_mark:
                x1 = x2 = at[OFFHOOK]
            within = 0 if narrow is None else width
            lines.append(Placed(line=line, y=y, height=line.height, x1=x1, x2=x2, within=within))
            states.see(line, y + line.height // 2)
            y += line.height
        moment = time_of(entry, order)
        rows.append(
            Row(
                seq=entry["seq"],
                name=event_name(entry),
                at=clock(moment),
                elapsed=duration(seconds_between(start, moment)),
                type=str(entry["type"]),
                y=top,
                height=y - top,
                lines=lines,
            )
        )
    return Drawing(
        columns=columns,
        rows=rows,
        bands=states.bands(y),
        width=width,
        height=y + FOOT,
        is_narrow=narrow is not None,
    )


def in_order(timeline: Sequence[Mapping[str, Any]], order: Order) -> list[Mapping[str, Any]]:
    """As the records arrived, or by the time at which each happened.

    A webhook happened at `occurred_at` by the carrier's clock, the rest when it was stored. What
    was decided on a webhook follows it, whatever the clocks say.
    """
    if order == "arrival":
        return list(timeline)
    times: dict[int, float] = {}
    for entry in timeline:
        cause = entry["fields"].get("cause_seq")
        earliest = times.get(cause, 0.0) if isinstance(cause, int) else 0.0
        times[entry["seq"]] = max(earliest, instant(time_of(entry, order)) or 0.0)
    return sorted(timeline, key=lambda entry: times[entry["seq"]])


def time_of(entry: Mapping[str, Any], order: Order) -> str:
    """The time that counts in this order."""
    occurred = entry["fields"].get("occurred_at") if order == "true" else None
    return str(entry["stored_at"] if instant(occurred) is None else occurred)


def _columns(
    legs: Sequence[Mapping[str, Any]], timeline: Sequence[Mapping[str, Any]]
) -> list[Column]:
    known = {leg["call_control_id"]: leg for leg in legs}
    for entry in timeline:
        leg = entry["fields"].get("call_control_id")
        if entry["type"] == "WebhookReceived" and isinstance(leg, str) and leg:
            known.setdefault(leg, {"call_control_id": leg})
    shown = list(known.values())[:LEGS_MAX]
    x = GUTTER
    columns = []
    for leg in shown[:1]:
        columns.append(_leg_column(leg, x, is_first=True))
        x += TO_CARRIER
    columns.append(Column(key=CARRIER, x=x, title="Carrier", subtitle="Telnyx"))
    x += TO_OFFHOOK
    columns.append(Column(key=OFFHOOK, x=x, title="Offhook", subtitle="flow and API"))
    x += TO_LEG
    for leg in shown[1:]:
        columns.append(_leg_column(leg, x, is_first=False))
        x += BETWEEN_LEGS
    return columns


def _closer(columns: Sequence[Column], lines: Sequence[Line], width: int) -> list[Column]:
    """The columns over this width; the carrier only if something is drawn there."""
    keys = {column.key for column in columns} - {CARRIER}
    drawn = [line for line in lines if not line.is_mark]
    is_used = any(line.start not in keys or line.end not in keys for line in drawn)
    kept = [column for column in columns if is_used or column.key != CARRIER]
    room = width - NARROW_GUTTER - NARROW_RIGHT
    step = max(NARROW_BETWEEN_MIN, room // max(1, len(kept) - 1))
    return [replace(each, x=NARROW_GUTTER + step * at) for at, each in enumerate(kept)]


def _leg_column(leg: Mapping[str, Any], x: int, *, is_first: bool) -> Column:
    incoming = leg.get("direction") == "incoming"
    number = leg.get("from_number") if incoming else leg.get("to_number")
    title = "Caller" if incoming and is_first else "Incoming leg" if incoming else "Called"
    if leg.get("direction") is None:
        title = "Leg"
    return Column(
        key=leg["call_control_id"],
        x=x,
        title=title,
        subtitle=number or leg["call_control_id"][:14],
    )


@dataclass
class _States:
    """Each leg's states as the lines go by; a late event never takes one back."""

    at: Mapping[str, int]
    _changes: dict[str, list[tuple[str, int]]] = field(default_factory=dict)

    def begin(self, legs: Sequence[Mapping[str, Any]], moment: str) -> None:
        """With what each leg is at the first of the records."""
        for leg in legs:
            since = {name: seconds_between(leg[f"{name}_at"], moment) for name in _BEGUN}
            passed = [name for name, ago_s in since.items() if ago_s is not None and ago_s >= 0]
            if passed and leg["call_control_id"] in self.at:
                self._changes[leg["call_control_id"]] = [(_BEGUN[passed[-1]], HEAD)]

    def see(self, line: Line, y: int) -> None:
        leg = line.about
        if leg not in self.at or leg in (CARRIER, OFFHOOK):
            return
        state = _STATE_AFTER.get(line.event) or "setup"
        changes = self._changes.setdefault(leg, [])
        if not changes or STATES.index(state) > STATES.index(changes[-1][0]):
            changes.append((state, y))

    def bands(self, bottom: int) -> list[Band]:
        found = []
        for leg, changes in self._changes.items():
            ends = [y for _, y in changes[1:]] + [bottom]
            for (state, y1), y2 in zip(changes, ends, strict=True):
                stop = min(y2, y1 + 8) if state == "ended" else y2
                found.append(Band(key=leg, x=self.at[leg], state=state, y1=y1, y2=stop))
        return found
