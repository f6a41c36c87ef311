"""Which sessions an erasure is about: those named or with a number, and those linked to them."""

import asyncio
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.errors import HistoryUnreadable, OperatorFault
from offhook.history.segments import read_block
from offhook.phone_numbers import spellings
from offhook.projections.retention.give_up import listed
from offhook.projections.views.sessions import read_session, session_at
from offhook.projections.views.stored.archive import archive_segments, archived_ids, places_of
from offhook.projections.views.stored.erasures import ERASED
from offhook.projections.views.view import storable

LINKED_MAX = 1_000
"""Sessions that one erasure may reach; more is probably a mistake."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is to be erased. `session_ids` are all of them, the linked ones too."""

    session_ids: tuple[str, ...]
    numbers: tuple[str, ...] = ()
    names: tuple[str, ...] = ()  # looked for by the proof, beside numbers and ids
    ids: tuple[str, ...] = ()  # of the legs of these sessions


def digits_of(number: str) -> str:
    """The digits of an E.164 number. Raises OperatorFault."""
    if not re.fullmatch(r"\+?[1-9]\d{6,14}", number):
        raise OperatorFault(f"{number!r} is not an E.164 number; expected one like +12025550100")
    return number.removeprefix("+")


def number_pattern(digits: str) -> str:
    """Finds the number, and no longer one, in text, in JSON and in an escaped `bytea`, as a regular
    expression of Python and of Postgres.

    The character before it may be written with digits: `\\u4e00`, `\\344\\270\\200`, or `%20`.
    Python is five times as fast with a pattern that begins with what is searched.
    """
    escapes = (r"\\u[0-9a-fA-F]{4}", r"\\[0-7]{3}", "%[0-9a-fA-F]{2}")
    before = [f"(?<![0-9]{digits})", *(f"(?<={each}{digits})" for each in escapes)]
    return f"{digits}(?:{'|'.join(before)})(?![0-9])"


def _listed(numbers: Collection[str]) -> str:
    return " or ".join(map(repr, numbers))


async def find_target(
    connection: AsyncConnection,
    session_ids: Collection[str],
    numbers: Collection[str],
    names: Collection[str],
    now: datetime,
    doing: Callable[[str], None] = lambda what: None,
    at_skipped: Callable[[str], None] = lambda segment: None,
) -> Target:
    """The target. Raises OperatorFault if there is none, if a call is up, or if it is too large.

    `at_skipped` is called with segments that were given up, and so not searched for the numbers.
    """
    found = await _known_among(connection, session_ids)
    if missing := sorted(set(session_ids) - found):
        start = await _is_a_start(connection, missing[0])
        expected = "; it is the start of an id, and erase expects a whole one" if start else ""
        raise OperatorFault(f"there is no session {missing[0]!r}{expected}; nothing was erased")
    for number in numbers:
        found |= await _with_number(connection, number, doing, at_skipped)
    found = {each for each in await _linked(connection, found) if not each.startswith(ERASED)}
    if not found:
        if not numbers:
            raise OperatorFault("these sessions are erased already; nothing was erased")
        raise OperatorFault(f"no session has number {_listed(numbers)}; nothing was erased")
    for session_id in sorted(found):
        detail = await read_session(connection, session_id, commands_max=1)
        if detail is not None and session_at(detail.session, now).status == "active":
            raise OperatorFault(
                f"session {session_id} has a call that is up: erase it once it has ended;"
                " nothing was erased"
            )
    return Target(
        session_ids=tuple(sorted(found)),
        numbers=tuple(sorted(map(digits_of, numbers))),
        names=tuple(sorted(names)),
        ids=tuple(await _leg_ids(connection, found)),
    )


async def _known_among(connection: AsyncConnection, session_ids: Collection[str]) -> set[str]:
    found = await connection.execute(
        text(
            "select session_id from sessions where session_id = any(:ids)"
            " union select session_id from event_log where session_id = any(:ids)"
            " union select session_id from archived_sessions where session_id = any(:ids)"
        ),
        {"ids": list(session_ids)},
    )
    return set(found.scalars())


