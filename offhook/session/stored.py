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
from rpds import HashTrieSet

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
from offhook.session.persistent import LongMap, with_entries, with_members
from offhook.session.queue_visits import QueueEvent
from offhook.session.session import CommandState, Lease, Session
from offhook.session.timers import TimerState

ENTRIES_MAX = 250
"""Of a part: they take about a millisecond."""


def parts_of(session: Session) -> Iterator[bytes]:
    """The session's parts, in order; `with_part` adds them up."""
    grown = {name: getattr(session, name) for name in _GROWING}
    yield _encoded("", altered(session, **dict.fromkeys(grown, ())))
    for name, held in grown.items():
        keys = iter(held)
        while some := list(islice(keys, ENTRIES_MAX)):
            is_map = isinstance(held, Mapping)
            yield _encoded(name, {key: held[key] for key in some} if is_map else some)


def with_part(session: Session | None, part: bytes) -> Session:
    """The session with its next part; None before the first one.

    Raises msgspec.DecodeError, KeyError, TypeError or ValueError for bytes that are no part.
    """
    name, value = msgspec.msgpack.decode(part)
    if session is None:
        return _session(value)
    held = getattr(session, name)
    if name == "decided":
        return altered(session, decided=with_members(held, value))
    read = _GROWING[name]
    entries = value if read is None else {key: read(each) for key, each in value.items()}
    return altered(session, **{name: with_entries(held, entries)})


def _encoded(name: str, value: Any) -> bytes:
    return _ENCODER.encode((name, value))


def _plain(value: Any) -> Any:
    """What msgspec does not know."""
    if isinstance(value, LongMap):
        return dict(value)
    if isinstance(value, HashTrieSet):
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
        fields[name] = with_entries({}, {key: read(each) for key, each in held.items()})
    for name in _SETS:
        fields[name] = _members(fields[name])
    fields |= {name: {} for name in _GROWING} | {"decided": frozenset()}
    if fields["lease"] is not None:
        fields["lease"] = _new(Lease, fields["lease"])
    if fields["parked"] is not None:
        fields["parked"] = _parked(fields["parked"])
    return _new(Session, fields)


def _members(values: list[str] | list[int]) -> AbstractSet[Any]:
    return with_members(frozenset(), values)


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
