"""A worker's consumers share its room: none starves, and one alone gets nearly all of it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from offhook.cli.embedded.nats_server import NatsServer
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.provisioning.provision import provision
from offhook.jetstream.stream import WORKER, consumer_configs, streams_of
from offhook.jetstream.subjects import partition_for, subject_of
from offhook.workers.intake.consumer import FETCH_MAX, BoundConsumers

PARTITIONS = 4
TIMEOUT_S = 60.0


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    with NatsServer() as server:
        client = await connect(server.url, "test")
        await provision(client, [server.monitor_url], partitions=PARTITIONS)
        # Nothing is acknowledged here, and nothing is to be delivered again.
        patient = consumer_configs()[0].evolve(ack_wait=TIMEOUT_S)
        for stream in streams_of(PARTITIONS):
            await client.jetstream().add_consumer(stream, patient)
        yield client
        await close(client)


class Worker:
    """Takes messages into `slots`, and gives a slot up when it is told to."""

    def __init__(self, client: Client, slots: int) -> None:
        self.slots = slots
        self.at_work: list[Msg] = []
        self.taken: list[str] = []  # the stream of each, in order
        self.consumers = BoundConsumers(client, lambda: max(0, self.slots - len(self.at_work)))

    async def run(self, work: Callable[[], None]) -> None:
        """Take from every partition, and call `work` after each message."""

        async def one(stream: str) -> None:
            subscription = await self.consumers.pull_subscribe(stream=stream, durable=WORKER)
            while True:
                for message in await subscription.fetch(FETCH_MAX, 1.0):
                    self.at_work.append(message)
                    self.taken.append(stream)
                    work()

        await asyncio.gather(*(one(stream) for stream in streams_of(PARTITIONS)))

    def finish_first(self) -> None:
        self.at_work.pop(0)
        self.consumers.pull()


async def publish(client: Client, partition: int, count: int) -> None:
    sessions = (f"s{number}" for number in range(100_000))
    wanted = (name for name in sessions if partition_for(name, PARTITIONS) == partition)
    for _, name in zip(range(count), wanted, strict=False):
        await client.jetstream().publish(subject_of(name, "in"), b"")


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not reached():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_one_busy_partition_may_fill_the_worker(client: Client) -> None:
    worker = Worker(client, slots=64)
    running = asyncio.create_task(worker.run(lambda: None))
    await asyncio.sleep(0.2)  # all four have asked
    await publish(client, 2, 100)
    await until(lambda: len(worker.at_work) >= 64)
    assert set(worker.taken) == {"CALLS_2"}
    await asyncio.sleep(0.1)
    assert len(worker.at_work) <= 64 + PARTITIONS
    running.cancel()


async def test_a_busy_partition_does_not_keep_the_others_waiting(client: Client) -> None:
    await publish(client, 0, 400)
    for partition in (1, 2, 3):
        await publish(client, partition, 5)
    worker = Worker(client, slots=4)
    rest = 0

    def work() -> None:
        if len(worker.at_work) >= worker.slots:
            asyncio.get_running_loop().call_later(0.001, worker.finish_first)

    running = asyncio.create_task(worker.run(work))
    await until(lambda: sum(stream != "CALLS_0" for stream in worker.taken) == 15)
    rest = Counter(worker.taken)["CALLS_0"]
    assert rest < 300, "the others waited for the busy one"
    running.cancel()


async def test_all_partitions_together_hold_less_than_twice_what_there_is_room_for(
    client: Client,
) -> None:
    for partition in range(PARTITIONS):
        await publish(client, partition, 60)
    worker = Worker(client, slots=16)
    running = asyncio.create_task(worker.run(lambda: None))
    await until(lambda: len(worker.at_work) >= 16)
    await until(lambda: len(set(worker.taken)) == PARTITIONS)
    await asyncio.sleep(0.2)
    assert len(worker.at_work) < 2 * 16  # one may be full before the others' shares arrive
    running.cancel()
