"""Reads of sessions, over connections of their own: records of each side, one record, how many.

A read of one session is two exact-subject reads, never a wildcard (0.5 ms against 13 to 58 ms).
What nats-server does for old records is in `docs/decisions/0059-…`.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from offhook.errors import LogUnavailable, words_of
from offhook.events import Record
from offhook.jetstream.client.inbox import Inbox
from offhook.jetstream.message import position_of_read, record_of
from offhook.jetstream.partitions import partitions_of
from offhook.jetstream.stream import partition_in, stream_of
from offhook.jetstream.subjects import Side, both_sides_of, partition_for, subject_of
from offhook.position import position_of, position_text, seq_of
from offhook.process.slices import Slices

READ_TIMEOUT_S = 2.0  # from message to message

API_TIMEOUT_S = 0.25
"""How long the API of JetStream may take, where it is a matter of speed only."""

SLOW_S = 0.05
"""While it has not answered for so long, no other read asks and waits as well."""

NOT_ASKED_S = 60.0
"""How long it is not asked again after it did not answer: it may not be permitted."""

READ_BATCH_MAX = 1000


@dataclass(frozen=True, kw_only=True)
class Counted:
    """How many records a session has on each side, of those up to a position or beyond it."""

    in_count: int
    out_count: int
    until: int  # position of the last record of the partition, when they were counted


class SessionReads:
    """What is read of sessions, on one stream for each partition: see `EventLog`."""

    def __init__(
        self, client: Client, *, partitions: int | None = None, readers: Sequence[Client] = ()
    ) -> None:
        """Without `partitions` the first read discovers their number.

        Sessions are read over the connections of `readers`, while there is one that is up.
        """
        self._client = client
        self._inbox = Inbox(client)
        self._read_inboxes = [Inbox(each) for each in readers]
        self._partitions = partitions
        # By subject, by the monotonic clock: not to be asked before, and asked without an answer.
        self._ask_at: dict[str, float] = {}
        self._asked_at: dict[str, float] = {}

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

    async def read_few(
        self, session_id: str, *, in_after: int, out_after: int, in_count: int, out_count: int
    ) -> Sequence[Record]:
        """See `EventLog.read_few`."""
        both = await asyncio.gather(
            self._next_ones(subject_of(session_id, "in"), session_id, in_after, in_count),
            self._next_ones(subject_of(session_id, "out"), session_id, out_after, out_count),
        )
        return sorted(map(record_of, chain(*both)), key=lambda record: record.seq)

    async def record_at(self, session_id: str, position: int) -> Record | None:
        """See `EventLog.record_at`."""
        ask = json.dumps({"seq": seq_of(position)}).encode()
        stream = await self._stream(session_id)
        await self._load(stream, ask)
        answer = await self._one(stream, ask, f"{session_id} at {position_text(position)}")
        if answer is None:
            return None
        subjects = [subject_of(session_id, side) for side in ("in", "out")]
        is_of = (answer.headers or {})["Nats-Subject"] in subjects
        # That of another session is not read: it may be one that cannot be.
        return record_of(answer) if is_of and position_of_read(answer) == position else None

    async def began_at(self, session_id: str) -> datetime | None:
        """See `EventLog.began_at`."""
        stream = await self._stream(session_id)
        ask = json.dumps({"seq": 1, "next_by_subj": subject_of(session_id, "in")}).encode()
        answer = await self._told(f"$JS.API.STREAM.MSG.GET.{stream}", ask)
        if answer is None:
            return None
        try:
            return _GOTS.decode(answer.data).message.time
        except msgspec.DecodeError:
            return None

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

    async def _next_ones(
        self, subject: str, session_id: str, after: int, count: int
    ) -> Sequence[Msg]:
        """The next messages on a subject, so many if there are.

        Each without `batch`: with it nats-server counts those that follow, up to the end.
        """
        stream = await self._stream(session_id)
        found: list[Msg] = []
        while len(found) < count:
            from_seq = seq_of(position_of_read(found[-1]) if found else after) + 1
            ask = json.dumps({"seq": from_seq, "next_by_subj": subject}).encode()
            if not found:
                await self._load(stream, ask)
            if (answer := await self._one(stream, ask, subject)) is None:
                break
            found.append(answer)
        return found

    async def _one(self, stream: str, ask: bytes, what: str) -> Msg | None:
        """The message that a direct get asks for; None if there is none. Raises LogUnavailable."""
        direct_get = f"$JS.API.DIRECT.GET.{stream}"
        try:
            answer = await self._free_inbox().request(direct_get, ask, {}, READ_TIMEOUT_S)
        except (NatsError, TimeoutError) as error:
            raise _unread(what, error) from error
        headers = answer.headers or {}
        match headers.get("Status"):
            case None:
                return answer
            case "404":
                return None
            case status:
                description = headers.get("Description", "")
                raise LogUnavailable(f"{what}: read answered {status} {description}")

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
        """What the API of JetStream answers; None without an answer soon.

        Then it is not asked again for NOT_ASKED_S, nor while it may come to that.
        """
        now = time.monotonic()
        is_slow = now - self._asked_at.get(subject, now) > SLOW_S
        if is_slow or now < self._ask_at.get(subject, 0.0):
            return None
        is_only_one = subject not in self._asked_at
        if is_only_one:
            self._asked_at[subject] = now
        try:
            return await self._free_inbox().request(subject, ask, {}, API_TIMEOUT_S)
        except (NatsError, TimeoutError):
            self._ask_at[subject] = time.monotonic() + NOT_ASKED_S
            return None
        finally:
            if is_only_one:
                del self._asked_at[subject]

    async def _stream(self, session_id: str) -> str:
        """The stream of the session's partition."""
        if self._partitions is None:
            self._partitions = await partitions_of(self._client)
        partition = partition_for(session_id, self._partitions)
        return stream_of(partition, self._partitions)


def _unread(what: str, error: Exception) -> LogUnavailable:
    return LogUnavailable(f"{what}: no answer to a read: {words_of(error)}")


class _State(msgspec.Struct):
    last_seq: int
    subjects: dict[str, int] = {}


class _Info(msgspec.Struct):
    """What JetStream says about a stream."""

    state: _State


_INFOS = msgspec.json.Decoder(_Info)


class _Message(msgspec.Struct):
    time: datetime


class _Got(msgspec.Struct):
    """What JetStream answers when it is asked for a message."""

    message: _Message


_GOTS = msgspec.json.Decoder(_Got)


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
