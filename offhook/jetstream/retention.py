"""What leaves the log: messages deleted or purged, so that none of their bytes stay.

To overwrite a message the server writes the whole file of its block again, 8 MB. A plain deletion
is much cheaper and leaves the bytes in the file, where nothing can overwrite them later: the server
does not find a deleted message any more (nats-server 2.15.1). But it removes a file without
messages. So what may share a file with messages that stay is overwritten, the rest is not.
"""

import asyncio
import json
import time
import urllib.request
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import msgspec
from nats.aio.client import Client
from nats.errors import Error as NatsError

from offhook.errors import LogUnavailable, words_of
from offhook.jetstream.consuming.delivery import DeliveredRecord, delivery_of_read
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.message import time_of
from offhook.jetstream.partitions import partitions_of
from offhook.jetstream.snapshots import JetStreamSnapshots
from offhook.jetstream.stream import STREAM, TIMERS, consumer_configs, stream_of
from offhook.jetstream.subjects import fired_subject, set_subject, subject_of
from offhook.position import partition_of, seq_of

AT_ONCE = 2
"""Deletions in progress, of all streams together. The server carries out API requests one after
another and syncs each deletion to the disk: more at once are no faster, and every other request
waits behind them. With 32 at once, the info of a stream took 10 s on a busy machine (2.15.1).
"""

TIMEOUT_S = 10.0

ALARMS_MAX = 10_000
"""Of one session."""

PURGED_SPAN_MAX = 30_000
"""How far apart a session's first and last message may be for a purge, in messages of the stream.
nats-server loads every block in between, some thousand messages each, and the stream waits.
"""

BACKLOG_MAX = 1_000
"""Messages that a consumer has still to deliver. After each purge of several messages nats-server
counts them again, in which the stream does nothing else: 82 ms of its processor time for a session,
with 120,000 subjects and 250,000 messages to deliver, and 0.8 ms without (2.15.1).
"""

BACKLOG_ASKED_S = 2.0
"""How long what the server said of its consumers is believed."""

BLOCK_BYTES_MAX = 8 * 1024 * 1024
"""Of the file of successive messages, in a stream without a limit of bytes (2.15.1)."""


class Retention:
    """Deletes messages. Its methods raise LogUnavailable; what was done stays done."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._log = JetStreamLog(client)
        self._snapshots = JetStreamSnapshots(client)
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._partitions: int | None = None
        self._backlogs: dict[str, tuple[float, bool]] = {}  # by stream: when asked, whether one has

    async def read(self, session_id: str) -> list[DeliveredRecord]:
        """Every record of the session that the log has, repeated deliveries too.

        With the time at which this log stored it, that of an import if it is an imported one.
        """
        return [
            replace(delivery_of_read(each), stored_at=time_of(each.headers or {}))
            for each in await self._log.messages(session_id)
        ]

    async def delete(
        self, positions: Iterable[int], *, overwritten: Container[int] | None = None
    ) -> int:
        """Delete these records of the log, and overwrite them; returns how many were there.

        With `overwritten` only those are overwritten: see `to_overwrite`.
        """
        by_stream: dict[str, dict[int, bool]] = {}
        for each in positions:
            stream = await self._stream(partition_of(each))
            is_overwritten = overwritten is None or each in overwritten
            by_stream.setdefault(stream, {})[seq_of(each)] = is_overwritten
        return sum([await self._delete(stream, seqs) for stream, seqs in by_stream.items()])

    async def delete_session(
        self, session_id: str, positions: Collection[int], overwritten: Container[int]
    ) -> None:
        """Delete all that the log has of the session up to the last of these positions.

        They are its records. A session is purged by subject, which is two requests. Its messages
        are deleted one by one if any is overwritten, if many others are in between, or if a
        consumer is far behind.
        """
        by_stream: dict[str, list[int]] = {}
        for each in positions:
            by_stream.setdefault(await self._stream(partition_of(each)), []).append(each)
        for stream, found in by_stream.items():
            until = seq_of(max(found)) + 1
            is_spread = until - seq_of(min(found)) > PURGED_SPAN_MAX
            is_near = any(each in overwritten for each in found)
            if is_spread or is_near or await self._has_backlog(stream):
                await self.delete(found, overwritten=overwritten)
            else:
                await asyncio.gather(
                    *(
                        self._purge(stream, subject_of(session_id, side), until)
                        for side in ("in", "out")
                    )
                )

    async def to_overwrite(self, sizes: Mapping[int, int]) -> set[int]:
        """Which of these records may share a file with messages that stay, once all are deleted.

        `sizes` has at most as many bytes as a record takes, by its position.
        """
        found: set[int] = set()
        by_stream: dict[int, list[int]] = {}
        for position in sorted(sizes):
            by_stream.setdefault(partition_of(position), []).append(position)
        for partition, positions in by_stream.items():
            first, *parts = await self._parts(await self._stream(partition), positions)
            found |= near_others(first, sizes, is_first=True)
            for part in parts:
                found |= near_others(part, sizes)
        return found

    async def _parts(self, stream: str, positions: Sequence[int]) -> list[list[int]]:
        """The records in parts, with other messages between these, and before all but the first."""
        parts: list[list[int]] = [[]]
        last = 0
        for position in positions:
            seq = seq_of(position)
            if seq > last + 1:
                ask = {"seq": last + 1, "next_by_subj": ">"}
                there = (await self._ask(f"$JS.API.STREAM.MSG.GET.{stream}", ask)).message
                if there is not None and there.seq < seq:
                    parts.append([])
            parts[-1].append(position)
            last = seq
        return parts

    async def delete_alarms(self, session_id: str) -> int:
        """Overwrite and delete the session's alarms, those set and those that rang."""
        found: list[int] = []
        for subject in (set_subject(session_id, "*"), fired_subject(session_id)):
            found += await self._sequences(TIMERS, subject)
        return await self._delete(TIMERS, dict.fromkeys(found, True))

    async def delete_snapshot(self, session_id: str) -> None:
        """Delete what workers keep of the session to read it faster. It is in memory only."""
        await self._snapshots.delete(session_id)

    async def count_snapshots(self, session_ids: Iterable[str]) -> int:
        """How many of these sessions have a snapshot."""
        found = [await self._snapshots.read(each) for each in session_ids]
        return sum(each is not None for each in found)

    async def _sequences(self, stream: str, subject: str) -> list[int]:
        found: list[int] = []
        while len(found) < ALARMS_MAX:
            ask = {"seq": found[-1] + 1 if found else 1, "next_by_subj": subject}
            answer = await self._ask(f"$JS.API.STREAM.MSG.GET.{stream}", ask)
            if answer.message is None:
                break
            found.append(answer.message.seq)
        return found

    async def _delete(self, stream: str, seqs: Mapping[int, bool]) -> int:
        """Delete them; those with True are overwritten."""

        async def delete(seq: int, is_overwritten: bool) -> bool:
            async with self._slots:
                ask = {"seq": seq, "no_erase": not is_overwritten}
                answer = await self._ask(f"$JS.API.STREAM.MSG.DELETE.{stream}", ask)
                if answer.error is not None and answer.error.err_code == _NOT_DELETED:
                    there = await self._ask(f"$JS.API.STREAM.MSG.GET.{stream}", {"seq": seq})
                    if there.message is not None:
                        raise LogUnavailable(
                            f"{stream}: seq {seq} is not deleted: {answer.error.description}"
                        )
                return answer.success

        return sum(await asyncio.gather(*(delete(*each) for each in seqs.items())))

    async def _purge(self, stream: str, subject: str, until: int) -> None:
        """Delete the messages on the subject before that sequence, without overwriting them."""
        async with self._slots:
            await self._ask(f"$JS.API.STREAM.PURGE.{stream}", {"filter": subject, "seq": until})

    async def _has_backlog(self, stream: str) -> bool:
        """Whether a consumer of the stream is far behind."""
        asked_at, has_backlog = self._backlogs.get(stream, (0.0, False))
        if time.monotonic() - asked_at > BACKLOG_ASKED_S:
            asked = [
                self._ask(f"$JS.API.CONSUMER.INFO.{stream}.{each.durable_name}", {})
                for each in consumer_configs()
            ]
            answers = await asyncio.gather(*asked)
            has_backlog = any(each.num_pending > BACKLOG_MAX for each in answers)
            self._backlogs[stream] = time.monotonic(), has_backlog
        return has_backlog

    async def _stream(self, partition: int) -> str:
        if self._partitions is None:
            self._partitions = await partitions_of(self._client)
        return stream_of(partition, self._partitions)

    async def _ask(self, subject: str, ask: Mapping[str, Any]) -> "_Answer":
        try:
            message = await self._client.request(
                subject, json.dumps(ask).encode(), timeout=TIMEOUT_S
            )
            answer = msgspec.json.decode(message.data, type=_Answer)
        except (NatsError, TimeoutError, msgspec.DecodeError) as error:
            raise LogUnavailable(f"{subject} {ask}: {words_of(error)}") from error
        if answer.error is not None and answer.error.err_code not in _NOT_THERE:
            raise LogUnavailable(f"{subject} {ask}: NATS says: {answer.error.description}")
        return answer


