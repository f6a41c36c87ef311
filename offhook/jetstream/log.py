"""The event log: append a fact, read a session. Nothing outside needs to know JetStream.

Traps, each seen live: an append that timed out may have been stored, so it is retried with the same
id; after a conflict our own id may already be stored (R1 checks the position first, R3 the id).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError

from offhook.codec.facts import Encoded
from offhook.errors import LogUnavailable, PositionTaken, words_of
from offhook.events import Record
from offhook.jetstream.health.appends import Appends
from offhook.jetstream.message import ID_HEADER, headers_of, position_of_read
from offhook.jetstream.reads import READ_BATCH_MAX, Counted, SessionReads
from offhook.jetstream.stream import TAKEN, partition_in
from offhook.jetstream.subjects import Side, subject_of
from offhook.position import position_of, position_text

APPEND_TIMEOUT_S = 8.0
"""Long enough for a cluster's election (5 to 8 s after a leader's kill -9)."""


@dataclass(frozen=True, kw_only=True)
class Appended:
    """Where a fact is in the log. `duplicate`: it was stored before."""

    seq: int  # its position (`offhook.position`)
    duplicate: bool = False


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

    async def read_few(
        self, session_id: str, *, in_after: int, out_after: int, in_count: int, out_count: int
    ) -> Sequence[Record]:
        """The first records above a position on each side, so many, in order of seq.

        They are read one by one, and nothing is looked for beyond them: among old ones that is
        cheaper than `read` if there are few. Raises LogUnavailable.
        """
        ...

    async def record_at(self, session_id: str, position: int) -> Record | None:
        """The session's record at a position; None if it has none there. Raises LogUnavailable.

        For one record this is cheaper than `read`, above all among old ones.
        """
        ...

    async def began_at(self, session_id: str) -> datetime | None:
        """When the first record on the session's `.in` was stored.

        None without one, or without an answer at once.
        """
        ...

    async def counted(self, session_id: str) -> Counted | None:
        """How many records the session has; None without an answer at once.

        Cheaper than any read of old records: the log knows it without looking at them.
        """
        ...


class JetStreamLog(SessionReads):
    """The event log on JetStream: what is read, and appends."""

    def __init__(
        self,
        client: Client,
        appends: Appends | None = None,
        *,
        partitions: int | None = None,
        readers: Sequence[Client] = (),
    ) -> None:
        """`appends` is updated with each outcome, for readiness. The rest: `SessionReads`."""
        super().__init__(client, partitions=partitions, readers=readers)
        self._appends = appends or Appends()

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


# 10158: the first copy of this very message is still on its way through the cluster.
_IN_PROCESS = 10158
_TOO_LARGE = 10054
_UNAVAILABLE = 503
_TRY_S = 1.0
_PAUSE_FIRST_S = 0.05
_PAUSE_MAX_S = 1.0
