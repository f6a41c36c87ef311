"""The stand-in log: a list. It passes the same suite as JetStream (`test_event_log.py`)."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from nats.aio.client import Client
from nats.aio.msg import Msg

from offhook.codec.facts import Encoded, decode, fact_id_of
from offhook.errors import PositionTaken
from offhook.events import Record
from offhook.jetstream.log import APPEND_TIMEOUT_S, Appended
from offhook.jetstream.message import (
    TRACE_HEADER,
    headers_of,
    imported_from,
    stored_elsewhere_at,
)
from offhook.jetstream.reads import Counted
from offhook.jetstream.stream import STREAM
from offhook.jetstream.subjects import Side, subject_of


class MemoryLog:
    """`now` is its clock: set it to move time."""

    def __init__(self, now: datetime = datetime(2026, 11, 22, tzinfo=UTC)) -> None:
        self.now = now
        self._stored: list[tuple[Side, Record]] = []
        self._client = Client()
        self._messages: dict[int, Msg] = {}
        self._seqs: dict[str, int] = {}
        self.last_seq = 0

    async def append(
        self,
        session_id: str,
        side: Side,
        encoded: Encoded,
        *,
        expected_seq: int | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = APPEND_TIMEOUT_S,
    ) -> Appended:
        known = self._seqs.get(encoded.fact_id)
        if known is not None:
            return Appended(seq=known, duplicate=True)
        here = [
            record.seq
            for stored_side, record in self._stored
            if stored_side == side and record.session_id == session_id
        ]
        if expected_seq is not None and expected_seq != max(here, default=0):
            raise PositionTaken(f"{session_id}.{side} has moved on from sequence {expected_seq}")
        self.last_seq += 1
        seq = self.last_seq
        fact = decode(encoded.type, encoded.version, encoded.body)
        record = Record(
            seq=seq,
            stored_at=stored_elsewhere_at(headers or {}) or self.now,
            session_id=session_id,
            fact=fact,
            fact_id=fact_id_of(fact, session_id),
            traceparent=(headers or {}).get(TRACE_HEADER, ""),
            imported_from=imported_from(headers or {}),
        )
        self._stored.append((side, record))
        read = {
            "Nats-Subject": subject_of(session_id, side),
            "Nats-Stream": STREAM,
            "Nats-Sequence": str(seq),
            "Nats-Time-Stamp": f"{self.now:%Y-%m-%dT%H:%M:%S.%f}000Z",
        }
        self._messages[seq] = Msg(
            self._client, data=encoded.body, headers=headers_of(encoded, None, headers) | read
        )
        if encoded.fact_id:
            self._seqs[encoded.fact_id] = seq
        self.now += timedelta(microseconds=1)
        return Appended(seq=seq)

    async def read(
        self, session_id: str, *, in_after: int = 0, out_after: int = 0, limit: int | None = None
    ) -> Sequence[Record]:
        after = {"in": in_after, "out": out_after}
        found: list[Record] = []
        counts = dict.fromkeys(after, 0)
        for side, record in self._stored:
            if record.session_id != session_id or record.seq <= after[side]:
                continue
            if limit is None or counts[side] < limit:
                found.append(record)
            counts[side] += 1
        return found

    async def messages(
        self, session_id: str, *, in_after: int = 0, out_after: int = 0, limit: int | None = None
    ) -> Sequence[Msg]:
        records = await self.read(session_id, in_after=in_after, out_after=out_after, limit=limit)
        return [self._messages[each.seq] for each in records]

    async def read_few(
        self, session_id: str, *, in_after: int, out_after: int, in_count: int, out_count: int
    ) -> Sequence[Record]:
        found: list[Record] = []
        left = {"in": (in_after, in_count), "out": (out_after, out_count)}
        for side, record in self._stored:
            after, count = left[side]
            if record.session_id == session_id and record.seq > after and count:
                found.append(record)
                left[side] = (after, count - 1)
        return found

    async def record_at(self, session_id: str, position: int) -> Record | None:
        for _, record in self._stored:
            if (record.session_id, record.seq) == (session_id, position):
                return record
        return None

    async def began_at(self, session_id: str) -> datetime | None:
        for side, record in self._stored:
            if (side, record.session_id) == ("in", session_id):
                return record.stored_at
        return None

    async def counted(self, session_id: str) -> Counted | None:
        return self.counted_until(session_id, self.last_seq)

    def counted_until(self, session_id: str, until: int) -> Counted:
        sides = [
            side
            for side, record in self._stored
            if record.session_id == session_id and record.seq <= until
        ]
        return Counted(in_count=sides.count("in"), out_count=sides.count("out"), until=until)

    def forget(self, session_id: str) -> None:
        """Its records leave the log, as an archive run and an erasure make them."""
        self._stored = [
            (side, record) for side, record in self._stored if record.session_id != session_id
        ]
        self._seqs.clear()  # the window is long over
