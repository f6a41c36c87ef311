"""A consumer of the log: records in order of seq, each once, or DeliveryDoubtful.

After a reset the server numbers the consumer's deliveries from 1. Each delivery must carry the next
number: one that is missing went to another client, or to a request that was given up.
"""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Self

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from offhook.errors import DeliveryDoubtful, LogMissing, LogReplaced, LogUnavailable, words_of
from offhook.jetstream.delivery import delivery_of
from offhook.jetstream.provisioning.provision import created_at as stream_created_at
from offhook.jetstream.pull import Pull
from offhook.jetstream.stream import PROJECTOR_BATCH_MAX, STREAM
from offhook.jetstream.subjects import ALL_CALLS
from offhook.process.slices import Slices
from offhook.projections.views.event_log import StoredRecord, read_stored

WAIT_S = 1.0
"""How long to wait for the next record before anything else is done."""

API_TIMEOUT_S = 5.0

BATCH_BYTES_MAX = 32 * 1024 * 1024
"""Records of one batch together, or a single one: Postgres takes no statement of over 1 GB, and 500
of the largest records have 3."""

GATHER_S = 0.05
"""How long a record waits for others: a transaction for each would take a core and the disk at 100
records/s. It is most of what the views lag behind."""

ON_THE_WAY_S = 0.2
"""How long a record may be on its way here from the server."""

UNUSED_S = 60.0
"""The server deletes the consumer of a single reader that asked for nothing for so long."""


class Deliveries:
    """Open at a position, take batches, acknowledge them after the commit."""

    def __init__(
        self,
        jetstream: JetStreamContext,
        consumer: str,
        pull: Pull,
        after_seq: int,
    ) -> None:
        self._jetstream = jetstream
        self._consumer = consumer
        self._pull = pull
        self._seq = after_seq  # stream sequence of the last record handed out
        self._delivery = 0  # the consumer's number of that delivery
        self._held: list[Msg] = []  # delivered, for the batches to come

    @classmethod
    async def open(cls, client: Client, consumer: str, after_seq: int) -> Self:
        """Reset the consumer to what follows `after_seq`. Raises LogMissing or LogUnavailable."""
        jetstream = client.jetstream(timeout=API_TIMEOUT_S)
        # An inbox of its own, so that nothing asked for before the reset can come in after it.
        pull = await Pull.open(client, STREAM, consumer, batch_max=PROJECTOR_BATCH_MAX)
        try:
            # Asked for first: nats-server answers no reset of a consumer that it does not have.
            await jetstream.consumer_info(STREAM, consumer)
            await jetstream.reset_consumer(STREAM, consumer, seq=after_seq + 1)
        except NotFoundError as error:
            await pull.close()
            raise LogMissing(
                f"stream {STREAM} has no consumer {consumer}: run `offhook provision`"
            ) from error
        except (NatsError, TimeoutError) as error:
            await pull.close()
            raise LogUnavailable(
                f"consumer {consumer} cannot be reset: {words_of(error)}"
            ) from error
        return cls(jetstream, consumer, pull, after_seq)

    @classmethod
    async def open_alone(
        cls, client: Client, after_seq: int, batch_max: int = PROJECTOR_BATCH_MAX
    ) -> Self:
        """What follows `after_seq`, by a consumer made for this reader: nothing to acknowledge.

        Raises LogMissing or LogUnavailable.
        """
        jetstream = client.jetstream(timeout=API_TIMEOUT_S)
        config = ConsumerConfig(
            filter_subject=ALL_CALLS,
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=after_seq + 1,
            ack_policy=AckPolicy.NONE,
            inactive_threshold=UNUSED_S,
            mem_storage=True,
            num_replicas=1,
        )
        try:
            info = await jetstream.add_consumer(STREAM, config)
        except NotFoundError as error:
            raise LogMissing(f"there is no stream {STREAM}: run `offhook provision`") from error
        except (NatsError, TimeoutError) as error:
            raise LogUnavailable(
                f"stream {STREAM} cannot have a consumer: {words_of(error)}"
            ) from error
        pull = await Pull.open(client, STREAM, info.name, batch_max=batch_max)
        return cls(jetstream, info.name, pull, after_seq)

    async def next(
        self, timeout_s: float = WAIT_S, *, batch_max: int = PROJECTOR_BATCH_MAX
    ) -> list[Msg]:
        """The next records in order of seq; none if none came. Raises DeliveryDoubtful."""
        messages = self._held or await self._fetched(timeout_s, batch_max)
        batch = _within_bytes(messages)
        self._held = messages[batch:]
        return messages[:batch]

    async def _fetched(self, timeout_s: float, batch_max: int) -> list[Msg]:
        messages = await self._pull.next(timeout_s, batch_max, gather_s=GATHER_S)
        for message in messages:
            position = message.metadata.sequence
            if position.consumer != self._delivery + 1 or position.stream <= self._seq:
                raise DeliveryDoubtful(
                    f"consumer {self._consumer}: delivery {position.consumer} is seq "
                    f"{position.stream}, after delivery {self._delivery}, which was seq {self._seq}"
                )
            self._delivery, self._seq = position.consumer, position.stream
        return messages

    async def acknowledge(self, messages: Sequence[Msg]) -> None:
        """Make room for the next batch. If one is lost, its record is delivered again: a doubt."""
        for message in messages:
            await message.ack()

    async def check(self) -> int:
        """How many records wait. Raises LogMissing, LogUnavailable, or DeliveryDoubtful.

        Call it when nothing came for a while: a consumer that was deleted delivers nothing.
        """
        try:
            info = await self._jetstream.consumer_info(STREAM, self._consumer)
        except NotFoundError as error:
            raise LogMissing(
                f"stream {STREAM} has no consumer {self._consumer}: run `offhook provision`"
            ) from error
        except (NatsError, TimeoutError) as error:
            raise LogUnavailable(
                f"consumer {self._consumer} cannot be read: {words_of(error)}"
            ) from error
        delivered = info.delivered.consumer_seq if info.delivered else 0
        if delivered > self._delivery + self._pull.waiting:
            await asyncio.sleep(ON_THE_WAY_S)  # it may have been delivered while we asked
        if not self._delivery <= delivered <= self._delivery + self._pull.waiting:
            raise DeliveryDoubtful(
                f"consumer {self._consumer} made {delivered} deliveries, "
                f"but only {self._delivery} arrived"
            )
        return (info.num_pending or 0) + self._pull.waiting

    async def close(self) -> None:
        """Ask for nothing more."""
        await self._pull.close()


