"""Workers that report their limits to each other, over a real NATS server."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import pytest
from nats.aio.client import Client

from offhook.cli.embedded.nats_server import NatsServer
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.subjects import LIMITS
from offhook.telnyx.outcomes import Busy
from offhook.workers.intake.slots import Slots
from offhook.workers.metrics import WorkerMetrics
from offhook.workers.sending import fleet as fleet_module
from offhook.workers.sending.fleet import Fleet
from offhook.workers.sending.queue import CommandQueue
from offhook.workers.sending.rate_limits import MEMBER_S, RateLimits
from offhook.workers.sending.rates import rates_from

TIMEOUT_S = 60.0


class Worker:
    """As much of one as takes part; `clock` is a clock of its own."""

    def __init__(self, client: Client, name: str, started_at: float) -> None:
        self._started_at = started_at - asyncio.get_running_loop().time()
        self.metrics = WorkerMetrics()
        limits = rates_from(dials_per_s=0, commands_per_s=30)
        self.limits = RateLimits(name, limits, self.clock())
        self.queue = CommandQueue(self.limits, Slots(8), self.metrics, clock=self.clock)
        self.fleet = Fleet(client, self.limits, self.queue, self.metrics, clock=self.clock)

    def clock(self) -> float:
        return self._started_at + asyncio.get_running_loop().time()

    def pass_by(self, seconds: float) -> None:
        self._started_at += seconds

    @property
    def left(self) -> int:
        return self.limits.left(self.clock())["commands"]


@pytest.fixture
async def client(nats_server: NatsServer) -> AsyncIterator[Client]:
    client = await connect(nats_server.url, "test")
    yield client
    await close(client)


async def test_a_newcomer_knows_the_fleet_at_once_and_is_known(client: Client) -> None:
    workers = [Worker(client, name, at) for name, at in (("a", 0.0), ("b", 5e5), ("c", 9e9))]
    for worker in workers:
        await worker.fleet.join()
    await until(lambda: [worker.left for worker in workers] == [10, 10, 10])


async def test_a_429_to_one_worker_is_told_to_all(client: Client) -> None:
    told, other = Worker(client, "a", 0.0), Worker(client, "b", 5e5)
    await told.fleet.join()
    await other.fleet.join()
    telling = asyncio.create_task(told.fleet.keep_reporting())
    await asyncio.sleep(0)
    told.queue.learn(Busy(retry_after_s=30.0, detail="429"))
    await until(lambda: other.queue.closed_s("answer") > 10)
    assert other.queue.closed_s("hangup") <= 5
    await until(lambda: told.metrics.registry.get_sample_value(*LEFT) is not None)
    telling.cancel()


async def test_a_worker_that_has_left_is_not_taken_back(client: Client) -> None:
    leaving, other, newcomer = (Worker(client, name, 0.0) for name in ("a", "b", "c"))
    await leaving.fleet.join()
    await other.fleet.join()
    await until(lambda: other.left == 15)
    await leaving.fleet.leave()
    telling = asyncio.create_task(leaving.fleet.keep_reporting())
    await looked(leaving)
    await newcomer.fleet.join()  # which asks everybody
    await until(lambda: [leaving.left, newcomer.left] == [10, 15])
    await client.flush()
    assert [other.left, newcomer.left] == [15, 15]
    telling.cancel()


async def test_a_report_that_cannot_be_read_is_passed_over(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    worker = Worker(client, "a", 0.0)
    await worker.fleet.join()
    await client.publish(LIMITS, b"{")
    await until(lambda: "a report of limits cannot be read" in caplog.text)
    assert worker.left == 30


async def test_nobody_is_gone_because_the_server_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_module, "REPORT_S", 0.02)
    with NatsServer() as server:
        clients = [await connect(server.url, "test") for _ in range(2)]
        worker, other = Worker(clients[0], "a", 0.0), Worker(clients[1], "b", 0.0)
        await worker.fleet.join()
        await other.fleet.join()
        await until(lambda: worker.left == 15)
        telling = asyncio.create_task(worker.fleet.keep_reporting())
        server.stop()
        await until(lambda: not clients[0].is_connected)
        for _ in range(2):
            worker.pass_by(60.0)
            await looked(worker)
        assert worker.left == 15, "or both send as if they were alone when it is back"
        server.start()
        await until(lambda: clients[0].is_connected)
        await looked(worker)
        assert worker.left == 15
        worker.pass_by(MEMBER_S + 0.1)  # the other one really is silent
        await looked(worker)
        worker.pass_by(60.0)
        await until(lambda: worker.left == 30)
        telling.cancel()
        for each in clients:
            await close(each)


LEFT = ("offhook_budget_left", {"limit": "commands"})


async def looked(worker: Worker) -> None:
    """Once the worker that keeps telling has done so, and has looked at its limits, after now."""
    for _ in range(2):  # the second is taken note of when all is done about the first
        worker.queue.was_busy.set()
        await until(lambda: not worker.queue.was_busy.is_set())


async def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not is_so():
        assert time.monotonic() < deadline, "it never became so"
        await asyncio.sleep(0.01)
