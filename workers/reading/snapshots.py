"""Snapshots: how far this worker has folded a long session, for the next worker that reads it.

    settled, or rested ──▶ offered ──▶ in parts, compressed ──▶ stored     beside the work on calls
                                                                  │
    an unknown session ──▶ read ──────────────────────────────────┘ ──▶ the records after it

The log is the only truth. A snapshot counts only if the same code folded it, and if the log has as
many records of the session as it should, or the one that it ends with, unchanged; otherwise the
session is read from its first record. Whatever goes wrong with one has no other consequence.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Literal

import msgspec
import zstandard

from offhook.errors import LogUnavailable
from offhook.jetstream.snapshots import SnapshotStore
from offhook.process.slices import Slices
from offhook.recent import RecentDict
from offhook.session.stored import StoredSession, parts_of
from offhook.workers.metrics import WorkerMetrics
from offhook.workers.reading.precedence import Precedence
from offhook.workers.reading.resting import SHORT_PAUSE_S, SHORT_REST_S, Resting
from offhook.workers.reading.state import SessionState, Snapshot

EVERY = 100
"""Facts and decisions after which a session gets another snapshot; fewer are read in 5 ms."""

SHORT_MAX = 32
"""Records of each side that are read first, without a snapshot or before it is known that one is of
use: a session that seemed to begin and has more is asked for its snapshot then."""

OFFERED_MAX = 256
"""Snapshots that wait to be stored. They share what they consist of with the sessions in memory."""

PAUSE_S = 0.05
"""Before each is stored: what was just decided is sent first."""

PART_BYTES_MAX = 64 * 1024 * 1024

Outcome = Literal["stored", "refused", "complete", "used", "other_code", "outdated", "unreadable"]
"""What became of a snapshot that was to be stored, or of one that was found. `complete`: it was
used, and nothing came after it but what had just arrived."""

_log = logging.getLogger(__name__)


class Snapshots:
    """Those of one worker. `fingerprint` is of the code that folds; without one there are none."""

    def __init__(
        self,
        store: SnapshotStore,
        fingerprint: str,
        *,
        metrics: WorkerMetrics,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        every: int = EVERY,
        short_max: int = SHORT_MAX,
        precedence: Precedence | None = None,
        resting: Resting | None = None,
        short_resting: Resting | None = None,
    ) -> None:
        self.every = every
        self.resting = resting or Resting()
        self.short_resting = short_resting or Resting(SHORT_REST_S, SHORT_PAUSE_S)
        self.short_max = short_max
        self._store = store
        self._fingerprint = fingerprint
        self._metrics = metrics
        self._sleep = sleep
        self._precedence = precedence or Precedence()
        self._offered = RecentDict[str, Snapshot](OFFERED_MAX)
        self._wake = asyncio.Event()

    async def read(self, session_id: str) -> Snapshot | None:
        """The session's snapshot, if the same code folded it; `count` what becomes of it."""
        if not self._fingerprint:
            return None
        try:
            if (body := await self._store.read(session_id)) is None:
                return None
            if not _is_of(self._fingerprint, body):
                self.count("other_code")
                return None
            with self._precedence.long():
                return await _read(body, session_id)
        except LogUnavailable as error:
            _log.warning("no snapshot is read", extra={"error": str(error)})
        except Exception:
            # Of the right version, and yet not as it was written: the log has everything.
            _log.exception("a snapshot cannot be read", extra={"session_id": session_id})
            self.count("unreadable")
        return None

    def count(self, outcome: Outcome) -> None:
        """Count what became of a snapshot."""
        self._metrics.snapshots.labels(outcome).inc()

    def settled(self, state: SessionState) -> None:
        """Store one if it is due. A long session that rests from now on gets another one then.

        Of a short one, what was appended to it is read then, unless it has ended.
        """
        session_id = state.session.session_id
        if (snapshot := state.due_snapshot(self.every)) is not None:
            self.offer(snapshot)
        if self.is_long(state):
            self.resting.begin(session_id)
        elif state.tail_seq > state.out_seq and state.latest().status != "ended":
            self.short_resting.begin(session_id)

    def is_long(self, state: SessionState) -> bool:
        """Whether the session has snapshots."""
        return state.size >= self.every

    def offer(self, snapshot: Snapshot) -> None:
        """Store it soon, in place of an earlier one of the session."""
        if self._fingerprint:
            self._offered[snapshot.session.session_id] = snapshot
            self._wake.set()

    async def keep_storing(self) -> None:
        """Store what is offered, one after another, forever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self.store_offered()

    async def store_offered(self) -> None:
        """Store all that was offered so far."""
        while self._offered:
            await self._sleep(PAUSE_S)
            session_id, snapshot = self._offered.popitem(last=False)
            try:
                with self._precedence.at_work(), self._precedence.long():
                    body = await _written(snapshot, self._fingerprint)
                is_stored = await self._store.write(session_id, body)
            except LogUnavailable as error:
                _log.warning("a snapshot is not stored", extra={"error": str(error)})
                is_stored = False
            except Exception:
                _log.exception("a snapshot cannot be stored", extra={"session_id": session_id})
                is_stored = False
            self.count("stored" if is_stored else "refused")
            if is_stored:
                self._metrics.snapshot_bytes.observe(len(body))


class _Stored(msgspec.Struct, array_like=True):
    """As it is on the stream. Other versions have a fingerprint in the first place, too."""

    fingerprint: str
    session_id: str
    in_seq: int
    out_seq: int
    out_at: datetime
    in_count: int
    out_count: int
    parts: list[bytes]  # each compressed


async def _written(snapshot: Snapshot, fingerprint: str) -> bytes:
    compressor = zstandard.ZstdCompressor(level=1, write_checksum=True)
    parts: list[bytes] = []
    slices = Slices()
    for part in parts_of(snapshot.session):
        parts.append(compressor.compress(part))
        await slices.yield_if_due()
    return msgspec.msgpack.encode(
        _Stored(
            fingerprint=fingerprint,
            session_id=snapshot.session.session_id,
            in_seq=snapshot.in_seq,
            out_seq=snapshot.out_seq,
            out_at=snapshot.out_at,
            in_count=snapshot.in_count,
            out_count=snapshot.out_count,
            parts=parts,
        )
    )


def _is_of(fingerprint: str, body: bytes) -> bool:
    """Whether that code folded it. Raises anything for what is not a snapshot."""
    [found, *_] = msgspec.msgpack.decode(body, type=list[msgspec.Raw])
    return bool(msgspec.msgpack.decode(found) == fingerprint)


async def _read(body: bytes, session_id: str) -> Snapshot:
    """Raises anything for what is not a snapshot of the session."""
    stored = msgspec.msgpack.decode(body, type=_Stored)
    if stored.session_id != session_id:
        raise ValueError(f"a snapshot of {stored.session_id}, not of {session_id}")
    decompressor = zstandard.ZstdDecompressor()
    found = StoredSession()
    slices = Slices()
    for part in stored.parts:
        found.add(decompressor.decompress(part, PART_BYTES_MAX))
        await slices.yield_if_due()
    return Snapshot(
        session=found.session(),
        in_seq=stored.in_seq,
        out_seq=stored.out_seq,
        out_at=stored.out_at,
        in_count=stored.in_count,
        out_count=stored.out_count,
    )
