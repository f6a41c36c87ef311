"""The event log: append a fact, read a session. Nothing outside needs to know JetStream.

Traps, each seen live: an append that timed out may have been stored, so it is retried with the same
id; after a conflict our own id may already be stored (R1 checks the position first, R3 the id); a
read of one session is two exact-subject reads, never a wildcard (0.5 ms against 13 to 58 ms).
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError

from offhook.codec.facts import Encoded
from offhook.errors import LogUnavailable, PositionTaken, words_of
from offhook.events import Record
from offhook.jetstream.client.inbox import Inbox
from offhook.jetstream.health.appends import Appends
from offhook.jetstream.message import ID_HEADER, headers_of, position_of_read, record_of
from offhook.jetstream.partitions import partitions_of
from offhook.jetstream.stream import TAKEN, partition_in, stream_of
from offhook.jetstream.subjects import Side, both_sides_of, partition_for, subject_of
from offhook.position import position_of, position_text, seq_of
from offhook.process.slices import Slices

APPEND_TIMEOUT_S = 8.0
"""Long enough for a cluster's election (5 to 8 s after a leader's kill -9)."""

READ_TIMEOUT_S = 2.0  # from message to message

API_TIMEOUT_S = 0.25
"""How long the API of JetStream may take, where it is a matter of speed only."""

NOT_ASKED_S = 60.0
"""How long it is not asked again after it did not answer: it may not be permitted."""

READ_BATCH_MAX = 1000


@dataclass(frozen=True, kw_only=True)
class Appended:
    """Where a fact is in the log. `duplicate`: it was stored before."""

    seq: int  # its position (`offhook.position`)
    duplicate: bool = False


@dataclass(frozen=True, kw_only=True)
class Counted:
    """How many records a session has on each side, of those up to a position or beyond it."""

    in_count: int
    out_count: int
    until: int  # position of the last record of the partition, when they were counted


class EventLog(Protocol):
    """What workers and the API use of the log; the stand-in of the tests implements it too."""

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

        `expected_seq` is the position of the last record on this side of the session, 0
        without one. If the last one is another, PositionTaken is raised, unless it is this very
        fact. Raises LogUnavailable after timeout_s; the fact may be stored even so.
        """
        ...

    async def read(
        self, session_id: str, *, in_after: int = 0, out_after: int = 0, limit: int | None = None
    ) -> Sequence[Record]:
        """The session's records above a position on each side, in order of seq.

        With a `limit` (at most READ_BATCH_MAX), only the first ones of each side, that many.
        On a cluster a read may miss an append that was acknowledged before it, and one side may be
        older than the other, so there is a position for each. Raises LogUnavailable.
        """
        ...

    async def record_at(self, session_id: str, position: int) -> Record | None:
        """The session's record at a position; None if it has none there. Raises LogUnavailable.

        For one record this is cheaper than `read`, above all among old ones.
        """
        ...

    async def counted(self, session_id: str) -> Counted | None:
        """How many records the session has; None without an answer at once.

        Cheaper than any read of old records: the log knows it without looking at them.
        """
        ...


