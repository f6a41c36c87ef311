"""What a worker subscribes to through FastStream: consumers, and other workers' requests."""

import asyncio
from functools import partial

from faststream import AckPolicy
from faststream.nats import JStream, NatsBroker, NatsMessage, PullSub
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from offhook.errors import LogMissing
from offhook.jetstream.consuming.pull import EXPIRES_S
from offhook.jetstream.stream import TIMERS, WORKER, WORKER_TIMERS, streams_of
from offhook.jetstream.subjects import ALL_FIRED, ALL_IN, parse, wake_subject
from offhook.jetstream.timetable import alarm_from
from offhook.workers.intake.consumer import FETCH_MAX
from offhook.workers.intake.delivery import ConsumerDelivery
from offhook.workers.intake.dispatcher import Dispatcher
from offhook.workers.intake.handover import OtherWorkers


def subscribe(
    broker: NatsBroker,
    dispatcher: Dispatcher,
    other_workers: OtherWorkers,
    worker: str,
    partitions: int,
) -> None:
    """Pass everything that arrives to the dispatcher. `worker` is this worker's name.

    `partitions` is how many the log has: this worker consumes all of them.
    """
    consume = partial(
        broker.subscriber,
        pull_sub=PullSub(batch_size=FETCH_MAX, timeout=EXPIRES_S),
        ack_policy=AckPolicy.MANUAL,
        decoder=_as_received,
        no_reply=True,
        include_in_schema=False,
    )
    records = [
        consume(ALL_IN, durable=WORKER, stream=JStream(stream, declare=False))
        for stream in streams_of(partitions)
    ]
    alarms = consume(ALL_FIRED, durable=WORKER_TIMERS, stream=JStream(TIMERS, declare=False))
    handovers = broker.subscriber(
        wake_subject(worker), decoder=_as_received, no_reply=True, include_in_schema=False
    )

    async def on_record(message: Msg) -> None:
        place = parse(message.subject)
        if place is None:
            await message.term()  # not a subject of ours; nothing is ever stored there
            return
        await dispatcher.take(ConsumerDelivery(message, place.session_id))

    for subscriber in records:
        subscriber(on_record)

    @alarms
    async def on_alarm(message: Msg) -> None:
        alarm = alarm_from(message, partitions)
        if alarm is None:
            await message.term()  # it was not set by Offhook
            return
        await dispatcher.take(ConsumerDelivery(message, alarm.session_id, alarm))

    @handovers
    async def on_handover(message: Msg) -> None:
        await other_workers.answer(message, dispatcher.take_over)


async def until_missing(
    client: Client, every_s: float, ending: asyncio.Event, partitions: int
) -> None:
    """Raise LogMissing once a consumer is gone, which a subscriber would wait out in silence."""
    consumers = [*((stream, WORKER) for stream in streams_of(partitions)), (TIMERS, WORKER_TIMERS)]
    while True:
        await asyncio.sleep(every_s)
        if ending.is_set() or not client.is_connected:
            continue
        for stream, consumer in consumers:
            try:
                await client.jetstream().consumer_info(stream, consumer)
            except NotFoundError as missing:
                raise LogMissing(f"consumer {consumer} of stream {stream} is gone") from missing
            except (NatsError, TimeoutError):
                continue  # not now; the client reconnects by itself


async def _as_received(message: NatsMessage) -> Msg:
    # FastStream would decode by content type, and what it cannot decode never reaches a handler.
    # It keeps the result in its own message, which that must not be: no garbage in circles.
    return message.raw_message
