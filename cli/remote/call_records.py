"""All records of one call: those of its session, and those of the dials that placed its legs.

A dial without `link_to` is recorded in the session that dialled. One requested through the API has
a session of its own, which is shown as part of the call that it placed.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from offhook.events import (
    CommandAttempted,
    CommandFailed,
    CommandRequested,
    CommandSucceeded,
    Decided,
    LegPlaced,
    Record,
)
from offhook.jetstream.log import EventLog
from offhook.session import fold
from offhook.session.placed import session_of_answer


async def read_call(log: EventLog, session_id: str) -> tuple[str, Sequence[Record]]:
    """The call's session and its records, by sequence. Raises LogUnavailable, RecordUnreadable."""
    own = await log.read(session_id)
    call, of_call = session_id, own
    placed = set(_placed_by(own)) - {session_id}
    if len(placed) == 1 and not fold(session_id, own).legs:
        (call,) = placed
        of_call = await log.read(call)
    if not of_call:
        return session_id, own
    dials = {
        record.fact.command_id: record.fact.command_session_id
        for record in of_call
        if isinstance(record.fact, LegPlaced)
    }
    found = {record.seq: record for record in of_call}
    if call != session_id:
        found |= {record.seq: record for record in own}
    for dialling in set(dials.values()) - {session_id, call}:
        command_ids = {command_id for command_id, where in dials.items() if where == dialling}
        found |= {each.seq: each for each in _of(await log.read(dialling), command_ids)}
    return call, [found[seq] for seq in sorted(found)]


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
