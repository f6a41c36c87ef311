"""Where recorded sessions come from: the database, or files of history. Cut into parts.

A file has the records of all sessions mixed, so it is first dealt out into BUCKETS files in a
temporary folder, by session: then one of them is in memory at a time.
"""

import asyncio
import heapq
import tempfile
import zlib
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from typing import IO

import msgspec
import uvloop

from offhook.cli.whatif.child import Part
from offhook.cli.whatif.replay import Row
from offhook.errors import (
    HistoryUnreadable,
    PostgresUnreachable,
    SelectionInvalid,
    shown,
    shown_url,
)
from offhook.history.files import lines_in, record_at, records_in
from offhook.history.lines import HistoryRecord, record_from
from offhook.history.selection import Selection
from offhook.projections.views.database.errors import DATABASE_ERRORS, reason_of
from offhook.projections.views.past.decided import (
    StoredRow,
    list_decided,
    read_rows,
    reading_only,
)
from offhook.projections.views.past.selected_records import require_sessions

SESSIONS_MAX = 1_000_000
"""Sessions that are tried at most: their ids are in memory."""

PART_SESSIONS_MAX = 200
PART_BYTES_MAX = 4 * 1024 * 1024
"""A part ends with the session that takes it to one of these."""

BUCKETS = 64

Sessions = Iterator[tuple[str, list[Row]]]


@dataclass(frozen=True, kw_only=True)
class WantedSessions:
    """Which sessions: those with a decision from `since` and before `until`, the latest `limit`."""

    since: datetime | None = None
    until: datetime | None = None
    session_ids: Collection[str] | None = None  # None is any
    limit: int = SESSIONS_MAX


@dataclass(frozen=True, kw_only=True)
class Source:
    """How many sessions there are, and their parts, which can be read once."""

    sessions: int
    parts: Iterator[Part]


@contextmanager
def from_database(url: str, wanted: WantedSessions) -> Iterator[Source]:
    """Raises PostgresUnreachable, and SelectionInvalid if a wanted session has no records.

    Nothing can be written through its connection.
    """
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, ExitStack() as stack:
            opened = reading_only(url, "offhook-whatif")
            connection = runner.run(opened.__aenter__())
            stack.callback(lambda: runner.run(opened.__aexit__(None, None, None)))
            if wanted.session_ids is not None:
                chosen = Selection(sessions=[*wanted.session_ids])
                runner.run(require_sessions(connection, chosen))
            ids = runner.run(
                list_decided(
                    connection,
                    since=wanted.since,
                    until=wanted.until,
                    session_ids=None if wanted.session_ids is None else [*wanted.session_ids],
                    limit=wanted.limit,
                )
            )

            def pages() -> Iterator[Sequence[StoredRow]]:
                for first in range(0, len(ids), PART_SESSIONS_MAX):
                    rows = read_rows(connection, ids[first : first + PART_SESSIONS_MAX])
                    while (page := runner.run(_next(rows))) is not None:
                        yield page

            by_session = _sessions(chain.from_iterable(pages()))
            yield Source(sessions=len(ids), parts=_parts(by_session))
    except DATABASE_ERRORS as error:
        raise PostgresUnreachable(
            f"cannot read the history: {reason_of(error)}; see OFFHOOK_POSTGRES_URL"
        ) from error


@contextmanager
def from_files(names: Sequence[str], wanted: WantedSessions) -> Iterator[Source]:
    """Raises OperatorFault, SelectionInvalid if a wanted session has no records, and
    HistoryUnreadable, which names the file and the line."""
    with tempfile.TemporaryDirectory(prefix="offhook-whatif-") as folder:
        buckets = [Path(folder) / str(number) for number in range(BUCKETS)]
        latest = _deal_out(names, buckets, wanted)
        chosen = set(heapq.nlargest(wanted.limit, latest, key=lambda each: (latest[each], each)))
        by_session = _chosen(names, buckets, chosen)
        yield Source(sessions=len(chosen), parts=_parts(by_session))


class _Head(msgspec.Struct):
    v: int
    session: str
    type: str
    stored_at: datetime


_HEADS = msgspec.json.Decoder(_Head)


def _deal_out(
    names: Sequence[str], buckets: Sequence[Path], wanted: WantedSessions
) -> dict[str, datetime]:
    """Write each line to its session's bucket. Returns the wanted sessions' last decisions."""
    latest: dict[str, datetime] = {}
    missing = set(wanted.session_ids or ())
    with ExitStack() as stack:
        files: list[IO[bytes]] = [stack.enter_context(each.open("wb")) for each in buckets]
        for name in names:
            for number, line in lines_in(name):
                try:
                    head = _HEADS.decode(line)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    record_at(name, number, line)  # says more
                    raise HistoryUnreadable(f"{shown_url(name)}, line {number}: {error}") from error
                if wanted.session_ids is not None and head.session not in wanted.session_ids:
                    continue
                missing.discard(head.session)
                files[zlib.crc32(head.session.encode()) % BUCKETS].write(line + b"\n")
                at = head.stored_at
                if head.type in _DECISIONS and _is_within(at, wanted):
                    latest[head.session] = max(at, latest.get(head.session, at))
    if missing:
        places = ", ".join(map(shown_url, names))
        raise SelectionInvalid(f"session {shown(min(missing))} has no records in {places}")
    return latest


_DECISIONS = ("Decided", "SessionParked")


def _is_within(at: datetime, wanted: WantedSessions) -> bool:
    after = wanted.since is None or at >= wanted.since
    return after and (wanted.until is None or at < wanted.until)


def _chosen(names: Sequence[str], buckets: Sequence[Path], chosen: Collection[str]) -> Sessions:
    try:
        for bucket in buckets:
            yield from _in_bucket(bucket, chosen)
    except HistoryUnreadable:
        for _ in chain.from_iterable(map(records_in, names)):
            pass  # until it raises at the line, which it names
        raise


def _in_bucket(bucket: Path, chosen: Collection[str]) -> Sessions:
    found: dict[str, dict[int, Row]] = {}
    with bucket.open("rb") as file:
        for line in file:
            record = record_from(line)
            if record.session_id in chosen:
                # The same record may be in several files.
                found.setdefault(record.session_id, {})[record.position] = _row(record)
    bucket.unlink()
    for session_id, rows in found.items():
        yield session_id, [rows[position] for position in sorted(rows)]


def _row(record: HistoryRecord) -> Row:
    return (record.position, record.type, record.version, record.stored_at, record.body)


def _sessions(rows: Iterator[StoredRow]) -> Sessions:
    """Rows that come session by session, put together."""
    for session_id, several in groupby(rows, key=itemgetter(0)):
        yield session_id, [row[1:] for row in several]


def _parts(sessions: Sessions) -> Iterator[Part]:
    part: list[tuple[str, list[Row]]] = []
    size = 0
    for session_id, rows in sessions:
        part.append((session_id, rows))
        size += sum(len(row[4]) for row in rows)
        if len(part) >= PART_SESSIONS_MAX or size >= PART_BYTES_MAX:
            yield part
            part, size = [], 0
    if part:
        yield part


async def _next(pages: AsyncIterator[Sequence[StoredRow]]) -> Sequence[StoredRow] | None:
    return await anext(pages, None)
