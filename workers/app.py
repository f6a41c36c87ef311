"""Composition root of a worker: settings → log, carrier, flows → dispatcher, on FastStream.

Any number of workers run side by side. None is assigned to a session, and there is nothing to
configure for it.
"""

import asyncio
import logging
import os
import random
import socket
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from faststream.asgi import AsgiFastStream

from offhook.jetstream.archived import ArchivedMarks
from offhook.jetstream.client.broker import Broker
from offhook.jetstream.client.connection import WATCH_S
from offhook.jetstream.consuming.pull import LOST_AFTER_S
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.roles.role import Role, connected_with_broker
from offhook.jetstream.snapshots import JetStreamSnapshots
from offhook.jetstream.stream import ACK_WAIT_S, WORKER
from offhook.jetstream.timetable import JetStreamTimetable
from offhook.settings import Settings
from offhook.telnyx.client import Carrier
from offhook.workers.asyncapi.page import PATH as ASYNCAPI_PATH
from offhook.workers.asyncapi.page import asyncapi_page
from offhook.workers.intake.consumer import BoundConsumers
from offhook.workers.intake.dispatcher import Dispatcher
from offhook.workers.intake.handover import OtherWorkers
from offhook.workers.intake.slots import Slots
from offhook.workers.intake.subscriptions import subscribe, until_missing
from offhook.workers.metrics import WorkerMetrics
from offhook.workers.reading.fingerprint import fold_fingerprint
from offhook.workers.reading.precedence import Precedence
from offhook.workers.reading.snapshots import Snapshots
from offhook.workers.sending.carrier_readiness import CarrierReadiness
from offhook.workers.sending.fleet import Fleet
from offhook.workers.sending.queue import CommandQueue
from offhook.workers.sending.rate_limits import RateLimits
from offhook.workers.sending.rates import LimitName, Rate, rates_from
from offhook.workers.sessions.execute import Timing
from offhook.workers.sessions.flow_loading import flows_from
from offhook.workers.sessions.parked_policy import policy_from
from offhook.workers.sessions.settle import Settler

HEARTBEAT_S = ACK_WAIT_S * 0.3
"""So two beats may be late before anything is redelivered."""

DRAIN_S = 15.0
"""How long calls may take to finish at the end; well within the 30 s that compose gives."""

READERS = 2
"""Connections over which sessions are read: if old records are looked for on the one, calls are
read on the other."""

REST_S = 2 * LOST_AFTER_S
"""How long messages that were asked for may take to arrive at the end."""

_log = logging.getLogger(__name__)


async def run(settings: Settings, *, watch_s: float = WATCH_S) -> None:
    """Settle sessions until SIGTERM. Raises OffhookError if it cannot start, or not go on."""
    flows = flows_from(settings.flows)
    policy = policy_from(settings.parked)
    worker = f"{socket.gethostname()}-{os.getpid()}-{random.randrange(16**4):04x}".replace(".", "-")
    async with connected_with_broker(
        "worker", settings.nats_url, settings.nats_monitor_urls, consumer=WORKER
    ) as (role, broker):
        client, health = role.client, role.health
        consumers = BoundConsumers(client, lambda: dispatcher.room())
        broker.config.connection_state.connect(client, consumers)
        metrics = WorkerMetrics()
        readiness = CarrierReadiness()
        slots = Slots(settings.lanes_max, on_free=consumers.pull)
        limits = RateLimits(worker, _rates(settings), time.monotonic())
        queue = CommandQueue(limits, slots, metrics)
        fleet = Fleet(client, limits, queue, metrics)
        await fleet.join()
        carrier = Carrier(
            base_url=settings.carrier_url,
            key=settings.carrier_key,
            timeout_s=settings.carrier_timeout_s,
        )
        precedence = Precedence()
        snapshots = Snapshots(
            JetStreamSnapshots(client), fold_fingerprint(), metrics=metrics, precedence=precedence
        )
        settler = Settler(
            worker=worker,
            log=JetStreamLog(
                client,
                health.appends,
                partitions=role.partitions,
                readers=await role.connect_more(READERS),
            ),
            timetable=JetStreamTimetable(client, health.alarms),
            sender=carrier,
            flows=flows,
            timing=Timing(now=lambda: datetime.now(UTC), sleep=asyncio.sleep, chance=random.random),
            send_s=settings.carrier_timeout_s,
            metrics=metrics,
            readiness=readiness,
            queue=queue,
            policy=policy,
            webhook_url=settings.webhook_url,
            was_archived=ArchivedMarks(client).contains,
            snapshots=snapshots,
            precedence=precedence,
        )
        other_workers = OtherWorkers(client)
        dispatcher = Dispatcher(
            settler, other_workers.hand_over, metrics, slots=slots, hurry=queue.hurry
        )
        subscribe(broker, dispatcher, other_workers, worker, role.partitions)

        async def drain() -> None:
            role.ending.set()
            consumers.stop()
            _log.info("taking nothing new", extra={"worker": worker})
            await dispatcher.drain(DRAIN_S)
            await consumers.rest(REST_S)
            await fleet.leave()

        async def unready() -> str:
            return readiness.trouble or await health.trouble()

        app = _app(broker, settings, role, unready, metrics, drain=drain, close=carrier.aclose)
        await role.serve(
            app,
            host=settings.worker_host,
            port=settings.worker_port,
            beside=[
                dispatcher.heartbeat(HEARTBEAT_S),
                fleet.keep_reporting(),
                snapshots.keep_storing(),
                snapshots.resting.keep_waking(dispatcher.rest),
                snapshots.short_resting.keep_waking(dispatcher.rest),
                until_missing(client, watch_s, role.ending, role.partitions),
            ],
            watch_s=watch_s,
        )


def _rates(settings: Settings) -> dict[LimitName, Rate]:
    return rates_from(dials_per_s=settings.dials_per_s, commands_per_s=settings.commands_per_s)


def _app(
    broker: Broker,
    settings: Settings,
    role: Role,
    unready: Callable[[], Awaitable[str]],
    metrics: WorkerMetrics,
    *,
    drain: Callable[[], Awaitable[None]],
    close: Callable[[], Awaitable[None]],
) -> AsgiFastStream:
    """FastStream's application: health, metrics and the description of the log over HTTP.

    At the end it calls `drain` before it closes the subscriptions, and `close` after that.
    """
    return AsgiFastStream(
        broker,
        asgi_routes=[
            *role.health_routes(
                metrics.registry, metrics_token=settings.metrics_token, unready=unready
            ),
            (ASYNCAPI_PATH, asyncapi_page),
        ],
        logger=None,
        on_shutdown=[drain],
        after_shutdown=[close],
    )
