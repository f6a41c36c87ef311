"""What FastStream makes of a delivery is freed as soon as the delivery is acknowledged."""

import asyncio
import gc

from faststream.nats.message import NatsMessage
from nats.aio.msg import Msg

from offhook.cli.embedded.nats_server import NatsServer
from offhook.jetstream.client.broker import Broker
from offhook.jetstream.client.connection import client_options
from offhook.jetstream.provisioning.provision import provision
from offhook.jetstream.stream import STREAM, consumer_configs
from offhook.jetstream.subjects import subject_of
from offhook.workers.intake.consumer import BoundConsumers
from offhook.workers.intake.delivery import Delivery
from offhook.workers.intake.subscriptions import subscribe

COUNT = 40
LAST = 2
"""The loop of each of the two consumers may still refer to its last message."""
TIMEOUT_S = 60.0


class Taker:
    """Acknowledges every delivery. Instead of the dispatcher and the other workers."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, int, int]] = []  # session, position, how often delivered

    async def take(self, delivery: Delivery) -> None:
        await delivery.ack()
        self.taken.append((delivery.session_id, delivery.seq, delivery.count))

    def take_over(self, session_id: str, deliveries: object) -> bool:
        raise AssertionError("no other worker hands anything over")

    async def answer(self, message: Msg, take_over: object) -> None:
        raise AssertionError("no other worker asks")


def live_messages() -> int:
    return sum(isinstance(each, NatsMessage) for each in gc.get_objects())


async def test_a_delivery_is_freed_without_the_garbage_collector() -> None:
    with NatsServer() as server:
        broker = Broker(**client_options(server.url, "test"), logger=None, apply_types=False)
        client = await broker.connect()
        await provision(client, [server.monitor_url], partitions=1)
        # On a busy machine what is not acknowledged yet is not delivered again.
        patient = consumer_configs()[0].evolve(ack_wait=TIMEOUT_S)
        await client.jetstream().add_consumer(STREAM, patient)
        taker = Taker()
        broker.config.connection_state.connect(client, BoundConsumers(client, lambda: COUNT))
        subscribe(broker, taker, taker, "w", 1)  # type: ignore[arg-type]
        gc.collect()
        before = live_messages()
        gc.disable()
        try:
            await broker.start()
            for number in range(COUNT):
                await client.jetstream().publish(subject_of(f"s{number}", "in"), b"{}")
            async with asyncio.timeout(TIMEOUT_S):
                while len(taker.taken) < COUNT:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            async with asyncio.timeout(TIMEOUT_S):  # the last ones are still acknowledged
                while live_messages() - before > LAST:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        finally:
            gc.enable()
            await broker.stop()
        assert sorted(taker.taken) == sorted((f"s{n}", n + 1, 1) for n in range(COUNT))
