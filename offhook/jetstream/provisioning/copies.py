"""Copying a stream on the servers: a mirror, complete, turned into a stream of its own.

A mirror keeps sequences and time stamps. Before the copy is used the original takes no more
records and ends with a marker: a copy that has it is complete.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, StreamConfig, StreamInfo
from nats.js.errors import BadRequestError, NotFoundError

from offhook.errors import LogUnavailable
from offhook.jetstream.stream import EXPECTED_SEQ_HEADER

Say = Callable[[str], None]

STALLED_S = 60.0
"""A copy that gains no record for this long is given up; running the command again continues it."""

COPY_API_TIMEOUT_S = 10.0
_LOOK_S = 0.2
_SAY_S = 2.0


class Copying:
    """The steps of a copy; each may be repeated. `say` gets a line now and then."""

    def __init__(self, js: JetStreamContext, say: Say) -> None:
        self._js = js
        self._say = say

    async def close_stream(self, stream: StreamInfo, marker_subject: str) -> None:
        """Take no more records but the marker, and store that."""
        assert stream.config.name is not None
        await self._js.update_stream(stream.config.evolve(subjects=[marker_subject]))
        try:
            only_one = {EXPECTED_SEQ_HEADER: "0"}
            await self._js.publish(marker_subject, b"", headers=only_one)
        except BadRequestError:
            pass  # the marker is there, from a run that was killed

    async def delete_marker(self, name: str, marker_subject: str) -> None:
        """Delete the marker from a copy."""
        try:
            marker = await self._js.get_last_msg(name, marker_subject)
            await self._js.delete_msg(name, marker.seq or 0)
        except NotFoundError:
            pass  # deleted by a run that was killed

    async def has_marker(self, name: str, marker_subject: str) -> bool:
        """Whether the marker is in that stream."""
        try:
            await self._js.get_last_msg(name, marker_subject)
        except NotFoundError:
            return False
        return True

    async def promote(self, to: StreamConfig) -> None:
        """Turn a mirror into a stream of its own."""
        await self._js.update_stream(to.evolve(mirror=None, mirror_direct=None))

    async def last_seq(self, name: str) -> int:
        """The last record that exists: a mirror never sees deleted ones at the end."""
        try:
            return (await self._js.get_last_msg(name, ">")).seq or 0
        except NotFoundError:
            return 0

    async def acknowledged(
        self, name: str, consumers: Sequence[ConsumerConfig]
    ) -> Mapping[str, int]:
        """The stream sequence below which each consumer has acknowledged everything."""
        floors = {}
        for config in consumers:
            assert config.durable_name is not None
            try:
                info = await self._js.consumer_info(name, config.durable_name)
            except NotFoundError:
                continue
            floors[config.durable_name] = info.ack_floor.stream_seq if info.ack_floor else 0
        return floors

    async def until_complete(self, name: str, last_seq: int) -> None:
        """Wait until the mirror has that record. Raises LogUnavailable if it stalls."""
        reached, moved_at, said_at = -1, time.monotonic(), 0.0
        while True:
            info = await self._js.stream_info(name)
            if info.state.last_seq >= last_seq:
                await self.settled(name)
                return
            now = time.monotonic()
            if info.state.last_seq > reached:
                reached, moved_at = info.state.last_seq, now
            if now - moved_at > STALLED_S:
                raise LogUnavailable(
                    f"{name} has stopped at sequence {reached:,} of {last_seq:,}: see the log of "
                    "nats-server; run the command again to continue"
                )
            if now - said_at > _SAY_S:
                said_at = now
                self._say(f"{name}: {reached:,} of {last_seq:,}")
            await asyncio.sleep(_LOOK_S)

    async def settled(self, name: str) -> StreamInfo:
        """Wait until every replica has everything. Raises LogUnavailable if one does not."""
        deadline = time.monotonic() + STALLED_S
        while True:
            info = await self._js.stream_info(name)
            replicas = (info.cluster.replicas if info.cluster else None) or []
            behind = [each.name for each in replicas if not each.current or each.lag]
            if not behind and len(replicas) + 1 >= (info.config.num_replicas or 1):
                return info
            if time.monotonic() > deadline:
                raise LogUnavailable(
                    f"{name} has not all its replicas ({', '.join(map(str, behind))} behind): "
                    "start every node of the log; run the command again to continue"
                )
            await asyncio.sleep(_LOOK_S)
