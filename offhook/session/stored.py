"""A session as bytes and back, part by part: what a snapshot of it consists of. Pure.

    the session without what grows ──▶ its commands ──▶ facts ──▶ decisions ──▶ timers

A part has at most ENTRIES_MAX entries, so that none takes long. The bytes have no version: they are
read only by the code that wrote them, which whoever keeps them has to make sure of.
"""

from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Any, TypeVar

import msgspec

from offhook.carrier_events import BY_TYPE, CarrierEvent
from offhook.events import (
    CommandFailed,
    CommandSucceeded,
    IssuedCommand,
    PlacedLeg,
    Record,
    SessionParked,
    SessionResumed,
    UnknownEvent,
)
from offhook.session.conference import Conference, Recording
from offhook.session.folding import altered
from offhook.session.leg import Leg
from offhook.session.persistent import LongMap, LongSet, map_of, set_of
from offhook.session.queue_visits import QueueEvent
from offhook.session.session import CommandState, Lease, Session
from offhook.session.timers import TimerState

ENTRIES_MAX = 250
"""Of a part: they take about a millisecond."""


def parts_of(session: Session) -> Iterator[bytes]:
    """The session's parts, in order; `StoredSession` adds them up."""
    grown = {name: getattr(session, name) for name in _GROWING}
    yield _encoded("", altered(session, **dict.fromkeys(grown, ())))
    for name, held in grown.items():
        if isinstance(held, AbstractSet):
            members = iter(held)
            while some := list(islice(members, ENTRIES_MAX)):
                yield _encoded(name, some)
        else:
            entries = iter((held.copied() if isinstance(held, LongMap) else held).items())
            while more := dict(islice(entries, ENTRIES_MAX)):
                yield _encoded(name, more)


class StoredSession:
    """A session that is read again, part by part.

    Both methods raise msgspec.DecodeError, KeyError, TypeError or ValueError for bytes that are not
    the parts of a session.
    """

    def __init__(self) -> None:
        self._head: Session | None = None
        self._maps: dict[str, dict[str, Any]] = {name: {} for name in _GROWING if name != "decided"}
        self._decided: set[int] = set()

    def add(self, part: bytes) -> None:
        """Add the next part."""
        name, value = msgspec.msgpack.decode(part)
        if self._head is None:
            self._head = _session(value)
        elif name == "decided":
            self._decided.update(value)
        else:
            read = _GROWING[name]
            entries = value if read is None else {key: read(each) for key, each in value.items()}
            self._maps[name].update(entries)

    def session(self) -> Session:
        """What the parts added up to. None must be added after it."""
        if self._head is None:
            raise ValueError("a session has a first part")
        grown = {name: map_of(entries) for name, entries in self._maps.items()}
        return altered(self._head, decided=set_of(self._decided), **grown)


def _encoded(name: str, value: Any) -> bytes:
    return _ENCODER.encode((name, value))


def _plain(value: Any) -> Any:
    """What msgspec does not know."""
    if isinstance(value, LongMap):
        return value.copied()
    if isinstance(value, LongSet):
        return list(value)
    raise TypeError(f"{type(value).__name__} is not of a session")


_ENCODER = msgspec.msgpack.Encoder(enc_hook=_plain)

Kind = TypeVar("Kind")


def _new(kind: type[Kind], fields: dict[str, Any]) -> Kind:
    """Not by its constructor, which sets each field through `object.__setattr__`."""
    value = object.__new__(kind)
    value.__dict__.update(fields)
    return value


def _session(fields: dict[str, Any]) -> Session:
    for name, read in _HEAD.items():
        held = fields[name]
        fields[name] = map_of({key: read(each) for key, each in held.items()})
    for name in _SETS:
        fields[name] = set_of(fields[name])
    fields |= {name: {} for name in _GROWING} | {"decided": frozenset()}
    if fields["lease"] is not None:
        fields["lease"] = _new(Lease, fields["lease"])
    if fields["parked"] is not None:
        fields["parked"] = _parked(fields["parked"])
    return _new(Session, fields)


def _leg(fields: dict[str, Any]) -> Leg:
    fields["latest"] = _events(fields["latest"])
    fields["memberships"] = _events(fields["memberships"])
    fields["keys"] = tuple((tuple(stamp), digit) for stamp, digit in fields["keys"])
    fields["queue_events"] = tuple(
        _new(QueueEvent, {**each, "event": _event(each["event"])})
        for each in fields["queue_events"]
    )
    fields["stamps"] = {name: tuple(stamp) for name, stamp in fields["stamps"].items()}
    return _new(Leg, fields)


def _conference(fields: dict[str, Any]) -> Conference:
    return _new(Conference, {**fields, "latest": _events(fields["latest"])})


def _recording(fields: dict[str, Any]) -> Recording:
    return _new(Recording, {**fields, "stamp": tuple(fields["stamp"])})


def _events(held: dict[str, Any]) -> dict[str, CarrierEvent]:
    return {topic: _event(fields) for topic, fields in held.items()}


def _event(fields: dict[str, Any]) -> CarrierEvent:
    # Fields have JSON values and times; `read_event` chooses the type in the same way.
    return _new(BY_TYPE.get(fields["event_type"], UnknownEvent), fields)


def _command(fields: dict[str, Any]) -> CommandState:
    if fields["issued"] is not None:
        fields["issued"] = _new(IssuedCommand, fields["issued"])
    if (outcome := fields["outcome"]) is not None:
        fields["outcome"] = _failed(outcome) if "reason" in outcome else _succeeded(outcome)
    return _new(CommandState, fields)


def _failed(fields: dict[str, Any]) -> CommandFailed:
    return _new(CommandFailed, fields)


def _succeeded(fields: dict[str, Any]) -> CommandSucceeded:
    if fields["placed"] is not None:
        fields["placed"] = _new(PlacedLeg, fields["placed"])
    return _new(CommandSucceeded, fields)


def _timer(fields: dict[str, Any]) -> TimerState:
    return _new(TimerState, fields)


def _parked(fields: dict[str, Any]) -> Record:
    fact = fields["fact"]
    kind = SessionParked if "error" in fact else SessionResumed
    return _new(Record, {**fields, "fact": _new(kind, fact)})


_HEAD: Mapping[str, Callable[[Any], Any]] = {
    "legs": _leg,
    "conferences": _conference,
    "recordings": _recording,
    "operations": int,
}
_SETS = (
    "undecided",
    "open_commands",
    "doubtful_commands",
    "pending_timers",
    "open_timers",
)
_GROWING: Mapping[str, Callable[[Any], Any] | None] = {
    "commands": _command,
    "facts": None,
    "decided": None,
    "timer_states": _timer,
}
"""What a call adds to as long as it lasts, and how an entry is read."""
