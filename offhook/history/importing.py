"""Records of another log into this one: each once, in the order of its session.

An imported record carries its position and time in the log it comes from (`imported_headers`), so
workers fold it and never act on it, and so a second import, or one that was killed, sees in the log
what is there already. What it refers to by position is rewritten to the position here. One that is
there with other content is counted and named (`differing.py`), and the log keeps what it has.

A session takes records of one history only: of those already here each must be in that history, and
new ones follow them. Any other session is refused, and the others go on. So is one that was
archived or erased: its records have left the log, and would be in it a second time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol
from uuid import uuid4

import msgspec
from nats.aio.msg import Msg

from offhook.codec.facts import Encoded, encoded_webhook, fact_id_of
from offhook.errors import (
    LogUnavailable,
    OperatorFault,
    PositionTaken,
    RecordUnreadable,
)
from offhook.events import (
    Decided,
    Fact,
    Record,
    SessionParked,
    WebhookReceived,
    side_of,
)
from offhook.history.differing import capture_differences, differences, digest_of, lasting
from offhook.history.importable import importable_fact
from offhook.history.lines import HistoryRecord, PlacedRecord
from offhook.jetstream.consuming.delivery import delivery_of_read
from offhook.jetstream.log import Appended, EventLog
from offhook.jetstream.message import imported_headers, record_of
from offhook.jetstream.reads import READ_BATCH_MAX
from offhook.jetstream.subjects import Side
from offhook.position import position_text, referred
from offhook.recent import RecentDict

SESSIONS_AT_ONCE = 64
"""Sessions that are appended to at the same time; more do not make the log any faster."""

SESSIONS_KNOWN_MAX = 10_000
"""Sessions whose places are remembered; those of others are read from the log again."""

REFUSED_MAX = 1_000
"""Sessions refused before the import stops: it is the wrong installation."""

CAPTURED = 0
"""The position of a captured webhook, which comes from no log; its event id says which it is."""

NAMED_MAX = 20
"""Records that are named of each kind that was not imported; the others are counted."""


class Log(EventLog, Protocol):
    """A log whose messages can be compared with those of a file."""

    async def messages(
        self, session_id: str, *, in_after: int = 0, out_after: int = 0, limit: int | None = None
    ) -> Sequence[Msg]:
        """What `read` reads, as it is stored. Raises LogUnavailable."""
        ...


@dataclass(kw_only=True)
class Named:
    """Records that were not imported: how many, and why of the first ones."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, why: str) -> None:
        """Count one, and name it if it is among the first."""
        self.count += 1
        if len(self.first) < NAMED_MAX:
            self.first.append(why)


@dataclass(kw_only=True)
class Imported:
    """What an import has done."""

    added: int = 0
    known: int = 0  # records that were there already
    differing: Named = field(default_factory=Named)  # there, with other content
    unreadable: Named = field(default_factory=Named)
    refused: dict[str, str] = field(default_factory=dict)  # sessions, and why


