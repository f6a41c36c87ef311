"""Composition root of a worker: settings → log, carrier, flows → lanes, on FastStream.

Any number of these run side by side; nothing is configured and nobody is assigned anything.
"""

import asyncio
import logging
import os
import random
import socket
import time
from datetime import UTC, datetime

from faststream import AckPolicy
from faststream.asgi import AsgiFastStream
from faststream.nats import JStream, NatsBroker, NatsMessage, PullSub
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from offhook.errors import LogMissing
from offhook.jetstream.broker import Broker
from offhook.jetstream.connection import (
    WATCH_S,
    client_options,
    first_connection,
    until_refused,
)
from offhook.jetstream.health import LogHealth
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.pull import EXPIRES_S, LOST_AFTER_S
from offhook.jetstream.stream import (
    ACK_WAIT_S,
    STREAM,
    TIMERS,
    WORKER,
    WORKER_TIMERS,
    require_provisioned,
)
from offhook.jetstream.subjects import ALL_FIRED, ALL_IN, parse, wake_subject
from offhook.jetstream.timetable import Alarm, JetStreamTimetable, alarm_from
from offhook.process import first_of, health_routes, serve
from offhook.settings import Settings
from offhook.telnyx.client import Carrier
from offhook.workers.asyncapi import ROUTE, SPECIFICATION, describe
from offhook.workers.intake.consumer import FETCH_MAX, BoundConsumers
from offhook.workers.intake.dispatcher import Dispatcher
from offhook.workers.intake.handover import OtherWorkers
from offhook.workers.intake.slots import Slots
from offhook.workers.metrics import Metrics
from offhook.workers.sending.carrier_readiness import CarrierReadiness
from offhook.workers.sending.fleet import Fleet
from offhook.workers.sending.queue import CommandQueue
from offhook.workers.sending.rate_limits import RateLimits, limits_of
from offhook.workers.sessions.execute import Timing
from offhook.workers.sessions.flow_loading import flows_from
from offhook.workers.sessions.parked_policy import policy_from
from offhook.workers.sessions.settle import Settler

HEARTBEAT_S = ACK_WAIT_S * 0.3
"""So two beats may be late before anything is redelivered."""

DRAIN_S = 15.0
"""How long calls may take to finish at the end; well within the 30 s that compose gives."""

REST_S = 2 * LOST_AFTER_S
"""How long messages that were asked for may take to arrive at the end."""

_log = logging.getLogger(__name__)


async def run(settings: Settings, *, watch_s: float = WATCH_S) -> None:
    """Settle sessions until SIGTERM. Raises OffhookError if it cannot start, or not go on."""
    flows = flows_from(settings.flows)
    policy = policy_from(settings.parked)
    worker = f"{socket.gethostname()}-{os.getpid()}-{random.randrange(16**4):04x}".replace(".", "-")
    # Without `apply_types=False` every delivery would take a detour through a thread.
    options = client_options(settings.nats_url, "worker")
    broker = Broker(**options, logger=None, apply_types=False)
    client = await first_connection(settings.nats_url, broker.connect())
    consumers = BoundConsumers(client, lambda: lanes.room())
    broker.config.connection_state.connect(client, consumers)
    await require_provisioned(client, settings.nats_monitor_urls, WORKER)

    health = LogHealth(client, settings.nats_monitor_urls, WORKER)
    metrics = Metrics()
    health.register(metrics.registry)
    standing = CarrierReadiness()
    carrier = Carrier(
        base_url=settings.carrier_url,
        key=settings.carrier_key,
        timeout_s=settings.carrier_timeout_s,
    )
    places = Slots(settings.lanes_max, on_free=consumers.look)
    budget = RateLimits(
        worker,
        limits_of(dials_per_s=settings.dials_per_s, commands_per_s=settings.commands_per_s),
        time.monotonic(),
    )
    turns = CommandQueue(budget, places, metrics)
    fleet = Fleet(client, budget, turns, metrics)
    await fleet.join()
    settler = Settler(
        worker=worker,
        log=JetStreamLog(client, health.appends),
        timetable=JetStreamTimetable(client, health.alarms),
        sender=carrier,
        flows=flows,
        timing=Timing(now=lambda: datetime.now(UTC), sleep=asyncio.sleep, chance=random.random),
        try_s=settings.carrier_timeout_s,
        metrics=metrics,
        standing=standing,
        turns=turns,
        policy=policy,
        webhook_url=settings.webhook_url,
    )

    neighbours = OtherWorkers(client)
    lanes = Dispatcher(settler, neighbours.hand_over, metrics, places=places, hurry=turns.hurry)
    _subscribe(broker, lanes, neighbours, worker)
    ending = asyncio.Event()

    async def drain() -> None:
        ending.set()
        consumers.stop()
        _log.info("taking nothing new", extra={"worker": worker})
        await lanes.drain(DRAIN_S)
        await consumers.rest(REST_S)
        await fleet.leave()

    async def unready() -> str:
        return standing.trouble or await health.trouble()

    describe(broker)
    app = AsgiFastStream(
        broker,
        asgi_routes=health_routes(
            unready,
            metrics.registry,
            metrics_token=settings.metrics_token,
            warnings=health.warnings,
        ),
        logger=None,
        specification=SPECIFICATION,
        asyncapi_path=ROUTE,
        on_shutdown=[drain],
        after_shutdown=[carrier.aclose],
    )
    await first_of(
        serve(app, host=settings.worker_host, port=settings.worker_port),
        lanes.heartbeat(HEARTBEAT_S),
        fleet.keep_telling(),
        until_refused(client, "worker", ending, watch_s),
        _until_missing(client, watch_s, ending),
        health.watch(),
    )