def near_others(
    part: Sequence[int], sizes: Mapping[int, int], *, is_first: bool = False
) -> set[int]:
    """Which of successive records may be in one block with a message before or after them.

    Before those that are the first of their stream there is none.
    """
    ends = [*accumulate((sizes[each] for each in part), initial=0)]
    return {
        each
        for each, (start, end) in zip(part, pairwise(ends), strict=True)
        if (start < BLOCK_BYTES_MAX and not is_first) or ends[-1] - end < BLOCK_BYTES_MAX
    }


class _Error(msgspec.Struct):
    err_code: int = 0
    description: str = ""


class _Message(msgspec.Struct):
    seq: int


class _Answer(msgspec.Struct):
    success: bool = False
    num_pending: int = 0
    message: _Message | None = None
    error: _Error | None = None


_NOT_DELETED = 10057
"""Said of one that is gone if it was the stream's first (nats-server 2.15.1), and of a failure."""

# 10014: no such consumer. 10043: no message of that sequence. 10037: no message on that subject, or
# of that sequence.
_NOT_THERE = frozenset({10014, 10037, 10043, 10057})


def store_directories(monitor_urls: Sequence[str]) -> list[Path]:
    """Where each server keeps its streams, as it says; nothing for one that does not answer."""
    found: list[Path] = []
    for url in monitor_urls:
        try:
            with _OPENER.open(f"{url.rstrip('/')}/jsz", timeout=TIMEOUT_S) as answer:
                said = msgspec.json.decode(answer.read(), type=_Jsz)
        except (OSError, ValueError, msgspec.DecodeError):
            continue
        if said.config.store_dir:
            found.append(Path(said.config.store_dir))
    return found


def has_streams(directory: Path) -> bool:
    """Whether a server keeps streams of the log there, or may: in `…/<account>/streams`.

    As the configuration names the directory, or as the server does, which adds `jetstream`.
    """
    return any(any(directory.glob(f"{above}*/streams/{STREAM}*")) for above in ("", "jetstream/"))


class _Config(msgspec.Struct):
    store_dir: str = ""


class _Jsz(msgspec.Struct):
    config: _Config = msgspec.field(default_factory=_Config)


# Without a proxy that the environment names.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
