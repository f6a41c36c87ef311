"""The records that come into the views, for any number of clients that follow them.

    a checkpoint moves ─▶ one read of what is new ─▶ the ring ─▶ each client, from where it is
                              event_log, once a process  └ a client that starts further back reads
                                                           event_log by itself, until it is there

A client has no buffer: it has its place in the ring, and a position for each partition. When the
ring overtakes it, its stream ends with the reason; it resumes from its last event. Without clients
nothing is read.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self

import msgspec

from offhook.api.errors import refusal
from offhook.api.own.redact import redacted_entry
from offhook.jetstream.stream import PROJECTOR
from offhook.position import partition_of
from offhook.projections.views.database.engine import Engine
from offhook.projections.views.database.errors import DATABASE_ERRORS
from offhook.projections.views.past.changes import Change, Changes, read_changes
from offhook.projections.views.progress.checkpoint import reached, read_checkpoints
from offhook.projections.views.progress.waiting import PositionWatch
from offhook.projections.views.sessions import is_up_or_over
from offhook.projections.views.stored.archive import archived_after

CLIENTS_MAX = 500
"""Clients that may follow at once in this process."""

RING_RECORDS_MAX = 10_000
RING_BYTES_MAX = 32 * 1024 * 1024
"""A client may be this far behind before it is ended."""

CHUNK_BYTES_MAX = 64 * 1024
"""Of the events handed to a client at once; the last one may exceed it."""

READERS_MAX = 2
"""Clients that may read event_log at once: the pool has connections for other requests too."""

HEARTBEAT_S = 15.0
"""A proxy may close a connection on which nothing is sent for a minute."""

RETRY_AFTER_S = 0.5

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class LiveRecord:
    """A record as it is sent: `data` is its JSON, the rest is what clients filter by."""

    position: int
    session_id: str
    connection_id: str | None
    from_number: str | None
    to_number: str | None
    status: str | None
    ended_at: datetime | None
    up_until: datetime | None
    data: bytes

    def status_at(self, now: datetime) -> str | None:
        """The session's status, as `now` lists it; None if it has no row in the views."""
        if self.status is None or is_up_or_over(self.status, self.ended_at, self.up_until, now):
            return self.status
        return "ended"


@dataclass(frozen=True, kw_only=True)
class Following:
    """What a client wants: only what `wants` says, in one partition or (None) in all.

    `session_id` is set if it is one session. `id_of` names the client's place after an event.
    """

    wants: Callable[[LiveRecord], bool]
    id_of: Callable[[Sequence[int]], str]
    session_id: str | None = None
    partition: int | None = None


