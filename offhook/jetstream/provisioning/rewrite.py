"""Rewrite compressed streams without compression: same records, sequences and time stamps.

The server cannot decompress what is stored, and cannot rename a stream. So the records of
CALLS are mirrored into a second stream and back; a mirror keeps sequences and time stamps.

    CALLS        CALLS_REWRITE   next step
    compressed   -               remove its subjects, so that nothing more is appended, and append a
                                 marker: a copy that has it is complete
    closed       -               mirror CALLS
    closed       mirror          once complete, make it a stream of its own
    closed       stream          compare the two, then delete CALLS
    -            stream          mirror it back
    mirror       stream          once complete, make it a stream of its own
    plain        stream          put the consumers where they were, then delete CALLS_REWRITE

The streams themselves show which step is next, so a rewrite that was killed continues when it is
run again. At every moment one of the two has every record on all of its replicas.

TIMERS differs: a mirror does not fire schedules. Alarms are only wake-ups, so the new stream starts
empty and they are set again from the copy.
"""

from collections.abc import Sequence

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import (
    ConsumerConfig,
    StorageType,
    StoreCompression,
    StreamConfig,
    StreamInfo,
    StreamSource,
)
from nats.js.errors import NotFoundError

from offhook.errors import LogUnavailable, LogUnsafe, words_of
from offhook.jetstream.partitions import find_stream
from offhook.jetstream.provisioning.copies import COPY_API_TIMEOUT_S, Copying, Say
from offhook.jetstream.provisioning.provision import (
    CREATED,
    REWRITE,
    created_at,
    existing_partitions,
    is_compressed,
    own_metadata,
)
from offhook.jetstream.provisioning.servers import require_nobody_connected
from offhook.jetstream.stream import TIMERS, wanted_streams
from offhook.jetstream.subjects import FIRED_PREFIX, SET_PREFIX


async def rewrite(
    client: Client, monitor_urls: Sequence[str], replicas: int, say: Say = lambda line: None
) -> bool:
    """Rewrite every compressed stream; True if there was one. `say` gets a line for each step.

    Needs room for a second copy. Raises LogUnsafe if a role is still connected, and LogUnavailable.
    """
    js = client.jetstream(timeout=COPY_API_TIMEOUT_S)
    found = False
    try:
        partitions = await existing_partitions(client) or 1
        for wanted, consumers in wanted_streams(replicas, partitions):
            stream = _Rewrite(js, wanted, consumers, say)
            if await stream.is_needed():
                await require_nobody_connected(monitor_urls)
                await stream.run()
                found = True
    except (NatsError, TimeoutError) as error:
        raise LogUnavailable(
            f"the rewrite has stopped: {words_of(error)}; run it again to continue"
        ) from error
    return found


