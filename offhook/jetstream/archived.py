"""Which sessions were archived or erased: marks that a worker can ask for.

A record of such a session may arrive long afterwards, and the log has nothing of the session any
more: no flow must be asked about what looks like a new call. A mark is a digest of the session's
id. The marks of a bucket are one message, on a subject of its own: to look for one is to read that,
however many there are, and a subject for each would cost the server half a kilobyte of memory.
"""

import asyncio
import hashlib
import json
import time
import zlib
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import RetentionPolicy, StorageType, StoreCompression, StreamConfig, StreamInfo
from nats.js.errors import APIError, NotFoundError

from offhook.errors import LogUnavailable, words_of
from offhook.jetstream.client.inbox import Inbox
from offhook.jetstream.partitions import partitions_of
from offhook.jetstream.stream import EXPECTED_SEQ_HEADER, TAKEN, stream_of

ARCHIVED = "ARCHIVED"
"""The stream; made by the first archive run. Without it nothing was archived."""

BUCKETS = 4_096
"""Never change it: stored subjects carry it. Of 10 million marks a bucket has 2,400, 38 kB."""

ABSENT_S = 0.5
"""How long it is believed that there is no such stream. The run that creates it waits longer."""

BATCH_MAX = 1_000
TIMEOUT_S = 2.0
UPDATE_TIMEOUT_S = 300.0
"""In which the server removes what an earlier version wrote: 2 s for 50,000 messages."""

AT_ONCE = 64

TRIES_MAX = 10
"""How often a bucket is read again that another run has changed, or that a replica has not yet."""

PAUSE_S = 0.1

_PREFIX = "archived."
_DIGEST_BYTES = 16


