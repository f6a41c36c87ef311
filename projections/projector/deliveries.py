"""A consumer of the log: records in order of seq, each once, or DeliveryDoubtful.

After a reset the server numbers the consumer's deliveries from 1. Each delivery must carry the next
number: one that is missing went to another client, or to a request that was given up.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Self

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from offhook.errors import DeliveryDoubtful, LogMissing, LogReplaced, LogUnavailable, words_of
from offhook.jetstream.consuming.acknowledge import acknowledge_all
from offhook.jetstream.consuming.delivery import delivery_of, place_of
from offhook.jetstream.consuming.pull import Pull
from offhook.jetstream.provisioning.provision import created_at as stream_created_at
from offhook.jetstream.stream import PROJECTOR_BATCH_MAX, STREAM
from offhook.jetstream.subjects import ALL_CALLS
from offhook.position import seq_of
from offhook.process.slices import Slices
from offhook.projections.views.stored.event_log import StoredRecord, read_stored

WAIT_S = 1.0
"""How long to wait for the next record before anything else is done."""

API_TIMEOUT_S = 5.0

BATCH_BYTES_MAX = 32 * 1024 * 1024
"""Records of one batch together, or a single one: Postgres takes no statement of over 1 GB, and 500
of the largest records have 3."""

ON_THE_WAY_S = 0.2
"""How long a record may be on its way here from the server."""

UNUSED_S = 60.0
"""The server deletes the consumer of `open_alone` if nothing is asked of it for this long."""


class Room:
    """What still fits into a batch."""

    def __init__(self) -> None:
        self.bytes = BATCH_BYTES_MAX
        self._is_empty = True  # as yet: one record always fits

    def take(self, messages: Sequence[Msg]) -> int:
        """How many of the first ones fit; the room is then less by these."""
        for count, message in enumerate(messages):
            size = len(message.data)
            if size > self.bytes and not self._is_empty:
                self.bytes = 0
                return count
            self.bytes -= size
            self._is_empty = False
        return len(messages)


class Deliveries:
    """Of one partition: open at a position, take batches, acknowledge them after the commit."""

    def __init__(
        self,
        client: Client,
        stream: str,
        consumer: str,
        pull: Pull,
        position: int,
    ) -> None:
        self._client = client
        self._stream = stream
        self._consumer = consumer
        self._pull = pull
        self._seq = seq_of(position)  # stream sequence of the last record handed out
        self._delivery = 0  # the consumer's number of that delivery
        self._held: list[Msg] = []  # delivered, for the batches to come

    @classmethod
    async def open(
        cls,
        client: Client,
        consumer: str,
        position: int,
        *,
        stream: str = STREAM,
        on_arrival: Callable[[], None] = lambda: None,
    ) -> Self:
        """Reset the consumer to what follows `position`. Raises LogMissing or LogUnavailable.

        `on_arrival` is called for each record that can be taken.
        """
        jetstream = client.jetstream(timeout=API_TIMEOUT_S)
        # An inbox of its own, so that nothing asked for before the reset can come in after it.
        pull = await Pull.open(
            client, stream, consumer, batch_max=PROJECTOR_BATCH_MAX, on_arrival=on_arrival
        )
        try:
            # Asked for first: nats-server answers no reset of a consumer that it does not have.
            await jetstream.consumer_info(stream, consumer)
            await jetstream.reset_consumer(stream, consumer, seq=seq_of(position) + 1)
        except NotFoundError as error:
            await pull.close()
            raise LogMissing(
                f"stream {stream} has no consumer {consumer}: run `offhook provision`"
            ) from error
        except (NatsError, TimeoutError) as error:
            await pull.close()
            raise LogUnavailable(
                f"consumer {consumer} of stream {stream} cannot be reset: {words_of(error)}"
            ) from error
        return cls(client, stream, consumer, pull, position)

    @classmethod
    async def open_alone(
        cls,
        client: Client,
        position: int,
        batch_max: int = PROJECTOR_BATCH_MAX,
        *,
        stream: str = STREAM,
    ) -> Self:
        """Read what follows `position` with a consumer of its own; nothing is acknowledged.

        Raises LogMissing or LogUnavailable.
        """
        jetstream = client.jetstream(timeout=API_TIMEOUT_S)
        config = ConsumerConfig(
            filter_subject=ALL_CALLS,
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=seq_of(position) + 1,
            ack_policy=AckPolicy.NONE,
            inactive_threshold=UNUSED_S,
            mem_storage=True,
            num_replicas=1,
        )
        try:
            info = await jetstream.add_consumer(stream, config)
        except NotFoundError as error:
            raise LogMissing(f"there is no stream {stream}: run `offhook provision`") from error
        except (NatsError, TimeoutError) as error:
            raise LogUnavailable(
                f"stream {stream} cannot have a consumer: {words_of(error)}"
            ) from error
        pull = await Pull.open(client, stream, info.name, batch_max=batch_max)
        return cls(client, stream, info.name, pull, position)

    async def next(
        self, timeout_s: float = WAIT_S, *, batch_max: int = PROJECTOR_BATCH_MAX
    ) -> list[Msg]:
        """The next records in order of seq; none if none came. Raises DeliveryDoubtful."""
        if not self._held:
            self._held = self._checked(await self._pull.next(timeout_s, batch_max))
        return self._first_held(Room(), batch_max)

    def take(self, room: "Room", count_max: int) -> list[Msg]:
        """What has arrived by now, in order: at most `count_max`, and what there is room for.

        Raises DeliveryDoubtful.
        """
        if len(self._held) < count_max:
            self._held += self._checked(self._pull.take(count_max - len(self._held)))
        return self._first_held(room, count_max)

    @property
    def waiting(self) -> int:
        """How many can be taken."""
        return len(self._held) + self._pull.waiting

    def _first_held(self, room: "Room", count_max: int) -> list[Msg]:
        count = room.take(self._held[:count_max])
        taken, self._held = self._held[:count], self._held[count:]
        return taken

    def _checked(self, messages: list[Msg]) -> list[Msg]:
        for message in messages:
            place = place_of(message)
            if place.delivery != self._delivery + 1 or place.seq <= self._seq:
                raise DeliveryDoubtful(
                    f"consumer {self._consumer} of stream {self._stream}: delivery "
                    f"{place.delivery} is seq {place.seq}, "
                    f"after delivery {self._delivery}, which was seq {self._seq}"
                )
            self._delivery, self._seq = place.delivery, place.seq
        return messages

    async def acknowledge(self, messages: Sequence[Msg]) -> None:
        """Make room for the next batch. If one is lost, its record is delivered again: a doubt."""
        await acknowledge_all(self._client, messages)

    async def check(self) -> int:
        """How many records wait. Raises LogMissing, LogUnavailable, or DeliveryDoubtful.

        Call it when nothing came for a while: a consumer that was deleted delivers nothing.
        """
        delivery = self._delivery
        try:
            jetstream = self._client.jetstream(timeout=API_TIMEOUT_S)
            info = await jetstream.consumer_info(self._stream, self._consumer)
        except NotFoundError as error:
            raise LogMissing(
                f"stream {self._stream} has no consumer {self._consumer}: run `offhook provision`"
            ) from error
        except (NatsError, TimeoutError) as error:
            raise LogUnavailable(
                f"consumer {self._consumer} of stream {self._stream} cannot be read: "
                f"{words_of(error)}"
            ) from error
        delivered = info.delivered.consumer_seq if info.delivered else 0
        if delivered > self._delivery + self._pull.waiting:
            await asyncio.sleep(ON_THE_WAY_S)  # it may have been delivered while we asked
        # Records may have been handed out meanwhile, so the number may be lower than now.
        if not delivery <= delivered <= self._delivery + self._pull.waiting:
            raise DeliveryDoubtful(
                f"consumer {self._consumer} of stream {self._stream} made {delivered} deliveries, "
                f"but only {self._delivery + self._pull.waiting} arrived"
            )
        return (info.num_pending or 0) + self.waiting

    async def close(self) -> None:
        """Ask for nothing more."""
        await self._pull.close()


async def records_in(messages: Iterable[Msg]) -> list[StoredRecord]:
    """The records that were delivered."""
    records: list[StoredRecord] = []
    slices = Slices.of_batch()
    for message in messages:
        records.append(read_stored(**vars(delivery_of(message))))
        await slices.yield_if_due()
    return records


async def require_same_stream(
    client: Client, position: int, created_at: datetime | None, *, stream: str = STREAM
) -> datetime:
    """When the stream was created. Raises LogReplaced, LogMissing or LogUnavailable.

    `position` and `created_at` are the checkpoint's; None for a partition without one.
    """
    jetstream = client.jetstream(timeout=API_TIMEOUT_S)
    try:
        info = await jetstream.stream_info(stream)
    except NotFoundError as error:
        raise LogMissing(f"there is no stream {stream}: run `offhook provision`") from error
    except (NatsError, TimeoutError) as error:
        raise LogUnavailable(f"stream {stream} cannot be read: {words_of(error)}") from error
    found = stream_created_at(info)
    if created_at is not None and found != created_at:
        raise LogReplaced(
            f"stream {stream} was created at {found}, the views were made from one of "
            f"{created_at}: restore that stream, or use an empty database"
        )
    if info.state.last_seq < seq_of(position):
        raise LogReplaced(
            f"stream {stream} ends at seq {info.state.last_seq}, the views are at "
            f"{seq_of(position)}: it was restored from an older backup, or has lost records"
        )
    return found
