"""Workers on a real log catch up on sessions with many records, beside calls; one is killed."""

import asyncio
import os
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from nats.aio.client import Client

from offhook.cli.embedded.nats_server import NatsServer
from offhook.codec.facts import encoded_webhook
from offhook.codec.webhooks import wire_body
from offhook.events import (
    CallDtmfReceived,
    CallEvent,
    CommandAttempted,
    CommandSucceeded,
    Decided,
)
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.provisioning.provision import provision
from offhook.session import fold
from offhook.settings import Settings, environment_from
from tests.forked import Forked
from tests.whole.callers import Caller
from tests.whole.stub_carrier import Arrival, StubCarrier, stub_carrier
from tests.workers.run_worker import run_worker

PARTITIONS = 2
KEYS = 60
LONG = 3
CALLS = 20
DEADLINE_S = 180.0


@pytest.fixture
def nats() -> Iterator[NatsServer]:
    with NatsServer() as server:
        yield server


@pytest.fixture
async def client(nats: NatsServer) -> AsyncIterator[Client]:
    client = await connect(nats.url, "test")
    await provision(client, [nats.monitor_url], partitions=PARTITIONS)
    yield client
    await close(client)


class _Arrivals(list[Arrival]):
    """The carrier answers no more commands once so many have arrived."""

    def __init__(self, carrier: StubCarrier, count: int) -> None:
        super().__init__()
        self._carrier, self._count = carrier, count

    def append(self, arrival: Arrival) -> None:
        super().append(arrival)
        if len(self) == self._count:
            self._carrier.is_answering.clear()


async def test_each_record_is_decided_on_once_and_in_order_though_a_worker_is_killed_meanwhile(
    client: Client, nats: NatsServer, free_port: int, tmp_path: Path
) -> None:
    log = JetStreamLog(client, partitions=PARTITIONS)
    long, calls = [Caller() for _ in range(LONG)], [Caller() for _ in range(CALLS)]
    for caller in long:
        await _arrive(log, caller, caller.initiated(), *(_key(caller) for _ in range(KEYS)))
    async with stub_carrier(free_port, delay_s=0) as carrier:
        carrier.arrivals = _Arrivals(carrier, KEYS)
        with _worker(nats, free_port, tmp_path / "first") as process:
            for caller in calls:
                await _arrive(log, caller, caller.initiated())
            await _until(lambda: not carrier.is_answering.is_set())
            process.kill()
            process.wait()
        carrier.is_answering.set()
        with _worker(nats, free_port, tmp_path / "second"):
            for caller in (*long, *calls):
                await _until_settled(log, caller)
    for caller in (*long, *calls):
        await _check(log, carrier, caller)


async def _check(log: JetStreamLog, carrier: StubCarrier, caller: Caller) -> None:
    records = await log.read(caller.session_id)
    facts = [each.fact for each in records]
    decided = [each for each in facts if isinstance(each, Decided)]
    assert [each.cause_seq for each in decided] == [
        each.seq for each in records if each.side == "in"
    ]
    commands = [command.command_id for each in decided for command in each.commands]
    assert len(commands) == len(decided)
    arrived = [each.command_id for each in carrier.by_leg()[caller.call_control_id]]
    assert arrived == commands, "one after the other, as they were decided"
    assert [each.command_id for each in facts if isinstance(each, CommandSucceeded)] == commands
    times = Counter(each.command_id for each in carrier.arrivals)
    tried_again = {each.command_id for each in facts if isinstance(each, CommandAttempted)}
    assert {each for each in commands if times[each] > 1} <= tried_again


def _key(caller: Caller) -> CallDtmfReceived:
    return CallDtmfReceived(
        event_id=str(uuid.uuid4()),
        call_control_id=caller.call_control_id,
        call_session_id=caller.session_id,
        digit="1",
    )


async def _arrive(log: JetStreamLog, caller: Caller, *events: CallEvent) -> None:
    for event in events:
        encoded = encoded_webhook(wire_body(event), event.event_id)
        await log.append(caller.session_id, "in", encoded, timeout_s=DEADLINE_S)


@contextmanager
def _worker(nats: NatsServer, carrier_port: int, log_path: Path) -> Iterator[Forked]:
    """A worker; killed at the end if still there."""
    settings = Settings(
        nats_url=nats.url,
        nats_monitor_urls=(nats.monitor_url,),
        flows=("tests.whole.flows:echoing",),
        carrier_url=f"http://127.0.0.1:{carrier_port}/v2",
        carrier_key="stub",
        carrier_timeout_s=DEADLINE_S,
    )
    env = {**os.environ, **environment_from(settings), "PYTHONPATH": "."}
    process = Forked(run_worker, [], env, log_path)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def _until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def _until_settled(log: JetStreamLog, caller: Caller) -> None:
    """Until each of its records has a decision, and each command an outcome."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        session = fold(caller.session_id, await log.read(caller.session_id))
        if session.decided and not session.undecided and not session.open_commands:
            return
        assert time.monotonic() < deadline, session
        await asyncio.sleep(0.05)