class JetStreamLog:
    """The event log on JetStream streams, one for each partition."""

    def __init__(
        self,
        client: Client,
        appends: Appends | None = None,
        *,
        partitions: int | None = None,
        readers: Sequence[Client] = (),
    ) -> None:
        """`appends` is updated with each outcome, for readiness.

        Without `partitions` the first read discovers their number. Sessions are read over the
        connections of `readers`, while there is one that is up.
        """
        self._client = client
        self._inbox = Inbox(client)
        self._read_inboxes = [Inbox(each) for each in readers]
        self._appends = appends or Appends()
        self._partitions = partitions
        self._ask_at: dict[
            str, float
        ] = {}  # a subject of the API, by the monotonic clock: not before

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
        """See `EventLog.append`."""
        try:
            appended = await self._append(
                session_id, side, encoded, expected_seq, headers, timeout_s
            )
        except PositionTaken:
            self._appends.taken()  # the log took somebody else's record
            raise
        except _TooLarge:
            raise  # says nothing about other records
        except LogUnavailable as error:
            self._appends.refused(str(error))
            raise
        self._appends.taken()
        return appended

    async def _append(
        self,
        session_id: str,
        side: Side,
        encoded: Encoded,
        expected_seq: int | None,
        headers: Mapping[str, str] | None,
        timeout_s: float,
    ) -> Appended:
        subject = subject_of(session_id, side)
        fields = headers_of(encoded, expected_seq, headers)
        said = ""  # what the server said of the last try that it answered
        late: list[Msg] = []  # answers to tries that were not waited for any longer
        deadline = time.monotonic() + timeout_s
        left_s, pause_s = timeout_s, _PAUSE_FIRST_S
        while left_s > 0:
            answer = await self._publish(subject, encoded.body, fields, min(_TRY_S, left_s), late)
            # A log that takes long answers all tries, and the first one is what counts: it was
            # stored where it was expected, and not found there.
            answer = _stored_late(late) or answer
            match answer:
                case _Ack(error=None):
                    return Appended(seq=answer.position, duplicate=answer.duplicate)
                case _Ack(error=_Error(err_code=err_code)) if err_code in TAKEN:
                    return await self._own(session_id, side, encoded.fact_id, expected_seq or 0)
                case _Ack(error=_Error(code=code, err_code=err_code) as error):
                    if err_code != _IN_PROCESS:
                        said = f"NATS says: {error}"
                        if err_code == _TOO_LARGE:
                            raise _TooLarge(f"{subject}: {len(encoded.body)} bytes; {said}")
                        if code != _UNAVAILABLE:
                            raise LogUnavailable(f"{subject}: {said}")
            await asyncio.sleep(min(pause_s, max(0.0, deadline - time.monotonic())))
            left_s = deadline - time.monotonic()
            pause_s = min(pause_s * 2, _PAUSE_MAX_S)
        why = said or self._appends.known
        raise LogUnavailable(
            f"{subject}: no acknowledgement in {timeout_s} s" + (f"; {why}" if why else "")
        )

    async def _publish(
        self,
        subject: str,
        body: bytes,
        headers: Mapping[str, str],
        timeout_s: float,
        late: list[Msg],
    ) -> "_Ack | None":
        """The stream's answer; None without one, as while a cluster elects a leader.

        One that comes too late is added to `late`.
        """
        try:
            answer = await self._inbox.request(subject, body, headers, timeout_s, late.append)
            # Without data the server says that nobody listens on the subject.
            return _ACKS.decode(answer.data) if answer.data else None
        except (NoRespondersError, TimeoutError):
            return None
        except (NatsError, msgspec.DecodeError) as error:
            raise LogUnavailable(f"{subject}: {words_of(error)}") from error

    async def _own(self, session_id: str, side: Side, fact_id: str, expected_seq: int) -> Appended:
        """Where our own fact is after a conflict. Raises PositionTaken if another is there."""
        for message in await self._read(session_id, side, expected_seq):
            if fact_id and (message.headers or {}).get(ID_HEADER) == fact_id:
                return Appended(seq=position_of_read(message), duplicate=True)
        subject = subject_of(session_id, side)
        raise PositionTaken(f"{subject} has moved on from position {position_text(expected_seq)}")

    async def read(
        self, session_id: str, *, in_after: int = 0, out_after: int = 0, limit: int | None = None
    ) -> Sequence[Record]:
        """See `EventLog.read`."""
        records: list[Record] = []
        slices = Slices()
        for message in await self.messages(
            session_id, in_after=in_after, out_after=out_after, limit=limit
        ):
            records.append(record_of(message))
            await slices.yield_if_due()
        return sorted(records, key=lambda record: record.seq)

    async def record_at(self, session_id: str, position: int) -> Record | None:
        """See `EventLog.record_at`."""
        ask = json.dumps({"seq": seq_of(position)}).encode()
        stream = await self._stream(session_id)
        await self._load(stream, ask)
        direct_get = f"$JS.API.DIRECT.GET.{stream}"
        try:
            answer = await self._free_inbox().request(direct_get, ask, {}, READ_TIMEOUT_S)
        except (NatsError, TimeoutError) as error:
            raise _unread(f"{session_id} at {position_text(position)}", error) from error
        headers = answer.headers or {}
        match headers.get("Status"):
            case None:
                subjects = [subject_of(session_id, side) for side in ("in", "out")]
                is_it = headers["Nats-Subject"] in subjects and position_of_read(answer) == position
                # That of another session is not read: it may be one that cannot be.
                return record_of(answer) if is_it else None
            case "404":
                return None
            case status:
                description = headers.get("Description", "")
                raise LogUnavailable(f"{session_id}: read answered {status} {description}")

    async def counted(self, session_id: str) -> Counted | None:
        """See `EventLog.counted`."""
        stream = await self._stream(session_id)
        ask = json.dumps({"subjects_filter": both_sides_of(session_id)}).encode()
        answer = await self._told(f"$JS.API.STREAM.INFO.{stream}", ask)
        if answer is None:
            return None
        try:
            state = _INFOS.decode(answer.data).state
        except msgspec.DecodeError:
            return None
        return Counted(
            in_count=state.subjects.get(subject_of(session_id, "in"), 0),
            out_count=state.subjects.get(subject_of(session_id, "out"), 0),
            until=position_of(partition_in(stream), state.last_seq),
        )

    async def messages(
        self, session_id: str, *, in_after: int = 0, out_after: int = 0, limit: int | None = None
    ) -> list[Msg]:
        """What `read` reads, as it is stored: `.in` then `.out`. Raises LogUnavailable."""
        both = await asyncio.gather(
            self._read(session_id, "in", in_after, limit),
            self._read(session_id, "out", out_after, limit),
        )
        return [*chain(*both)]

    async def _read(
        self, session_id: str, side: Side, after: int, limit: int | None = None
    ) -> list[Msg]:
        """Every message of one side of a session above a position, oldest first.

        At most `limit` if there is one.
        """
        subject, from_seq = subject_of(session_id, side), seq_of(after) + 1
        direct_get = f"$JS.API.DIRECT.GET.{await self._stream(session_id)}"
        messages: list[Msg] = []
        try:
            while True:
                batch_max = READ_BATCH_MAX if limit is None else limit - len(messages)
                ask = {"seq": from_seq, "batch": batch_max, "next_by_subj": subject}
                inbox = self._free_inbox()
                async with inbox.answers(direct_get, json.dumps(ask).encode()) as queue:
                    batch, is_last = await _collect(queue, subject)
                messages += batch
                if is_last or len(messages) == limit:
                    return messages
                from_seq = seq_of(position_of_read(batch[-1])) + 1
        except (NatsError, TimeoutError) as error:
            raise _unread(subject, error) from error

    def _free_inbox(self) -> Inbox:
        """Of the connection to read on: the one with the fewest reads in progress.

        nats-server answers the reads of one connection one after the other, and takes milliseconds
        to find old records, in which it takes nothing else from that connection either.
        """
        connected = [each for each in self._read_inboxes if each.is_connected]
        return min(connected, key=lambda each: each.waiting, default=self._inbox)

    async def _load(self, stream: str, ask: bytes) -> None:
        """Have the block of an old record loaded into the memory of nats-server, if it answers.

        That takes 5 to 8 ms, in which a thread of nats-server does nothing else. A direct get is
        answered by the one that reads from connections. If it was the only one awake, no other
        looks at them meanwhile, and whatever else arrives waits. This request goes to another.
        """
        await self._told(f"$JS.API.STREAM.MSG.GET.{stream}", ask)

    async def _told(self, subject: str, ask: bytes) -> Msg | None:
        """What the API of JetStream answers; None if it does not soon, and then not asked."""
        if time.monotonic() < self._ask_at.get(subject, 0.0):
            return None
        try:
            return await self._free_inbox().request(subject, ask, {}, API_TIMEOUT_S)
        except (NatsError, TimeoutError):
            self._ask_at[subject] = time.monotonic() + NOT_ASKED_S
            return None

    async def _stream(self, session_id: str) -> str:
        """The stream of the session's partition."""
        if self._partitions is None:
            self._partitions = await partitions_of(self._client)
        partition = partition_for(session_id, self._partitions)
        return stream_of(partition, self._partitions)


