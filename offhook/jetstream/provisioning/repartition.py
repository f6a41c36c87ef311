"""Move a log of one stream to several partitions: same records, sequences and time stamps.

    CALLS     CALLS_0 …        next step
    open      -                mirror CALLS into each, filtered by its slots
    open      mirrors          close CALLS, and mark its end: a mirror with the marker is complete
    closed    mirrors          once complete, turn each into a stream of its own
    closed    streams          compare, create the consumers where they were, empty the views,
                               delete CALLS
    -         streams          moved

While CALLS and CALLS_0 both exist every service refuses to start, so nothing is appended or
consumed, and a move that was killed continues when it is run again. Every step may be repeated.

A record at sequence n of CALLS is at sequence n of its partition, so its position changes. What
refers to it by sequence (decisions, alarms) is read as of the same partition
(`offhook.position.referred`). The views hold positions: they are emptied, and folded again.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import msgspec
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    StreamConfig,
    StreamInfo,
    StreamSource,
    SubjectTransform,
)

from offhook.errors import LogUnavailable, LogUnsafe, SettingInvalid, words_of
from offhook.jetstream.partitions import find_stream
from offhook.jetstream.provisioning.copies import COPY_API_TIMEOUT_S, Copying, Say
from offhook.jetstream.provisioning.provision import (
    CREATED,
    REWRITE,
    compressed,
    created_at,
    is_compressed,
    require_safe,
)
from offhook.jetstream.provisioning.servers import require_nobody_connected
from offhook.jetstream.stream import (
    PARTITIONS,
    STREAM,
    consumer_configs,
    stream_config,
    stream_of,
)
from offhook.jetstream.subjects import SLOTS
from offhook.position import PARTITIONS_MAX

MARKER = f"repartition.{STREAM}"
"""The only subject of the closed stream; its one record ends each copy."""

DELETED_MAX = 500_000
"""Records deleted from CALLS, of which the server reports each sequence."""

COUNTED_AGAIN_S = 3.0
"""How long records of no slot are counted again before they are believed: the node that counts them
may be behind the leader for a moment."""

_PAUSE_S = 0.2

_FIRST = stream_of(0, PARTITIONS_MAX)


@dataclass(frozen=True, kw_only=True)
class StoredSequences:
    """The records that the old stream has: those from `first` to `last` but for `deleted`."""

    first: int
    last: int
    deleted: Sequence[int]


async def repartition(
    client: Client,
    monitor_urls: Sequence[str],
    replicas: int,
    partitions: int,
    *,
    check_views: Callable[[StoredSequences], Awaitable[None]],
    empty_views: Callable[[], Awaitable[None]],
    say: Say = lambda line: None,
) -> bool:
    """Move CALLS to so many partitions; False if there is no CALLS to move. Resumable.

    Before the first change `check_views` gets the records that the stream has, and raises if the
    views have more; `empty_views` is called when the copies are complete. Needs room for a second
    copy. Raises LogUnsafe if a role is connected, SettingInvalid, and LogUnavailable.
    """
    await require_safe(monitor_urls)
    move = _Move(client, replicas, partitions, say)
    try:
        if not await move.is_needed():
            return False
        await require_nobody_connected(monitor_urls)
        await check_views(await move.stored_sequences())
        await move.copy()
        await move.require_complete()
        await move.create_consumers()
        say("the views are emptied: the projector folds them again from the log")
        await empty_views()
        await move.finish()
    except (NatsError, TimeoutError) as error:
        raise LogUnavailable(
            f"the move has stopped: {words_of(error)}; run it again to continue"
        ) from error
    return True


class _State(msgspec.Struct):
    first_seq: int
    last_seq: int
    deleted: list[int] = []


class _Info(msgspec.Struct):
    state: _State


class _Move:
    def __init__(self, client: Client, replicas: int, partitions: int, say: Say) -> None:
        self._client = client
        self._js = client.jetstream(timeout=COPY_API_TIMEOUT_S)
        self._copying = Copying(self._js, say)
        self._replicas = replicas
        self._partitions = partitions
        self._say = say

    async def is_needed(self) -> bool:
        whole, first = await find_stream(self._js, STREAM), await find_stream(self._js, _FIRST)
        if whole is None:
            if await find_stream(self._js, STREAM + REWRITE) is not None:
                raise LogUnsafe(compressed(STREAM))
            return False
        if is_compressed(whole.config) or await find_stream(self._js, STREAM + REWRITE):
            raise LogUnsafe(compressed(STREAM))
        if first is not None:  # begun before: it is to end as it began
            begun = int((first.config.metadata or {}).get(PARTITIONS, "0"))
            if begun != self._partitions:
                raise SettingInvalid(
                    f"the log is being moved to {begun} partitions, not to {self._partitions}: "
                    f"set OFFHOOK_PARTITIONS to {begun}"
                )
        elif self._partitions < 2:
            raise SettingInvalid(
                f"OFFHOOK_PARTITIONS is {self._partitions}, and the log has 1: set it to the "
                f"number of partitions that the log is to have, from 2 to {PARTITIONS_MAX}"
            )
        else:
            await self._require_slots()
        return True

    async def _require_slots(self) -> None:
        """Raise LogUnsafe if there is a record that would be in no partition."""
        deadline = time.monotonic() + COUNTED_AGAIN_S
        while (others := await self._count_of_no_slot()) > 0:
            if time.monotonic() > deadline:
                raise LogUnsafe(
                    f"{others:,} records of {STREAM} are of no slot from 0 to {SLOTS - 1}: they "
                    "were not stored by Offhook; delete them first. Nothing was changed"
                )
            await asyncio.sleep(_PAUSE_S)

    async def _count_of_no_slot(self) -> int:
        """How many records are of no slot; wrong, even negative, while a node is behind."""
        whole = await self._copying.settled(STREAM)
        every_slot = ConsumerConfig(
            filter_subjects=[f"calls.{slot}.>" for slot in range(SLOTS)],
            ack_policy=AckPolicy.NONE,
            inactive_threshold=COPY_API_TIMEOUT_S,
            mem_storage=True,
            num_replicas=1,
        )
        counting = await self._js.add_consumer(STREAM, every_slot)
        await self._js.delete_consumer(STREAM, counting.name)
        return whole.state.messages - (counting.num_pending or 0)

    async def stored_sequences(self) -> StoredSequences:
        """Of CALLS, its marker not counted."""
        info = await self._js.stream_info(STREAM)
        count = info.state.num_deleted or 0
        if count > DELETED_MAX:
            raise LogUnsafe(
                f"{count:,} records were deleted from {STREAM}, more than {DELETED_MAX:,}: "
                "whether the views have all that they need cannot be checked; nothing was changed"
            )
        answer = await self._client.request(  # nats-py has no option for the details
            f"$JS.API.STREAM.INFO.{STREAM}", b'{"deleted_details": true}', COPY_API_TIMEOUT_S
        )
        state = msgspec.json.decode(answer.data, type=_Info).state
        return StoredSequences(
            first=state.first_seq, last=state.last_seq, deleted=tuple(state.deleted)
        )

    async def copy(self) -> None:
        """Mirror each partition, close CALLS, and turn the complete mirrors into streams."""
        whole = await self._js.stream_info(STREAM)
        self._say(f"{STREAM}: {whole.state.messages:,} records, to {self._partitions} partitions")
        for config in self._configs(whole):
            assert config.name is not None
            if await find_stream(self._js, config.name) is None:
                await self._js.add_stream(_mirror(config))
        await self._copying.close_stream(whole, MARKER)
        last_seq = await self._copying.last_seq(STREAM)
        for config in self._configs(whole):
            assert config.name is not None
            copy = await self._js.stream_info(config.name)
            if copy.config.mirror is not None:
                await self._copying.until_complete(config.name, last_seq)
                await self._copying.promote(config)
                self._say(f"{config.name}: copied")

    def _configs(self, whole: StreamInfo) -> list[StreamConfig]:
        """What the partitions are to be."""
        numbers = range(self._partitions)
        configs = [stream_config(self._replicas, number, self._partitions) for number in numbers]
        kept = {CREATED: created_at(whole).isoformat()}
        return [each.evolve(metadata={**(each.metadata or {}), **kept}) for each in configs]

    async def require_complete(self) -> None:
        """Raise LogUnsafe unless every record of CALLS is in a partition, the marker in each."""
        whole = await self._copying.settled(STREAM)
        copies = [await self._copying.settled(name) for name in self._names]
        wanted = whole.state.messages - 1
        found = sum(each.state.messages for each in copies)
        for each in copies:
            found -= await self._copying.has_marker(str(each.config.name), MARKER)
        ends = {each.state.last_seq for each in copies}
        if found != wanted or ends != {whole.state.last_seq}:
            raise LogUnsafe(
                f"the partitions are not a whole copy of {STREAM}: {found:,} records up to "
                f"{sorted(ends)}, not {wanted:,} up to {whole.state.last_seq}; nothing was deleted"
            )

    @property
    def _names(self) -> list[str]:
        return [stream_of(number, self._partitions) for number in range(self._partitions)]

    async def create_consumers(self) -> None:
        """Each continues where that of CALLS was."""
        floors = await self._copying.acknowledged(STREAM, consumer_configs())
        for name in self._names:
            for config in consumer_configs():
                assert config.durable_name is not None
                await self._js.add_consumer(name, config)
                floor = floors.get(config.durable_name, 0)
                await self._js.reset_consumer(name, config.durable_name, seq=floor + 1)

    async def finish(self) -> None:
        """The partitions are the log from here on."""
        for name in self._names:
            await self._copying.delete_marker(name, MARKER)
        for name in self._names:
            await self._copying.settled(name)
        await self._js.delete_stream(STREAM)
        self._say(f"{STREAM}: moved to {', '.join(self._names)}")


def _mirror(config: StreamConfig) -> StreamConfig:
    subjects = [*(config.subjects or ()), MARKER]
    kept = [SubjectTransform(src=subject, dest=subject) for subject in subjects]
    source = StreamSource(name=STREAM, subject_transforms=kept)
    return config.evolve(subjects=None, mirror=source)
