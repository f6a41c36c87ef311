"""The cold phase, as one of several worker processes does it: chunk after chunk of whole sessions.

    claim a chunk ─▶ read its records by session ─▶ fold each session once ─▶ COPY its rows, and
                                                                              note it as done

A chunk is a range of session ids with about CHUNK_RECORDS records. A session with a problem (a
record that cannot be read, a fold that raises, a value that Postgres may refuse) is listed in
`later`, for the tail phase, which can take sessions one by one.

It talks to asyncpg itself: SQLAlchemy has no COPY, and its rows cost as much as a fold.
"""

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import asyncpg
import msgspec
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from offhook.codec.facts import decode_record
from offhook.position import partition_of
from offhook.projections.rebuild.build import (
    Positions,
    not_archived,
    position_in,
    positions_in,
)
from offhook.projections.rebuild.folding import Fold
from offhook.projections.views.registry import VIEWS, fits_every_index
from offhook.projections.views.view import View

CHUNK_RECORDS = 4_000
FETCHED_AT_ONCE = 1_000
REFUSED = (
    asyncpg.DataError,
    asyncpg.ProgramLimitExceededError,
    ValueError,
    TypeError,
    OverflowError,
)
"""What COPY raises for a value."""

_Driver = Any  # asyncpg's connection: its own stubs want a type for each row


class Chunk(NamedTuple):
    """The sessions above `after_id` up to `to_id`; None for all the rest."""

    number: int
    after_id: str
    to_id: str | None


class ColdWorker:
    """Folds chunks until there are none, or the build is wanted to stop."""

    def __init__(self, driver: _Driver, *, live: str, aside: str, owner: str) -> None:
        """`owner` is that of the run: chunks of an earlier one that are not done are taken over."""
        self._driver = driver
        self._live, self._aside, self._owner = live, aside, owner
        self._limits: Positions = {}
        self._copies = [_Copy(view, aside) for view in VIEWS]

    @classmethod
    async def of(
        cls, connection: AsyncConnection, *, live: str, aside: str, owner: str
    ) -> "ColdWorker":
        """A worker with this connection, which nothing else uses."""
        raw = await connection.get_raw_connection()
        return cls(raw.driver_connection, live=live, aside=aside, owner=owner)

    async def run(self) -> None:
        """Fold until no chunk is left. Raises what Postgres says."""
        # A commit that is lost in a crash of Postgres is lost with its rows: the chunk is done
        # again.
        await self._driver.execute("set synchronous_commit to off")
        limits = await self._driver.fetchval(f"select limits from {self._aside}.build")
        self._limits = positions_in(limits)
        while (chunk := await self._claim()) is not None:
            with _without_collection():
                async with self._driver.transaction():
                    await self._fold(chunk)

    async def _claim(self) -> Chunk | None:
        aside = self._aside
        async with self._driver.transaction():
            build = await self._driver.fetchrow(
                f"select claimed_to, is_claimed, wanted from {aside}.build for update"
            )
            if build["wanted"] is not None:
                return None
            left = await self._driver.fetchrow(
                f"update {aside}.chunk set owner = $1 where number = (select number from"
                f" {aside}.chunk where not is_done and owner <> $1 order by number limit 1)"
                " returning number, after_id, to_id",
                self._owner,
            )
            if left is not None:
                return Chunk(*left)
            if build["is_claimed"]:
                return None
            after_id = build["claimed_to"]
            to_id = await self._driver.fetchval(
                f"select session_id from {self._live}.event_log where session_id > $1"
                " order by session_id, seq offset $2 limit 1",
                after_id,
                CHUNK_RECORDS,
            )
            await self._driver.execute(
                f"update {aside}.build set claimed_to = coalesce($1, claimed_to), is_claimed = $2",
                to_id,
                to_id is None,
            )
            number = await self._driver.fetchval(
                f"insert into {aside}.chunk (after_id, to_id, owner) values ($1, $2, $3)"
                " returning number",
                after_id,
                to_id,
                self._owner,
            )
            return Chunk(number, after_id, to_id)

    async def _fold(self, chunk: Chunk) -> None:
        made = await self._made(chunk)
        later = made.later
        try:
            async with self._driver.transaction():
                for copy in self._copies:
                    await copy.write(self._driver, made.rows[copy.name])
        except REFUSED:
            later = made.session_ids
        await self._driver.executemany(
            f"insert into {self._aside}.later (session_id) values ($1)",
            [(session_id,) for session_id in later],
        )
        # The fence: a worker of a run that was given up does not find its chunk any more.
        done = await self._driver.fetchval(
            f"update {self._aside}.chunk set is_done = true, records = $1"
            " where number = $2 and owner = $3 and not is_done returning number",
            made.records,
            chunk.number,
            self._owner,
        )
        if done is None:
            raise ChunkTaken(f"chunk {chunk.number} was taken over by another run")

    async def _made(self, chunk: Chunk) -> "_Made":
        """The rows of the chunk's sessions. Only one fold is in memory at a time."""
        made = _Made()
        fold: Fold | None = None
        session_id, limit = "", 0
        until = "" if chunk.to_id is None else " and session_id <= $2"
        arguments = [chunk.after_id] if chunk.to_id is None else [chunk.after_id, chunk.to_id]
        cursor = await self._driver.cursor(
            "select seq, session_id, type, version, stored_at, body"
            f" from {self._live}.event_log where session_id > $1{until}"
            # The tail folds those whose first records are in a segment.
            f" and {not_archived(self._live)}"
            " order by session_id, seq",
            *arguments,
        )
        while found := await cursor.fetch(FETCHED_AT_ONCE):
            for seq, its_session_id, type_name, version, stored_at, body in found:
                if its_session_id != session_id:
                    if fold is not None:
                        made.add(fold)
                    session_id, fold = its_session_id, None
                    limit = position_in(self._limits, partition_of(seq))
                if seq > limit:
                    continue
                made.records += 1
                if fold is None:
                    fold = Fold(session_id)
                try:
                    record = decode_record(
                        type_name,
                        version,
                        body,
                        position=seq,
                        session_id=session_id,
                        stored_at=stored_at,
                    )
                except Exception as error:
                    fold.fail(seq, error)
                else:
                    fold.advance(record)
        if fold is not None:
            made.add(fold)
        return made


