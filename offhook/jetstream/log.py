"""The event log: append a fact, read a session. What JetStream does under it stays in here.

Traps honoured, each seen live: an append that timed out may have landed, so it is repeated with the
same id; after a conflict the own id may already be there (R1 checks the position first, R3 the
id); a read of one session is two exact-subject reads, never a wildcard (0.5 ms against 13 to 58).
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.js.errors import APIError, NoStreamResponseError

from offhook.codec import Encoded, decode, fact_id_of
from offhook.errors import LogUnavailable, PositionTaken
from offhook.events import Record
from offhook.jetstream.stream import STREAM
from offhook.jetstream.subjects import Side, parse, subject_of

TYPE_HEADER = "Offhook-Type"
VERSION_HEADER = "Offhook-Version"
ID_HEADER = "Nats-Msg-Id"
TRACE_HEADER = "traceparent"

APPEND_TIMEOUT_S = 8.0
"""Rides out an election of a cluster (5 to 8 s after a leader's kill -9)."""

READ_TIMEOUT_S = 2.0
READ_BATCH_MAX = 1000


@dataclass(frozen=True, kw_only=True)
class Appended:
    """Where a fact is in the log. `duplicate`: it had been there before."""

    seq: int  # stream sequence
    duplicate: bool = False


class EventLog(Protocol):
    """What workers and the API ask of the log; the stand-in of the tests keeps to it too."""

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
        """Append durably.

        `expected_seq` is the stream sequence of the last record on this side of the session, 0
        for none: if it is another one, PositionTaken is raised, unless this very fact is what was
        appended. Raises LogUnavailable after timeout_s; the fact may land all the same.
        """
        ...

    async def read(
        self, session_id: str, *, in_after: int = 0, out_after: int = 0
    ) -> Sequence[Record]:
        """The session's records above a stream sequence on each side, in order of seq.

        On a cluster a read may be older than an append that was acknowledged before it, and one
        side may be older than the other: so a position is kept for each. Raises LogUnavailable.
        """
        ...


class JetStreamLog:
    """The event log on a JetStream stream."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._js = client.jetstream()
        self._replies = _Replies(client)

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
        subject = subject_of(session_id, side)
        fields = _headers(encoded, expected_seq, headers)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._append(subject, encoded, fields, expected_seq, timeout_s)
        except TimeoutError as error:
            raise LogUnavailable(f"{subject}: no acknowledgement in {timeout_s} s") from error

    async def _append(
        self,
        subject: str,
        encoded: Encoded,
        headers: Mapping[str, str],
        expected_seq: int | None,
        timeout_s: float,
    ) -> Appended:
        pause_s = _PAUSE_FIRST_S
        while True:
            try:
                # nats-py writes into the headers it is given, so every try gets its own.
                ack = await self._js.publish(
                    subject,
                    encoded.body,
                    timeout=min(_TRY_S, timeout_s),
                    headers=dict(headers),
                )
            except APIError as error:
                if error.err_code in _TAKEN:
                    return await self._own(subject, encoded.fact_id, expected_seq or 0)
                if error.code != _UNAVAILABLE and error.err_code != _IN_PROCESS:
                    raise LogUnavailable(f"{subject}: {error!r}") from error
            except (NoStreamResponseError, NoRespondersError, TimeoutError):
                pass
            except NatsError as error:
                raise LogUnavailable(f"{subject}: {error!r}") from error
            else:
                return Appended(seq=ack.seq, duplicate=bool(ack.duplicate))
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _PAUSE_MAX_S)

    async def _own(self, subject: str, fact_id: str, expected_seq: int) -> Appended:
        """The place of our own fact after a conflict. Raises PositionTaken if it is another's."""
        for message in await self._replies.read(subject, expected_seq + 1):
            if fact_id and (message.headers or {}).get(ID_HEADER) == fact_id:
                return Appended(seq=_seq_of(message), duplicate=True)
        raise PositionTaken(f"{subject} has moved on from sequence {expected_seq}")

    async def read(
        self, session_id: str, *, in_after: int = 0, out_after: int = 0
    ) -> Sequence[Record]:
        both = await asyncio.gather(
            self._replies.read(subject_of(session_id, "in"), in_after + 1),
            self._replies.read(subject_of(session_id, "out"), out_after + 1),
        )
        records = [record_of(message) for side in both for message in side]
        return sorted(records, key=lambda record: record.seq)


def record_of(message: Msg) -> Record:
    """The record in a direct-get answer or a consumer's delivery. Raises RecordUnreadable."""
    headers = message.headers or {}
    if "Nats-Sequence" in headers:
        subject, seq, stored_at = (
            headers["Nats-Subject"],
            _seq_of(message),
            _time_of(headers),
        )
    else:
        metadata = message.metadata
        subject, seq = message.subject, metadata.sequence.stream
        stored_at = metadata.timestamp.astimezone(UTC)
    place = parse(subject)
    session_id = place.session_id if place is not None else subject
    type_name = headers.get(TYPE_HEADER, "")
    fact = decode(type_name, int(headers.get(VERSION_HEADER, "0")), message.data)
    return Record(
        seq=seq,
        stored_at=stored_at,
        session_id=session_id,
        fact=fact,
        fact_id=fact_id_of(fact, session_id),
        traceparent=headers.get(TRACE_HEADER, ""),
    )


class _Replies:
    """Direct-get reads over one long-lived inbox: a subscription a read would cost more."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._prefix = client.new_inbox()
        self._waiting: dict[str, asyncio.Queue[Msg]] = {}
        self._subscription: Subscription | None = None
        self._count = 0
        self._starting = asyncio.Lock()

    async def read(self, subject: str, from_seq: int) -> list[Msg]:
        """Every message on exactly `subject` from a stream sequence on, oldest first."""
        await self._start()
        messages: list[Msg] = []
        try:
            while True:
                batch, is_last = await self._read_batch(subject, from_seq)
                messages += batch
                if is_last:
                    return messages
                from_seq = _seq_of(batch[-1]) + 1
        except (NatsError, TimeoutError) as error:
            raise LogUnavailable(f"{subject}: no answer to a read: {error!r}") from error

    async def _start(self) -> None:
        if self._subscription is None:
            async with self._starting:
                if self._subscription is None:
                    self._subscription = await self._client.subscribe(
                        f"{self._prefix}.*", cb=self._arrived
                    )

    async def _arrived(self, message: Msg) -> None:
        queue = self._waiting.get(message.subject.rpartition(".")[2])
        if queue is not None:
            queue.put_nowait(message)

    async def _read_batch(self, subject: str, from_seq: int) -> tuple[list[Msg], bool]:
        self._count += 1
        token = str(self._count)
        queue: asyncio.Queue[Msg] = asyncio.Queue()
        self._waiting[token] = queue
        ask = {"seq": from_seq, "batch": READ_BATCH_MAX, "next_by_subj": subject}
        try:
            await self._client.publish(
                f"$JS.API.DIRECT.GET.{STREAM}",
                json.dumps(ask).encode(),
                reply=f"{self._prefix}.{token}",
            )
            return await _collect(queue, subject)
        finally:
            del self._waiting[token]


async def _collect(queue: "asyncio.Queue[Msg]", subject: str) -> tuple[list[Msg], bool]:
    """A batch, and whether it is the last one: 64 MB end a batch before its number does."""
    messages: list[Msg] = []
    async with asyncio.timeout(READ_TIMEOUT_S):
        while True:
            message = await queue.get()
            headers = message.headers or {}
            match headers.get("Status"):
                case None:
                    messages.append(message)
                case "204" | "404":  # the end of the batch, or nothing stored
                    is_last = not messages or headers.get("Nats-Num-Pending", "0") == "0"
                    return messages, is_last
                case status:
                    description = headers.get("Description", "")
                    raise LogUnavailable(f"{subject}: read answered {status} {description}")


def _headers(
    encoded: Encoded, expected_seq: int | None, more: Mapping[str, str] | None
) -> dict[str, str]:
    headers = {
        TYPE_HEADER: encoded.type,
        VERSION_HEADER: str(encoded.version),
        **(more or {}),
    }
    if encoded.fact_id:
        headers[ID_HEADER] = encoded.fact_id
    if expected_seq is not None:
        headers["Nats-Expected-Last-Subject-Sequence"] = str(expected_seq)
    return headers


def _seq_of(message: Msg) -> int:
    return int((message.headers or {})["Nats-Sequence"])


def _time_of(headers: Mapping[str, str]) -> datetime:
    # Nanoseconds, of which datetime keeps the microseconds.
    text = headers["Nats-Time-Stamp"].removesuffix("Z")
    whole, _, fraction = text.partition(".")
    return datetime.fromisoformat(f"{whole}.{fraction[:6]:0<6}+00:00")


# 10071: wrong last sequence. 10164: a publish on this subject is in flight (replicated streams).
_TAKEN = frozenset({10071, 10164})
# 10158: the first copy of this very message is still on its way through the cluster.
_IN_PROCESS = 10158
_UNAVAILABLE = 503
_TRY_S = 1.0
_PAUSE_FIRST_S = 0.05
_PAUSE_MAX_S = 1.0