class SessionRefused(Exception):
    """The session has records that are not of this history."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    position: int  # here
    type: str
    fact_id: str
    is_own: bool  # was not imported
    digest: bytes  # of what is stored


@dataclass(kw_only=True)
class _Session:
    """What is in the log of a session."""

    session_id: str
    # By position in the log that it comes from; records of this very log by their own.
    places: dict[int, _Place] = field(default_factory=dict)
    has_captured: bool = False
    first: dict[str, _Place] = field(default_factory=dict)  # by fact id
    last: dict[str, int] = field(default_factory=lambda: {"in": 0, "out": 0})  # on each side, here
    last_origin: int = 0
    own: Record | None = None  # one that was not imported

    def add(self, record: Record, digest: bytes) -> None:
        """A record that is in the log."""
        place = _Place(
            position=record.seq,
            type=type(record.fact).__name__,
            fact_id=record.fact_id,
            is_own=not record.is_imported,
            digest=digest,
        )
        origin = record.seq if record.imported_from is None else record.imported_from
        if record.imported_from is None:
            self.own = self.own or record
        if origin == CAPTURED:
            self.has_captured = True
        else:
            self.places[origin] = place
            self.last_origin = max(self.last_origin, origin)
        self.first.setdefault(record.fact_id, place)
        self.last[record.side] = max(self.last[record.side], record.seq)


class Importer:
    """Takes records in the order of a file."""

    def __init__(self, log: Log, *, has_left: Callable[[str], Awaitable[bool]]) -> None:
        """`has_left` says whether a session was archived or erased. It may raise LogUnavailable."""
        self.done = Imported()
        self._log = log
        self._has_left = has_left
        self._sessions = RecentDict[str, _Session](SESSIONS_KNOWN_MAX)
        self._free = asyncio.Semaphore(SESSIONS_AT_ONCE)

    async def take(self, records: Sequence[PlacedRecord]) -> None:
        """Import some; all are in the log afterwards. Raises LogUnavailable or OperatorFault."""
        by_session: dict[str, list[PlacedRecord]] = {}
        for each in records:
            by_session.setdefault(each[1].session_id, []).append(each)
        tasks = [
            asyncio.create_task(self._bounded(session_id, some))
            for session_id, some in by_session.items()
            if session_id not in self.done.refused
        ]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if len(self.done.refused) >= REFUSED_MAX:
            raise OperatorFault(
                f"stopped: {REFUSED_MAX:,} sessions were refused;"
                f" the last: {next(reversed(self.done.refused.values()))}"
            )

    async def _bounded(self, session_id: str, records: Sequence[PlacedRecord]) -> None:
        async with self._free:
            try:
                await self._take(session_id, records)
            except SessionRefused as refused:
                self.done.refused[session_id] = str(refused)
            except RecordUnreadable as error:  # in the log: what is there cannot be compared
                self.done.refused[session_id] = f"session {session_id}: {error}"

    async def _take(self, session_id: str, records: Sequence[PlacedRecord]) -> None:
        session = self._sessions.get(session_id)
        for place, record in records:
            try:
                fact = importable_fact(record)
            except RecordUnreadable as error:
                self.done.unreadable.add(f"{place}: {error}")
                continue
            try:
                session = session or await self._read(session_id)
                try:
                    await self._take_one(session, place, record, fact)
                except (PositionTaken, SessionRefused):
                    # Somebody else appends to it. If it is another import, both come to the same;
                    # a read meanwhile may have the one side without what is before it on the other.
                    session = await self._read(session_id)
                    await self._take_one(session, place, record, fact)
            except LogUnavailable as error:
                raise LogUnavailable(f"{place}: {error}") from error

    async def _take_one(
        self, session: _Session, place: str, record: HistoryRecord, fact: Fact
    ) -> None:
        """Raises SessionRefused, PositionTaken, LogUnavailable."""
        known = _known(session, place, record, fact)
        if known is None:
            await self._append(session, record, fact)
            self.done.added += 1
        elif differing := await self._differences(session, known, record, fact):
            self.done.differing.add(
                f"{place}: {known.fact_id or record.type} of session {session.session_id}, in the"
                f" log at position {position_text(known.position)}, differs: {'; '.join(differing)}"
            )
        else:
            self.done.known += 1

    async def _differences(
        self, session: _Session, known: _Place, record: HistoryRecord, fact: Fact
    ) -> list[str]:
        """What of the record differs from what is in the log. Raises LogUnavailable."""
        if not known.is_own:
            record = replace(record, body=_moved(session, record, fact)[1])
        if known.digest == digest_of(record):
            return []
        before = known.position - 1
        messages = await self._log.messages(
            session.session_id, in_after=before, out_after=before, limit=1
        )
        for stored in map(delivery_of_read, messages):
            if stored.seq == known.position:
                compared = differences if record.position != CAPTURED else capture_differences
                return compared(stored, record)
        return ["it has left the log since it was read"]

    async def _read(self, session_id: str) -> _Session:
        session = _Session(session_id=session_id)
        after = {"in": 0, "out": 0}
        is_last = False
        while not is_last:
            page = await self._log.messages(
                session_id, in_after=after["in"], out_after=after["out"], limit=READ_BATCH_MAX
            )
            for message in page:
                stored = delivery_of_read(message)
                after[stored.side] = stored.seq
                session.add(record_of(message), digest_of(stored))
            is_last = len(page) < READ_BATCH_MAX
        if not session.first and await self._has_left(session_id):
            raise SessionRefused(
                f"session {session_id} was archived or erased: its records have left the log, and"
                " none can be added; import into an installation without this session"
            )
        self._sessions[session_id] = session
        return session

    async def _append(self, session: _Session, record: HistoryRecord, fact: Fact) -> None:
        """Raises PositionTaken, LogUnavailable."""
        fact, body = _moved(session, record, fact)
        side = side_of(type(fact))
        fact_id = fact_id_of(fact, session.session_id)
        message_id = _message_id(record, fact_id)
        if not fact_id or fact_id in session.first:
            # The log's window would drop it as a repetition, which it was not.
            message_id = f"import:{session.session_id}:{record.position}:{len(session.places)}"
        appended = await self._appended(session, side, record, body, message_id)
        if appended.duplicate and not await self._is_there(session, record, appended.seq):
            # The window remembers an id of a record that is no longer there, or is elsewhere.
            appended = await self._appended(session, side, record, body, f"import:{uuid4().hex}")
        session.add(
            Record(
                seq=appended.seq,
                stored_at=record.stored_at,
                session_id=session.session_id,
                fact=fact,
                fact_id=fact_id,
                imported_from=record.position,
            ),
            digest_of(replace(record, body=body)),
        )

    async def _appended(
        self, session: _Session, side: Side, record: HistoryRecord, body: bytes, message_id: str
    ) -> Appended:
        return await self._log.append(
            session.session_id,
            side,
            Encoded(type=record.type, version=record.version, fact_id=message_id, body=body),
            expected_seq=session.last[side],
            headers=lasting(record.headers) | imported_headers(record.position, record.stored_at),
        )

    async def _is_there(self, session: _Session, record: HistoryRecord, position: int) -> bool:
        """Whether this very record is at that position: an append that was tried twice."""
        after = session.last
        found = await self._log.read(
            session.session_id, in_after=after["in"], out_after=after["out"]
        )
        return any(each.seq == position and each.imported_from == record.position for each in found)


def _known(session: _Session, place: str, record: HistoryRecord, fact: Fact) -> _Place | None:
    """Where the record is in the log, whatever its content; None if it is new.

    Raises SessionRefused if it has no place there.
    """
    fact_id = fact_id_of(fact, session.session_id)
    if record.position == CAPTURED:
        here = session.first.get(fact_id)
        if here is not None or (session.own is None and not session.places):
            return here
    else:
        here = session.places.get(record.position)
        if here is None:
            is_next = record.position > session.last_origin
            if is_next and session.own is None and not session.has_captured:
                return None
        # A decision's id has a position in it, which differs here.
        elif here.fact_id == fact_id or (isinstance(fact, Decided) and here.type == record.type):
            return here
    raise SessionRefused(
        f"{place}: session {session.session_id} has other records already, so the {record.type} at"
        f" position {position_text(record.position)} of the file has no place in it: import into an"
        " installation without this session, or the whole history at once"
    )


def _moved(session: _Session, record: HistoryRecord, fact: Fact) -> tuple[Fact, bytes]:
    """The fact and its body with the positions here of the records that it is about.

    `cause_seq` is 0 if that record is not in the history.
    """
    if not isinstance(fact, Decided | SessionParked):
        return fact, record.body

    def here(reference: int) -> int:
        place = session.places.get(referred(reference, record.position))
        return place.position if place is not None else 0

    cause_seq = here(fact.cause_seq)
    # What had been read is unknown without that record.
    in_seq = fact.in_seq and (here(fact.in_seq) or None)
    if (cause_seq, in_seq) == (fact.cause_seq, fact.in_seq):
        return fact, record.body
    # Not encoded from the fact: fields that this version does not know would be lost.
    fields = msgspec.json.decode(record.body, type=dict[str, msgspec.Raw])
    fields["cause_seq"] = msgspec.Raw(msgspec.json.encode(cause_seq))
    if fact.in_seq is not None:
        fields["in_seq"] = msgspec.Raw(msgspec.json.encode(in_seq))
    return replace(fact, cause_seq=cause_seq, in_seq=in_seq), msgspec.json.encode(fields)


def _message_id(record: HistoryRecord, fact_id: str) -> str:
    if record.type == WebhookReceived.__name__:
        return encoded_webhook(record.body, fact_id).fact_id
    return fact_id