async def pages(
    log: EventLog,
    session_id: str,
    *,
    in_after: int = 0,
    out_after: int = 0,
    limit: int | None = None,
) -> AsyncIterator[Sequence[Record]]:
    """What `read` returns, page by page: a long call read at once fills the memory.

    A page has at most `limit` records of each side, READ_BATCH_MAX without one. Each side is in
    order; the one may be ahead of the other. Raises LogUnavailable.
    """
    limit = limit or READ_BATCH_MAX
    while True:
        page = await log.read(session_id, in_after=in_after, out_after=out_after, limit=limit)
        yield page
        if is_last(page, limit):
            return
        in_after = max((each.seq for each in page if each.side == "in"), default=in_after)
        out_after = max((each.seq for each in page if each.side == "out"), default=out_after)


def is_last(page: Sequence[Record], limit: int) -> bool:
    """Whether a page that was read with this limit has the last records of both sides."""
    of_in = sum(each.side == "in" for each in page)
    return max(of_in, len(page) - of_in) < limit


def _unread(what: str, error: Exception) -> LogUnavailable:
    return LogUnavailable(f"{what}: no answer to a read: {words_of(error)}")


class _TooLarge(LogUnavailable):
    """Refused for its size, which says nothing about other records."""


class _Error(msgspec.Struct):
    code: int = 0
    err_code: int = 0
    description: str = ""

    def __str__(self) -> str:
        return f"{self.description} (code {self.code}, err_code {self.err_code})"