class _Delivery:
    """A wake-up from a consumer, as the lanes want it: a record, or an alarm."""

    def __init__(self, message: NatsMessage, session_id: str, alarm: Alarm | None = None) -> None:
        self._message = message
        metadata = message.raw_message.metadata
        self.session_id = session_id
        self.reply = message.raw_message.reply
        self.seq = 0 if alarm is not None else metadata.sequence.stream
        self.alarm = alarm
        self.count = metadata.num_delivered

    async def ack(self) -> None:
        await self._message.ack()

    async def nak(self, delay_s: float) -> None:
        await self._message.nack(delay=delay_s)

    async def in_progress(self) -> None:
        await self._message.in_progress()


async def _whole(message: NatsMessage) -> NatsMessage:
    # FastStream would decode by content type, and what it cannot decode never reaches a handler.
    return message


def _subscribe(
    broker: NatsBroker, lanes: Dispatcher, neighbours: OtherWorkers, worker: str
) -> None:
    """Have the lanes take what the workers' two consumers deliver, and what other workers say."""
    pulling = PullSub(batch_size=FETCH_MAX, timeout=EXPIRES_S)
    records = broker.subscriber(
        ALL_IN,
        durable=WORKER,
        stream=JStream(STREAM, declare=False),
        pull_sub=pulling,
        ack_policy=AckPolicy.MANUAL,
        decoder=_whole,
        no_reply=True,
        include_in_schema=False,
    )
    alarms = broker.subscriber(
        ALL_FIRED,
        durable=WORKER_TIMERS,
        stream=JStream(TIMERS, declare=False),
        pull_sub=pulling,
        ack_policy=AckPolicy.MANUAL,
        decoder=_whole,
        no_reply=True,
        include_in_schema=False,
    )

    @records
    async def on_record(message: NatsMessage) -> None:
        place = parse(message.raw_message.subject)
        if place is None:
            await message.reject()  # not a subject of ours; nothing is ever stored there
            return
        await lanes.take(_Delivery(message, place.session_id))

    @alarms
    async def on_alarm(message: NatsMessage) -> None:
        alarm = alarm_from(message.raw_message)
        if alarm is None:
            await message.reject()  # nobody of ours set it
            return
        await lanes.take(_Delivery(message, alarm.session_id, alarm))

    @broker.subscriber(wake_subject(worker), decoder=_whole, no_reply=True, include_in_schema=False)
    async def on_wake(message: NatsMessage) -> None:
        await neighbours.answer(message.raw_message, lanes.take_over)


async def _until_missing(client: Client, every_s: float, ending: asyncio.Event) -> None:
    """Raise LogMissing once a consumer is gone, which a subscriber would wait out in silence."""
    while True:
        await asyncio.sleep(every_s)
        if ending.is_set() or not client.is_connected:
            continue
        for stream, consumer in ((STREAM, WORKER), (TIMERS, WORKER_TIMERS)):
            try:
                await client.jetstream().consumer_info(stream, consumer)
            except NotFoundError as missing:
                raise LogMissing(f"consumer {consumer} of stream {stream} is gone") from missing
            except (NatsError, TimeoutError):
                continue  # not now; the client reconnects by itself