class _Made:
    """What a chunk comes to."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Any]] = {view.name: [] for view in VIEWS}
        self.session_ids: list[str] = []  # of all its sessions
        self.later: list[str] = []  # of those that are left to the tail
        self.records = 0  # up to the limits

    def add(self, fold: Fold) -> None:
        """A session of which all records were read."""
        session_id = fold.folded.session.session_id
        self.session_ids.append(session_id)
        rows = fold.rows()
        if rows is None or not fits_every_index(rows):
            self.later.append(session_id)
            return
        for name, several in rows.items():
            self.rows[name] += several


@contextmanager
def _without_collection() -> Iterator[None]:
    """No search for cycles among a chunk's folds: it took a sixth of the time and found none."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class ChunkTaken(Exception):
    """Another run has the chunk."""


class _Copy:
    """Rows of a view → COPY."""

    def __init__(self, view: View[Any], aside: str) -> None:
        self.name = view.name
        self._schema = aside.strip('"').replace('""', '"')
        self._columns = [column.name for column in view.table.columns]
        self._json = [
            place
            for place, column in enumerate(view.table.columns)
            if isinstance(column.type, JSONB)
        ]

    async def write(self, driver: _Driver, rows: Sequence[Any]) -> None:
        if not rows:
            return
        records = []
        for row in rows:
            values = vars(row)
            record = [values[column] for column in self._columns]
            for place in self._json:
                if record[place] is not None:
                    record[place] = msgspec.json.encode(record[place]).decode()
            records.append(record)
        await driver.copy_records_to_table(
            self.name, records=records, columns=self._columns, schema_name=self._schema
        )