class Live:
    """Reads what is new once for all clients. Use as a context manager, once per process."""

    def __init__(
        self,
        engine: Engine,
        watch: PositionWatch,
        *,
        partitions: int,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self._engine = engine
        self._watch = watch
        self._partitions = partitions
        self._heartbeat_s = heartbeat_s
        self._clients = 0
        self._readers = asyncio.Semaphore(READERS_MAX)
        self._is_ending = False
        self._moved = asyncio.Event()
        self._news = asyncio.Event()  # replaced each time
        self._begun: list[int] = []  # what the ring begins after, by partition; empty: not begun
        self._heads: list[int] = []  # what the ring has, by partition
        self._ring: deque[LiveRecord] = deque()
        self._ring_bytes = 0
        self._first = 0  # the number of the ring's first record, counted from the start
        self._beginning = asyncio.Lock()

    async def __aenter__(self) -> Self:
        self._stack = contextlib.AsyncExitStack()
        self._stack.enter_context(self._watch.moves(lambda _: self._moved.set()))
        self._stack.enter_context(self._watch.erasures(self._forget))
        task = asyncio.create_task(self._read_on())

        async def ended() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        self._stack.push_async_callback(ended)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def partitions(self) -> int:
        """The number of partitions of the log."""
        return self._partitions

    def end(self) -> None:
        """End all clients, because this process is about to end."""
        self._is_ending = True
        self._announce()

    @property
    def ring_last(self) -> int:
        """The position of the newest record in the ring; 0 if it is empty."""
        return self._ring[-1].position if self._ring else 0

    def require_room(self) -> None:
        """Raise ErrorAnswer 429 if there is no room for another client."""
        if self._clients >= CLIENTS_MAX:
            detail = f"{CLIENTS_MAX} clients follow this API already"
            raise refusal(429, "10011", detail, headers={"retry-after": "5"})

    @contextlib.contextmanager
    def client(self) -> Iterator[None]:
        """Count a client as long as it follows."""
        self._clients += 1
        try:
            yield
        finally:
            self._clients -= 1
            if not self._clients:
                self._begun = []  # the next one begins anew

    async def require_kept(self, positions: Sequence[int]) -> None:
        """Raise ErrorAnswer 422 if records after one of the positions were archived."""
        async with self._watch.silence.connection(self._engine) as connection:
            if not await archived_after(connection, positions):
                return
        detail = (
            "Records after Last-Event-ID were archived, and a stream of all sessions does not have "
            "those; expected a later one: read what was missed with `offhook export`"
        )
        raise refusal(422, "10015", detail, parameter="last_event_id")

    async def heads(self) -> list[int]:
        """The position of each partition up to which a client that starts now knows everything."""
        async with self._beginning:
            if not self._begun:
                async with self._watch.silence.connection(self._engine) as connection:
                    found = await read_checkpoints(connection, PROJECTOR)
                self._heads = [reached(found, each) for each in range(self._partitions)]
                self._begun = list(self._heads)
                self._first += len(self._ring)
                self._ring.clear()
                self._ring_bytes = 0
                self._moved.set()
        return list(self._heads)

    async def follow(self, wanted: Following, after: Sequence[int]) -> AsyncIterator[bytes]:
        """Server-sent events with what came after these positions, one for each partition.

        Ends when this process is about to, or if the client is overtaken by the ring.
        """
        await self.heads()
        place = list(after)
        partitions = range(self._partitions) if wanted.partition is None else [wanted.partition]
        yield b"retry: 2000\nid: %b\n\n" % wanted.id_of(place).encode()
        while any(place[each] < self._begun[each] for each in partitions):
            for partition in partitions:
                async for missed in self._caught_up(wanted, place, partition):
                    yield missed
                if self._is_ending:
                    break
        number = self._first
        while not self._is_ending:
            news = self._news
            if number < self._first:
                yield end_event("slow", "the client is too far behind; resume from its last event")
                return
            chunk = bytearray()
            while number < self._first + len(self._ring) and len(chunk) < CHUNK_BYTES_MAX:
                record = self._ring[number - self._first]
                number += 1
                partition = partition_of(record.position)
                if partition not in partitions or record.position <= place[partition]:
                    continue
                place[partition] = record.position
                if wanted.wants(record):
                    chunk += _event(wanted.id_of(place), record)
            if chunk:
                yield bytes(chunk)
            elif number == self._first + len(self._ring):
                try:
                    async with asyncio.timeout(self._heartbeat_s):
                        await news.wait()
                except TimeoutError:
                    # With the place, which moves also with records that are not wanted.
                    yield b": heartbeat\nid: %b\n\n" % wanted.id_of(place).encode()
        yield end_event("draining", "this server is about to stop; resume from the last event")

    async def _caught_up(
        self, wanted: Following, place: list[int], partition: int
    ) -> AsyncIterator[bytes]:
        """What the ring does not have any more, read from event_log; moves the place."""
        while place[partition] < self._begun[partition] and not self._is_ending:
            until = self._heads[partition]
            async with self._readers:
                page = await self._read(place[partition], until, wanted.session_id)
            if wanted.session_id is None:
                await self.require_kept([place[partition]])  # since the last page
            chunk = bytearray()
            for change in page.changes:
                record = _live(change)
                place[partition] = record.position
                if wanted.wants(record):
                    chunk += _event(wanted.id_of(place), record)
                if len(chunk) >= CHUNK_BYTES_MAX:
                    yield bytes(chunk)
                    chunk.clear()
            if not page.has_more:
                place[partition] = max(place[partition], until)
            yield bytes(chunk or b": reading\n\n")

    def _forget(self) -> None:
        """Read what is sent to clients that are behind from the views again: some may be erased."""
        self._first += len(self._ring)
        self._ring.clear()
        self._ring_bytes = 0
        self._heads = list(self._heads)  # another one: what is being read now is not added
        if self._begun:
            self._begun = list(self._heads)
        self._moved.set()

    async def _read_on(self) -> None:
        while True:
            await self._moved.wait()
            self._moved.clear()
            if not self._begun:
                continue
            try:
                for partition in range(self._partitions):
                    await self._read_partition(partition)
            except DATABASE_ERRORS as error:
                _log.warning("cannot read what is new", extra={"error": repr(error)})
                await asyncio.sleep(RETRY_AFTER_S)
                self._moved.set()

    async def _read_partition(self, partition: int) -> None:
        until = self._watch.reached(partition)
        heads = self._heads
        if until < heads[partition]:
            heads[partition] = until  # the views were emptied, and are filled again
        while heads[partition] < until:
            page = await self._read(heads[partition], until)
            if heads is not self._heads or not self._begun:
                self._moved.set()
                return  # the last client has left meanwhile, or sessions were erased
            for change in page.changes:
                self._add(_live(change))
            heads[partition] = self._ring[-1].position if page.has_more else until
            self._announce()

    def _add(self, record: LiveRecord) -> None:
        self._ring.append(record)
        self._ring_bytes += len(record.data)
        while len(self._ring) > RING_RECORDS_MAX or self._ring_bytes > RING_BYTES_MAX:
            if len(self._ring) == 1:
                return
            oldest = self._ring.popleft()
            self._ring_bytes -= len(oldest.data)
            self._first += 1
            self._begun[partition_of(oldest.position)] = oldest.position

    async def _read(self, after: int, until: int, session_id: str | None = None) -> Changes:
        async with self._watch.silence.connection(self._engine) as connection:
            return await read_changes(connection, after, until, session_id)

    def _announce(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


def _live(change: Change) -> LiveRecord:
    entry = change.entry
    return LiveRecord(
        position=entry.seq,
        session_id=entry.session_id,
        connection_id=change.connection_id,
        from_number=change.from_number,
        to_number=change.to_number,
        status=change.status,
        ended_at=change.ended_at,
        up_until=change.up_until,
        data=msgspec.json.encode(redacted_entry(entry)),
    )


def _event(event_id: str, record: LiveRecord) -> bytes:
    return b"id: %b\nevent: record\ndata: %b\n\n" % (event_id.encode(), record.data)


def end_event(reason: str, detail: str) -> bytes:
    """The event that says why a stream ends."""
    data = msgspec.json.encode({"reason": reason, "detail": detail})
    return b"event: end\ndata: %b\n\n" % data