def _within_bytes(messages: Sequence[Msg]) -> int:
    """How many of the first ones fit into a batch; at least one."""
    size = 0
    for count, message in enumerate(messages):
        size += len(message.data)
        if size > BATCH_BYTES_MAX:
            return max(1, count)
    return len(messages)


async def records_in(messages: Iterable[Msg]) -> list[StoredRecord]:
    """The records that were delivered."""
    records: list[StoredRecord] = []
    slices = Slices()
    for message in messages:
        records.append(read_stored(**vars(delivery_of(message))))
        await slices.yield_if_due()
    return records


async def require_same_stream(client: Client, seq: int, created_at: datetime | None) -> datetime:
    """When the stream was created. Raises LogReplaced, LogMissing or LogUnavailable.

    `seq` and `created_at` are the checkpoint's; None for a projector without one.
    """
    jetstream = client.jetstream(timeout=API_TIMEOUT_S)
    try:
        info = await jetstream.stream_info(STREAM)
    except NotFoundError as error:
        raise LogMissing(f"there is no stream {STREAM}: run `offhook provision`") from error
    except (NatsError, TimeoutError) as error:
        raise LogUnavailable(f"stream {STREAM} cannot be read: {words_of(error)}") from error
    found = stream_created_at(info)
    if created_at is not None and found != created_at:
        raise LogReplaced(
            f"stream {STREAM} was created at {found}, the views were made from one of "
            f"{created_at}: restore that stream, or use an empty database"
        )
    if info.state.last_seq < seq:
        raise LogReplaced(
            f"stream {STREAM} ends at seq {info.state.last_seq}, the views are at {seq}: "
            "it was restored from an older backup, or has lost records"
        )
    return found