class ArchivedMarks:
    """Adds marks and finds them."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._inbox = Inbox(client)
        self._absent_until = 0.0

    async def add(self, session_ids: Iterable[str]) -> None:
        """Mark the sessions. Raises LogUnavailable."""
        wanted: defaultdict[str, set[bytes]] = defaultdict(set)
        for session_id in session_ids:
            wanted[_subject(session_id)].add(_digest(session_id))
        try:
            stream = await self._stream()
            if stream.config.max_msgs_per_subject != 1:
                await self._put_together(stream)
            await self._add_all(wanted)
        except _NoAnswer:
            raise LogUnavailable(f"stream {ARCHIVED} does not answer a read") from None
        except (NatsError, TimeoutError) as error:
            raise LogUnavailable(f"stream {ARCHIVED}: {words_of(error)}") from error

    async def contains(self, session_id: str) -> bool:
        """Whether the session is marked. Raises LogUnavailable."""
        if time.monotonic() < self._absent_until:
            return False
        digest = _digest(session_id)
        try:
            async for message in self._messages(_subject(session_id)):
                if digest in _digests_in(message):
                    return True
            return False
        except _NoAnswer:
            if await self._exists():
                raise LogUnavailable(f"stream {ARCHIVED} does not answer a read") from None
            self._absent_until = time.monotonic() + ABSENT_S
            return False
        except (NatsError, TimeoutError) as error:
            raise LogUnavailable(f"stream {ARCHIVED}: {words_of(error)}") from error

    async def _add_all(self, wanted: dict[str, set[bytes]]) -> None:
        slots = asyncio.Semaphore(AT_ONCE)

        async def add(subject: str, digests: set[bytes]) -> None:
            async with slots:
                await self._add(subject, digests)

        await asyncio.gather(*(add(*each) for each in wanted.items()))

    async def _add(self, subject: str, digests: set[bytes]) -> None:
        """Put the marks into the bucket's message, unless it has them."""
        for _ in range(TRIES_MAX):
            known: set[bytes] = set()
            last_seq = 0
            async for message in self._messages(subject):
                known |= _digests_in(message)
                last_seq = _seq_of(message)
            if digests <= known or await self._replaced(subject, known | digests, last_seq):
                return
            await asyncio.sleep(PAUSE_S)
        raise LogUnavailable(f"stream {ARCHIVED}: {subject} is changed by others all the time")

    async def _replaced(self, subject: str, digests: Collection[bytes], last_seq: int) -> int:
        """The sequence of what is the bucket's last message now; 0 if it was not that one."""
        js = self._client.jetstream(timeout=TIMEOUT_S)
        headers = {EXPECTED_SEQ_HEADER: str(last_seq)}
        try:
            body = b"".join(sorted(digests))
            return (await js.publish(subject, body, headers=headers, stream=ARCHIVED)).seq
        except APIError as error:
            if error.err_code in TAKEN:
                return 0
            raise

    async def _put_together(self, stream: StreamInfo) -> None:
        """Give each bucket one message, where an earlier version wrote one for each mark.

        What came before it is there until the stream keeps one message for each subject, so that a
        mark can be found at any time. Then it is gone: first all of it must have been read.
        """
        known: defaultdict[str, set[bytes]] = defaultdict(set)
        counts: defaultdict[str, int] = defaultdict(int)
        last: dict[str, int] = {}
        async for message in self._messages(">"):
            subject = (message.headers or {})["Nats-Subject"]
            known[subject] |= _digests_in(message)
            counts[subject] += 1
            last[subject] = _seq_of(message)
        changed = LogUnavailable(f"stream {ARCHIVED} was changed while its marks were put together")
        if sum(counts.values()) != stream.state.messages:
            raise changed
        for subject, digests in known.items():
            if counts[subject] > 1:
                last[subject] = await self._replaced(subject, digests, last[subject])
        js = self._client.jetstream(timeout=UPDATE_TIMEOUT_S)
        if (await js.stream_info(ARCHIVED)).state.last_seq != max(last.values(), default=0):
            raise changed
        await js.update_stream(stream.config.evolve(max_msgs_per_subject=1))

    async def _messages(self, subject: str) -> AsyncIterator[Msg]:
        """All on that subject, in order. Raises _NoAnswer if nobody answers for the stream."""
        seq = 1
        while True:
            ask = {"seq": seq, "batch": BATCH_MAX, "next_by_subj": subject}
            found = await self._batch(json.dumps(ask).encode())
            for message in found:
                yield message
            if len(found) < BATCH_MAX:
                return
            seq = _seq_of(found[-1]) + 1

    async def _batch(self, ask: bytes) -> list[Msg]:
        messages: list[Msg] = []
        async with (
            self._inbox.answers(f"$JS.API.DIRECT.GET.{ARCHIVED}", ask) as queue,
            asyncio.timeout(TIMEOUT_S),
        ):
            while True:
                message = await queue.get()
                match (message.headers or {}).get("Status"):
                    case None:
                        messages.append(message)
                    case "204" | "404":
                        return messages
                    case "503":
                        raise _NoAnswer
                    case status:
                        raise LogUnavailable(f"stream {ARCHIVED}: read answered {status}")

    async def _exists(self) -> bool:
        try:
            await self._client.jetstream(timeout=TIMEOUT_S).stream_info(ARCHIVED)
        except NotFoundError:
            return False
        return True

    async def _stream(self) -> StreamInfo:
        """The stream, which is made if it is missing."""
        js = self._client.jetstream(timeout=TIMEOUT_S)
        try:
            return await js.stream_info(ARCHIVED)
        except NotFoundError:
            log = await js.stream_info(stream_of(0, await partitions_of(self._client)))
            made = await js.add_stream(archived_config(log.config.num_replicas or 1))
            self._absent_until = 0.0
            await asyncio.sleep(2 * ABSENT_S)
            return made


def archived_config(replicas: int) -> StreamConfig:
    """The stream of marks."""
    return StreamConfig(
        name=ARCHIVED,
        subjects=[_PREFIX + "*"],
        storage=StorageType.FILE,
        num_replicas=replicas,
        retention=RetentionPolicy.LIMITS,
        max_msgs_per_subject=1,
        allow_direct=True,
        compression=StoreCompression.NONE,
        metadata={"offhook": "1"},
    )


class _NoAnswer(Exception):
    """Nobody listens where the stream is read."""


def _digests_in(message: Msg) -> set[bytes]:
    """An earlier version wrote a message for each."""
    data = message.data
    return {data[at : at + _DIGEST_BYTES] for at in range(0, len(data), _DIGEST_BYTES)}


def _digest(session_id: str) -> bytes:
    return hashlib.sha256(b"offhook archived session " + session_id.encode()).digest()[
        :_DIGEST_BYTES
    ]


def _subject(session_id: str) -> str:
    return f"{_PREFIX}{zlib.crc32(session_id.encode()) % BUCKETS}"


def _seq_of(message: Msg) -> int:
    return int((message.headers or {})["Nats-Sequence"])