class _Rewrite:
    """The rewrite of one stream."""

    def __init__(
        self,
        js: JetStreamContext,
        wanted: StreamConfig,
        consumers: Sequence[ConsumerConfig],
        say: Say,
    ) -> None:
        assert wanted.name is not None
        self._js = js
        self._wanted = wanted
        self._consumers = consumers
        self._say = say
        self._copying = Copying(js, say)
        self._name = wanted.name
        self._copy_name = self._name + REWRITE
        self._closed = f"rewrite.{self._name}"  # the subject of a stream that takes no records
        self._copied = f"rewrite.{self._copy_name}"

    async def is_needed(self) -> bool:
        stream, copy = (
            await find_stream(self._js, self._name),
            await find_stream(self._js, self._copy_name),
        )
        return copy is not None or (stream is not None and is_compressed(stream.config))

    async def run(self) -> None:
        while await self.is_needed():
            await self._step()

    async def _step(self) -> None:
        stream, copy = (
            await find_stream(self._js, self._name),
            await find_stream(self._js, self._copy_name),
        )
        match (stream, copy):
            case (StreamInfo(), None):
                await self._close(stream)
            case (StreamInfo(), StreamInfo()) if copy.mirror is not None:
                self._say(f"{self._name}: copying to {self._copy_name}")
                await self._copying.until_complete(
                    self._copy_name, await self._copying.last_seq(self._name)
                )
                metadata = own_metadata(copy.config)
                await self._copying.promote(
                    copy.config.evolve(subjects=[self._copied], metadata=metadata)
                )
            case (StreamInfo(), StreamInfo()) if is_compressed(stream.config):
                await self._delete_compressed()
            case (None, StreamInfo()) if self._name == TIMERS:
                self._say(f"{self._name}: creating it without compression")
                await self._js.add_stream(self._wanted)
            case (None, StreamInfo()):
                self._say(f"{self._name}: copying back without compression")
                source = StreamSource(name=self._copy_name)
                await self._js.add_stream(self._wanted.evolve(subjects=None, mirror=source))
            case (StreamInfo(), StreamInfo()) if stream.mirror is not None:
                await self._copying.until_complete(self._name, copy.state.last_seq)
                kept = {CREATED: own_metadata(copy.config)[CREATED]}
                metadata = {**(self._wanted.metadata or {}), **kept}
                await self._copying.promote(self._wanted.evolve(metadata=metadata))
            case (StreamInfo(), StreamInfo()):
                await self._finish(copy)
            case _:
                raise AssertionError(f"neither {self._name} nor {self._copy_name} is there")

    async def _close(self, stream: StreamInfo) -> None:
        """Take no more records, mark the end, and begin the copy."""
        self._say(f"{self._name}: {stream.state.messages:,} records, compressed")
        if self._name != TIMERS:
            await self._copying.close_stream(stream, self._closed)
        floors = await self._copying.acknowledged(self._name, self._consumers)
        metadata = {
            CREATED: created_at(stream).isoformat(),
            **{_key(name): str(floor) for name, floor in floors.items()},
        }
        await self._js.add_stream(
            StreamConfig(
                name=self._copy_name,
                mirror=StreamSource(name=self._name),
                storage=StorageType.FILE,
                num_replicas=self._wanted.num_replicas,
                compression=StoreCompression.NONE,
                metadata=metadata,
            )
        )

    async def _delete_compressed(self) -> None:
        """Delete the original, once the copy is known to be complete."""
        stream, copy = (
            await self._copying.settled(self._name),
            await self._copying.settled(self._copy_name),
        )
        if self._name != TIMERS:  # of its copy only the alarms matter, and they go on ringing
            facts = [
                (each.state.messages, each.state.first_seq, each.state.last_seq)
                for each in (stream, copy)
            ]
            if facts[0] != facts[1]:
                raise LogUnsafe(
                    f"{self._copy_name} is not a whole copy of {self._name}: (records, first, last)"
                    f" are {facts[1]}, not {facts[0]}; nothing was deleted"
                )
        self._say(f"{self._name}: copied, {copy.state.messages:,} records; deleting the compressed")
        await self._js.delete_stream(self._name)

    async def _finish(self, copy: StreamInfo) -> None:
        """Let consumers continue where they were, then delete the copy."""
        if self._name == TIMERS:
            await self._set_alarms(copy)
        else:
            await self._copying.delete_marker(self._name, self._closed)
        for config in self._consumers:
            info = await self._js.add_consumer(self._name, config)
            position = int(own_metadata(copy.config).get(_key(config.durable_name), "0"))
            if self._name != TIMERS and (info.ack_floor is None or not info.ack_floor.stream_seq):
                await self._js.reset_consumer(self._name, info.name, seq=position + 1)
        await self._copying.settled(self._name)
        await self._js.delete_stream(self._copy_name)
        self._say(f"{self._name}: rewritten without compression")

    async def _set_alarms(self, copy: StreamInfo) -> None:
        """The alarms that had not fired, and those that had but were not acknowledged."""
        [config] = self._consumers
        acknowledged = int(own_metadata(copy.config).get(_key(config.durable_name), "0"))
        set_again = 0
        seq = copy.state.first_seq
        while seq <= copy.state.last_seq:
            try:
                message = await self._js.get_msg(self._copy_name, seq, next=True, subject=">")
            except NotFoundError:
                break
            assert message.seq is not None
            assert message.subject is not None
            seq = message.seq + 1
            is_set = message.subject.startswith(SET_PREFIX)
            if not is_set and (
                message.seq <= acknowledged or not message.subject.startswith(FIRED_PREFIX)
            ):
                continue
            kept = {
                name: value
                for name, value in (message.headers or {}).items()
                if is_set and name in _SCHEDULE_HEADERS
            }
            await self._js.publish(message.subject, message.data or b"", headers=kept)
            set_again += 1
        self._say(f"{self._name}: {set_again:,} alarms set again")


def _key(consumer: str | None) -> str:
    return f"offhook-acknowledged-{consumer}"


_SCHEDULE_HEADERS = ("Nats-Schedule", "Nats-Schedule-Target")