class _Ack(msgspec.Struct):
    """What JetStream answers to a publish."""

    stream: str = ""
    seq: int = 0
    duplicate: bool = False
    error: _Error | None = None

    @property
    def position(self) -> int:
        return position_of(partition_in(self.stream), self.seq)


_ACKS = msgspec.json.Decoder(_Ack)


class _State(msgspec.Struct):
    last_seq: int
    subjects: dict[str, int] = {}


class _Info(msgspec.Struct):
    """What JetStream says about a stream."""

    state: _State


_INFOS = msgspec.json.Decoder(_Info)


def _stored_late(late: Sequence[Msg]) -> _Ack | None:
    """The answer to the try that stored the record."""
    for message in late:
        try:
            answer = _ACKS.decode(message.data)
        except msgspec.DecodeError:
            continue
        if answer.error is None and not answer.duplicate:
            return answer
    return None


async def _collect(queue: "asyncio.Queue[Msg]", subject: str) -> tuple[list[Msg], bool]:
    """A batch, and whether it is the last one: a batch also ends at 64 MB.

    Raises TimeoutError if no message comes for READ_TIMEOUT_S: all of a long call may take longer.
    """
    messages: list[Msg] = []
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(READ_TIMEOUT_S) as limit:
        while True:
            message = await queue.get()
            if queue.empty():
                limit.reschedule(loop.time() + READ_TIMEOUT_S)
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


# 10158: the first copy of this very message is still on its way through the cluster.
_IN_PROCESS = 10158
_TOO_LARGE = 10054
_UNAVAILABLE = 503
_TRY_S = 1.0
_PAUSE_FIRST_S = 0.05
_PAUSE_MAX_S = 1.0
