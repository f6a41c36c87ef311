"""Tools of folds: stamps that order events, the latest event of each topic, changed copies.

A fold converges because of them: the result depends on which events there are, not on their order,
nor on how often they came.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from offhook.carrier_events import CarrierEvent

Stamp = tuple[datetime, str]
"""When the carrier says it happened, and the event's id to break a tie."""

NEVER = datetime.min.replace(tzinfo=UTC)
LAST = datetime.max.replace(tzinfo=UTC)

Kept = TypeVar("Kept")


def stamp_of(event: CarrierEvent) -> Stamp:
    """The event's own time: by the time of storing a repeated event would overtake later ones.

    An event without a time sorts before all others.
    """
    return (event.occurred_at or NEVER, event.event_id)


def with_latest(
    held: Mapping[str, CarrierEvent], topic: str, event: CarrierEvent
) -> Mapping[str, CarrierEvent]:
    """`held` with the event under its topic, or `held` itself if that has a later one.

    Kept without the payload: folded sessions are held in memory by the thousand.
    """
    known = held.get(topic)
    if known is not None and stamp_of(known) >= stamp_of(event):
        return held
    return {**held, topic: with_changes(event, _WITHOUT_PAYLOAD)}


def bounded(held: Mapping[str, Kept], entries_max: int) -> Mapping[str, Kept]:
    """The entries with the lowest keys: the same ones in every order of arrival."""
    if len(held) <= entries_max:
        return held
    return {key: held[key] for key in sorted(held)[:entries_max]}


def altered(value: Kept, **changes: Any) -> Kept:
    """`dataclasses.replace` for a plain frozen dataclass, at a fifth of its cost.

    `replace` runs the constructor, which sets each field through `object.__setattr__`; a fold makes
    a copy for every event.
    """
    return with_changes(value, changes)


def with_changes(value: Kept, changes: Mapping[str, Any]) -> Kept:
    """As `altered`, with the changes by the names of their fields."""
    copy = object.__new__(type(value))
    fields = copy.__dict__
    fields.update(value.__dict__)
    fields.update(changes)
    return copy


_WITHOUT_PAYLOAD: Mapping[str, Any] = {"payload": {}}
