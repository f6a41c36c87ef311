"""Which records of the log are meant: by time, position, session, number and event type. Pure."""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec

from offhook.carrier_events import BY_TYPE
from offhook.codec.facts import FACTS, decode
from offhook.errors import RecordUnreadable, SelectionInvalid, shown
from offhook.events import WebhookReceived
from offhook.history.lines import HistoryRecord
from offhook.phone_numbers import number_key
from offhook.position import position_text


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Records that meet every condition; without conditions all are meant.

    `numbers` are those of a session's legs, and select all of its records. `types` are the
    carrier's event types and the log's record types (`Decided`); they select single records.
    """

    since: datetime | None = None  # stored then or later, by the log's clock
    until: datetime | None = None  # stored before
    first_position: int | None = None  # inclusive, as is the last
    last_position: int | None = None
    sessions: Sequence[str] = ()
    numbers: Sequence[str] = ()
    types: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.since and self.until and self.since >= self.until:
            raise SelectionInvalid(
                f"nothing is from {self.since.isoformat()} until {self.until.isoformat()}:"
                " the first must be the earlier one"
            )
        first, last = self.first_position, self.last_position
        if first is not None and last is not None and first > last:
            raise SelectionInvalid(
                f"nothing is from position {position_text(first)} to {position_text(last)}:"
                " the first must not be above the last"
            )
        for number in self.numbers:
            if not _NUMBER.fullmatch(number_key(number)):
                raise SelectionInvalid(
                    f"number {shown(number)} is not E.164; expected for example +12025550100"
                )
        for name in self.types:
            _check_type(name)

    @property
    def unknown_types(self) -> Sequence[str]:
        """Types that this version does not know: the carrier may have added one, or it is wrong."""
        return [name for name in self.types if name not in FACTS and name not in BY_TYPE]

    def takes_type_of(self, record: HistoryRecord) -> bool:
        """Whether the record is of a selected type; every one is if none was selected."""
        if not self.types or record.type in self.types:
            return True
        if record.type != WebhookReceived.__name__:
            return False
        try:
            fact = decode(record.type, record.version, record.body)
        except RecordUnreadable:
            return False
        return isinstance(fact, WebhookReceived) and fact.event.event_type in self.types

    def takes(self, record: HistoryRecord) -> bool:
        """Whether a record in a file is selected. Numbers are not looked at: a view has those."""
        at, position = record.stored_at, record.position
        return (
            (self.since is None or at >= self.since)
            and (self.until is None or at < self.until)
            and (self.first_position is None or position >= self.first_position)
            and (self.last_position is None or position <= self.last_position)
            and (not self.sessions or record.session_id in self.sessions)
            and self.takes_type_of(record)
        )


class Unfound:
    """What a selection names and no record has had yet: unknown types, and sessions in files."""

    def __init__(self, selection: Selection, *, sessions: Sequence[str] = ()) -> None:
        self._types = {name: Selection(types=(name,)) for name in selection.unknown_types}
        self._sessions = set(sessions)

    def see(self, record: HistoryRecord) -> None:
        """Note a record that is selected."""
        self._sessions.discard(record.session_id)
        for name in [name for name, only in self._types.items() if only.takes_type_of(record)]:
            del self._types[name]

    def require_nothing(self, where: str = "") -> None:
        """Raise SelectionInvalid if a session or an unknown type was not seen."""
        if self._sessions:
            raise SelectionInvalid(f"session {shown(min(self._sessions))} has no records{where}")
        for name in self._types:
            raise SelectionInvalid(
                f"no selected record is of type {shown(name)}, which is no event type that this"
                f" version knows{_meant(name)}"
            )


def moment_from(text: str, now: datetime) -> datetime:
    """A time as RFC 3339, or how long ago: `90s`, `15m`, `2h`, `7d`. Raises SelectionInvalid."""
    if (ago := _AGO.fullmatch(text.strip())) is not None:
        try:
            return now - timedelta(**{_UNITS[ago["unit"]]: int(ago["count"])})
        except OverflowError:
            pass
    else:
        try:
            return msgspec.convert(text.strip(), _AWARE).astimezone(UTC)
        except (msgspec.ValidationError, OverflowError):
            pass
    raise SelectionInvalid(
        f"{shown(text)} is not a time; expected RFC 3339, as 2026-11-22T10:00:00Z, or how long ago,"
        " as 90s, 15m, 2h, 7d"
    )


_AWARE = Annotated[datetime, msgspec.Meta(tz=True)]
_AGO = re.compile(r"(?P<count>[0-9]{1,9})(?P<unit>[smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_NUMBER = re.compile(r"[0-9]{7,15}")
_TYPE = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)+")


def _check_type(name: str) -> None:
    # The carrier adds event types: one that is not known may be stored even so.
    if name in FACTS or name in BY_TYPE or _TYPE.fullmatch(name):
        return
    raise SelectionInvalid(
        f"type {shown(name)} is neither an event type, as call.hangup, nor a record type, as"
        f" Decided{_meant(name)}"
    )


def _meant(name: str) -> str:
    near = difflib.get_close_matches(name, [*FACTS, *BY_TYPE], n=1)
    return f"; did you mean {near[0]}?" if near else ""
