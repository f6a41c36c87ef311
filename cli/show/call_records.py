"""All records of one call: those of its session, and those of the dials that placed its legs.

A dial without `link_to` is recorded in the session that dialled. One requested through the API has
a session of its own, which is shown as part of the call that it placed.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from offhook.events import (
    CommandAttempted,
    CommandFailed,
    CommandRequested,
    CommandSucceeded,
    Decided,
    LegPlaced,
    Record,
)
from offhook.jetstream.log import EventLog, pages
from offhook.position import partition_of
from offhook.session import fold
from offhook.session.placed import session_of_answer


@dataclass(frozen=True, kw_only=True)
class Moment:
    """Up to and including a record: by position in its own partition, by time in the others."""

    at: datetime | None  # None before the first record of the position's partition
    position: int | None = None

    def is_before(self, record: Record) -> bool:
        """Whether the record came later."""
        position = self.position
        if position is not None and partition_of(position) == partition_of(record.seq):
            return record.seq > position
        return self.at is None or record.stored_at > self.at


async def read_call(
    log: EventLog, session_id: str, until: Moment | None = None
) -> tuple[str, Sequence[Record]]:
    """The call's session and its records, oldest first; those until a moment, without the rest.

    Raises LogUnavailable, RecordUnreadable.
    """
    own = await _read(log, session_id, until)
    call, of_call = session_id, own
    placed = set(_placed_by(own)) - {session_id}
    if len(placed) == 1 and not fold(session_id, own).legs:
        (call,) = placed
        of_call = await _read(log, call, until)
    if not of_call:
        return session_id, own
    dials = {
        record.fact.command_id: record.fact.command_session_id
        for record in of_call
        if isinstance(record.fact, LegPlaced)
    }
    found: dict[int, Record] = {}
    if call != session_id:
        found |= {record.seq: record for record in own}
    for dialling in set(dials.values()) - {session_id, call}:
        command_ids = {command_id for command_id, where in dials.items() if where == dialling}
        of_dials = _of(await _read(log, dialling, until), command_ids)
        found |= {each.seq: each for each in of_dials}
    return call, _merged(of_call, found.values())


async def _read(log: EventLog, session_id: str, until: Moment | None) -> Sequence[Record]:
    if until is None:
        return await log.read(session_id)
    found: list[Record] = []
    async for page in pages(log, session_id):
        found += [record for record in page if not until.is_before(record)]
        lasts = {record.side: record for record in page}
        if all(until.is_before(last) for last in lasts.values()):
            break
    return sorted(found, key=lambda record: record.seq)


def _merged(own: Sequence[Record], dialled: Iterable[Record]) -> list[Record]:
    """The call's own records in the order of the log, those of its dials among them.

    Positions are compared in one partition, and times between two.
    """
    merged: list[Record] = list(own)
    for record in sorted(dialled, key=lambda each: (each.stored_at, each.seq)):
        mark = Moment(at=record.stored_at, position=record.seq)
        place = next((at for at, each in enumerate(merged) if mark.is_before(each)), len(merged))
        merged.insert(place, record)
    return merged


def _placed_by(records: Sequence[Record]) -> Iterator[str]:
    """The sessions named in the carrier's answers to dials."""
    for record in records:
        if isinstance(record.fact, CommandSucceeded):
            placed = session_of_answer(record.fact.answer)
            if placed is not None:
                yield placed


def _of(records: Sequence[Record], command_ids: Collection[str]) -> Iterator[Record]:
    """What the records say about these commands, without the rest."""
    for record in records:
        match record.fact:
            case CommandRequested(command=command) if command.command_id in command_ids:
                yield record
            case Decided() as decided:
                kept = tuple(each for each in decided.commands if each.command_id in command_ids)
                if kept:
                    yield replace(record, fact=replace(decided, commands=kept, timers=()))
            case CommandAttempted() | CommandSucceeded() | CommandFailed() as fact:
                if fact.command_id in command_ids:
                    yield record
            case _:
                pass
