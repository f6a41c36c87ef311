"""Composition root of a worker: settings → log, carrier, flows → lanes, on FastStream.

Any number of these run side by side; nothing is configured and nobody is assigned anything.
"""

import asyncio
import importlib
import os
import random
import socket
import sys
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime

from faststream import AckPolicy
from faststream.asgi import AsgiFastStream
from faststream.nats import JStream, NatsBroker, NatsMessage, PullSub
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from offhook.errors import LogMissing, OffhookError, SettingInvalid
from offhook.flow import Flow
from offhook.jetstream.connection import client_options, first_connection
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.stream import ACK_WAIT_S, STREAM, WORKER, require_provisioned
from offhook.jetstream.subjects import ALL_IN, parse, wake_subject
from offhook.process import health_routes, serve
from offhook.settings import Settings
from offhook.telnyx.client import Carrier
from workers.carry_out import Timing
from workers.lanes import Lanes
from workers.metrics import Metrics
from workers.settle import Settler

FETCH_MAX = 32
FETCH_WAIT_S = 1.0
HEARTBEAT_S = ACK_WAIT_S / 3
WATCH_S = 10.0


async def run(settings: Settings) -> None:
    """Settle sessions until SIGTERM. Raises OffhookError if it cannot start."""
    flows = flows_from(settings.flows)
    worker = f"{socket.gethostname()}-{os.getpid()}-{random.randrange(16**4):04x}".replace(".", "-")
    broker = NatsBroker(**client_options(settings.nats_url, "worker"), logger=None)
    client = await first_connection(settings.nats_url, broker.connect())
    await require_provisioned(client, settings.nats_monitor_urls, WORKER)

    metrics = Metrics()
    carrier = Carrier(
        base_url=settings.carrier_url,
        key=settings.carrier_key,
        timeout_s=settings.carrier_timeout_s,
    )
    settler = Settler(
        worker=worker,
        log=JetStreamLog(client),
        sender=carrier,
        flows=flows,
        timing=Timing(now=lambda: datetime.now(UTC), sleep=asyncio.sleep, chance=random.random),
        try_s=settings.carrier_timeout_s,
        metrics=metrics,
    )

    async def hand_over(holder: str, session_id: str) -> None:
        await client.publish(wake_subject(holder), session_id.encode())

    lanes = Lanes(settler, hand_over, metrics, lanes_max=settings.lanes_max)
    _subscribe(broker, lanes, worker)

    async def unready() -> str:
        if not metrics.authorized:
            return "the carrier refuses OFFHOOK_CARRIER_KEY (401 or 403)"
        try:
            await require_provisioned(client, settings.nats_monitor_urls, WORKER)
        except OffhookError as error:
            return str(error)
        return ""

    app = AsgiFastStream(
        broker,
        asgi_routes=health_routes(unready, metrics.registry),
        logger=None,
        on_shutdown=[lanes.drain],
        after_shutdown=[carrier.aclose],
    )
    await _first_of(
        serve(app, host=settings.worker_host, port=settings.worker_port),
        lanes.heartbeat(HEARTBEAT_S),
        _watch_consumer(client),
    )


async def _first_of(*work: Coroutine[None, None, None]) -> None:
    """Run all until one ends, and raise what it raised."""
    tasks = {asyncio.create_task(each) for each in work}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()


def flows_from(names: Sequence[str]) -> tuple[Flow, ...]:
    """The flows at `module:attribute`. Raises SettingInvalid naming the one that is not there."""
    sys.path.insert(0, "")  # the user's module is usually beside the command
    return tuple(_flow_from(name) for name in names)


def _flow_from(name: str) -> Flow:
    module_name, separator, attribute = name.partition(":")
    if not separator:
        raise SettingInvalid(f"OFFHOOK_FLOWS has {name!r}; expected module:attribute")
    try:
        flow = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise SettingInvalid(f"OFFHOOK_FLOWS has {name!r}: {error}") from error
    if not isinstance(flow, Flow):
        raise SettingInvalid(
            f"OFFHOOK_FLOWS has {name!r}, a {type(flow).__name__}; expected a Flow"
        )
    return flow


class _Delivery:
    """A wake-up from the worker consumer, as the lanes want it."""

    def __init__(self, message: NatsMessage, session_id: str) -> None:
        self._message = message
        metadata = message.raw_message.metadata
        self.session_id = session_id
        self.seq = metadata.sequence.stream
        self.count = metadata.num_delivered

    async def ack(self) -> None:
        await self._message.ack()

    async def nak(self, delay_s: float) -> None:
        await self._message.nack(delay=delay_s)

    async def in_progress(self) -> None:
        await self._message.in_progress()


async def _raw(message: NatsMessage) -> bytes:
    # FastStream would decode by content type, and what it cannot decode never reaches a handler.
    return message.body


def _subscribe(broker: NatsBroker, lanes: Lanes, worker: str) -> None:
    @broker.subscriber(
        ALL_IN,
        durable=WORKER,
        stream=JStream(STREAM, declare=False),
        pull_sub=PullSub(batch_size=FETCH_MAX, timeout=FETCH_WAIT_S),
        ack_policy=AckPolicy.MANUAL,
        decoder=_raw,
        no_reply=True,
    )
    async def on_record(body: bytes, message: NatsMessage) -> None:
        place = parse(message.raw_message.subject)
        if place is None:
            await message.reject()  # not a subject of ours; nothing is ever stored there
            return
        await lanes.take(_Delivery(message, place.session_id))

    @broker.subscriber(wake_subject(worker), decoder=_raw, no_reply=True)
    async def on_wake(body: bytes) -> None:
        await lanes.wake(body.decode())


async def _watch_consumer(client: Client) -> None:
    """Raise LogMissing when the consumer is gone: its subscriber would wait in silence for ever."""
    while True:
        await asyncio.sleep(WATCH_S)
        try:
            await client.jetstream().consumer_info(STREAM, WORKER)
        except NotFoundError as error:
            raise LogMissing(f"consumer {WORKER} of stream {STREAM} is gone") from error
        except (NatsError, TimeoutError):
            continue  # not now; the client reconnects by itself