async def _is_a_start(connection: AsyncConnection, text_: str) -> bool:
    """Whether the id of a session starts so. Which one is not said, as what is erased is gone."""
    found = await connection.execute(
        text("select exists (select from sessions where starts_with(session_id, :start))"),
        {"start": storable(text_)},
    )
    return bool(found.scalar_one())


async def _with_number(
    connection: AsyncConnection,
    number: str,
    doing: Callable[[str], None],
    at_skipped: Callable[[str], None],
) -> set[str]:
    """By the views, and by the text of every record, in event_log and in segments."""
    digits = digits_of(number)
    pattern = number_pattern(digits)
    doing(f"looking for {number} in the views and in event_log")
    found = await connection.execute(
        text(
            "select session_id from legs where from_number = any(:s) or to_number = any(:s)"
            " union select session_id from sessions where from_number = any(:s)"
            " or to_number = any(:s)"
            " union select session_id from commands where cast(parameters as text) ~ :pattern"
            " or cast(answer as text) ~ :pattern or cast(errors as text) ~ :pattern"
            " union select session_id from event_log where encode(body, 'escape') ~ :pattern"
        ),
        {"s": sorted(spellings(number)), "pattern": pattern},
    )
    sessions = set(found.scalars())
    return sessions | await _archived_with(
        connection, pattern, lambda place: doing(f"looking for {number} in {place}"), at_skipped
    )


async def _archived_with(
    connection: AsyncConnection,
    pattern: str,
    doing: Callable[[str], None],
    at_skipped: Callable[[str], None],
) -> set[str]:
    searched = re.compile(pattern.encode())
    result = await connection.execute(
        select(archive_segments.c.name).where(archive_segments.c.given_up_at.is_not(None))
    )
    given_up = set(result.scalars())
    session_ids = [each async for each in archived_ids(connection)]
    found: set[str] = set()
    failed: dict[str, Exception] = {}
    for at in range(0, len(session_ids), 100):
        doing(f"archived sessions: {at:,} of {len(session_ids):,}")
        for session_id, places in (await places_of(connection, session_ids[at : at + 100])).items():
            for place in places:
                if place.segment in given_up:
                    at_skipped(place.segment)
                    continue
                if place.segment in failed:
                    continue
                try:
                    records = await asyncio.to_thread(
                        read_block, place.root, place.segment, place.block
                    )
                except (OperatorFault, HistoryUnreadable) as error:
                    failed[place.segment] = error
                    continue
                if any(searched.search(each.body) for each in records):
                    found.add(session_id)
    if failed:
        raise OperatorFault(
            f"the records in {listed(failed)} cannot be searched for a number:"
            f" {next(iter(failed.values()))}; once that is mended, run this again. If a segment is"
            " lost for good, give it up with `offhook erase --resume --give-up SEGMENT`; nothing"
            " was erased"
        )
    return found


async def _linked(connection: AsyncConnection, session_ids: Collection[str]) -> set[str]:
    """With the sessions whose dials placed one of these, that their dials placed, or with a leg
    of theirs."""
    found: set[str] = set()
    new = set(session_ids)
    while new:
        found |= new
        if len(found) > LINKED_MAX:
            raise OperatorFault(
                f"more than {LINKED_MAX:,} sessions have this number or are linked to them;"
                " erase them in parts, by session; nothing was erased"
            )
        result = await connection.execute(
            text(
                "select session_id from commands where answer_session_id = any(:ids)"
                " union select answer_session_id from commands"
                " where session_id = any(:ids) and answer_session_id is not null"
                " union select other.session_id from legs join legs as other"
                " using (call_control_id) where legs.session_id = any(:ids)"
            ),
            {"ids": sorted(new)},
        )
        new = set(result.scalars()) - found
    return found


async def _leg_ids(connection: AsyncConnection, session_ids: Collection[str]) -> Sequence[str]:
    found = await connection.execute(
        text(
            "select call_control_id from legs where session_id = any(:ids)"
            " union select call_leg_id from legs where session_id = any(:ids)"
            " and call_leg_id is not null"
        ),
        {"ids": sorted(session_ids)},
    )
    return sorted(found.scalars())
