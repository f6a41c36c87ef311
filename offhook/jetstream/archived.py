"""Which sessions were archived or erased: marks that a worker can ask for.

A record of such a session may arrive long afterwards, and the log has nothing of the session any
more: no flow must be asked about what looks like a new call. A mark is a digest of the session's
id; all marks are on a bounded number of subjects, since a subject costs the server half a
kilobyte of memory and a message on it nothing.
"""

import asyncio
import hashlib
import json
import time
import zlib
from collections.abc import Iterable

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import RetentionPolicy, StorageType, StoreCompression, StreamConfig
from nats.js.errors import NotFoundError

from offhook.errors import LogUnavailable, words_of
from offhook.jetstream.client.inbox import Inbox
from offhook.jetstream.partitions import partitions_of
from offhook.jetstream.stream import stream_of

ARCHIVED = "ARCHIVED"
"""The stream; made by the first archive run. Without it nothing was archived."""

BUCKETS = 4_096
"""Never change it: stored subjects carry it. Of 10 million marks a bucket has 2,400."""

ABSENT_S = 0.5
"""How long it is believed that there is no such stream. The run that creates it waits longer."""

BATCH_MAX = 1_000
TIMEOUT_S = 2.0
AT_ONCE = 64

_PREFIX = "archived."


class ArchivedMarks:
    """Adds marks and finds them."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._inbox = Inbox(client)
        self._absent_until = 0.0

    async def add(self, session_ids: Iterable[str]) -> None:
        """Mark the sessions. Raises LogUnavailable."""
        js = self._client.jetstream(timeout=TIMEOUT_S)
        slots = asyncio.Semaphore(AT_ONCE)

        async def mark(session_id: str) -> None:
            async with slots:
                if not await self.contains(session_id):
                    await js.publish(_subject(session_id), _digest(session_id), stream=ARCHIVED)

        try:
            await self._make_stream()
            await asyncio.gather(*map(mark, session_ids))
        except (NatsError, TimeoutError) as error:
            raise LogUnavailable(f"stream {ARCHIVED}: {words_of(error)}") from error

    async def contains(self, session_id: str) -> bool:
        """Whether the session is marked. Raises LogUnavailable."""
        if time.monotonic() < self._absent_until:
            return False
        digest, seq = _digest(session_id), 1
        try:
            while True:
                ask = {"seq": seq, "batch": BATCH_MAX, "next_by_subj": _subject(session_id)}
                found = await self._batch(json.dumps(ask).encode())
                if any(message.data == digest for message in found):
                    return True
                if len(found) < BATCH_MAX:
                    return False
                seq = int((found[-1].headers or {})["Nats-Sequence"]) + 1
        except _NoAnswer:
            if await self._exists():
                raise LogUnavailable(f"stream {ARCHIVED} does not answer a read") from None
            self._absent_until = time.monotonic() + ABSENT_S
            return False
        except (NatsError, TimeoutError) as error:
            raise LogUnavailable(f"stream {ARCHIVED}: {words_of(error)}") from error

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

    async def _make_stream(self) -> None:
        js = self._client.jetstream(timeout=TIMEOUT_S)
        try:
            await js.stream_info(ARCHIVED)
        except NotFoundError:
            log = await js.stream_info(stream_of(0, await partitions_of(self._client)))
            await js.add_stream(archived_config(log.config.num_replicas or 1))
            self._absent_until = 0.0
            await asyncio.sleep(2 * ABSENT_S)


def archived_config(replicas: int) -> StreamConfig:
    """The stream of marks."""
    return StreamConfig(
        name=ARCHIVED,
        subjects=[_PREFIX + "*"],
        storage=StorageType.FILE,
        num_replicas=replicas,
        retention=RetentionPolicy.LIMITS,
        allow_direct=True,
        compression=StoreCompression.NONE,
        metadata={"offhook": "1"},
    )


class _NoAnswer(Exception):
    """Nobody listens where the stream is read."""


def _digest(session_id: str) -> bytes:
    return hashlib.sha256(b"offhook archived session " + session_id.encode()).digest()[:16]


def _subject(session_id: str) -> str:
    return f"{_PREFIX}{zlib.crc32(session_id.encode()) % BUCKETS}"
