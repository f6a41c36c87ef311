"""One budget for the whole fleet: a burst far over the carrier's limit, on three workers."""

import asyncio
import os
import random
import re
import statistics
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from offhook.cli.embedded.nats_server import NatsServer
from offhook.codec.facts import encode
from offhook.events import CommandFailed, CommandRequested, CommandSucceeded, IssuedCommand
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.log import EventLog
from offhook.jetstream.provisioning.provision import provision
from offhook.settings import Settings, environment_from
from offhook.workers.sending import rate_limits
from tests.forked import Forked, run_room
from tests.whole.reading import log_at
from tests.whole.stub_carrier import StubCarrier, stub_carrier

WORKERS = 3
LIMIT_PER_S = 20
BURST = 200
BUSY_MAX = BURST // 100
LANES = 8
"""A worker's: far fewer than the dials that wait, so that those must not keep the hangups out."""

EARLY_DIALS_MAX = BURST // 8
"""So many dials, half of them, may be sent before the last hangup: a worker may have no hangup left
when others still have some. In the order of arrival nearly all would be."""

LEFT = r'^offhook_budget_left{limit="carrier"} (\S+)$'
TIMEOUT_S = 180.0
SEED = 20
OPERATIONS = ("hangup", "answer", "transfer", "dial")


@pytest.fixture
def nats() -> Iterator[NatsServer]:
    with NatsServer() as server:
        yield server


@pytest.fixture
async def log(nats: NatsServer) -> AsyncIterator[EventLog]:
    client = await connect(nats.url, "test")
    await provision(client, [nats.monitor_url])
    await close(client)
    async with log_at(nats.url) as log:
        yield log


async def test_a_burst_over_the_carriers_limit_is_spread_by_the_fleet_and_hangups_go_first(
    nats: NatsServer, log: EventLog, free_port: int, tmp_path: Path
) -> None:
    burst = [command(operation) for operation in OPERATIONS for _ in range(BURST // 4)]
    random.Random(SEED).shuffle(burst)
    async with stub_carrier(free_port, delay_s=0.02, limit_per_s=LIMIT_PER_S) as carrier:
        with ExitStack() as stack:
            logs = [tmp_path / f"worker-{number}" for number in range(WORKERS)]
            for each in logs:
                stack.enter_context(worker(nats, free_port, each))
            addresses = [await asyncio.to_thread(address_in, each) for each in logs]
            # One command, and the fleet knows the carrier's limit from its answer; it keeps to it
            # once each worker knows all others.
            await request(log, command("answer"))
            await until_the_limit_is_shared(addresses)
            carrier.arrivals.clear()
            # Its answers wait for the whole burst: the order must not depend on how fast that is
            # taken in.
            carrier.is_answering.clear()
            await asyncio.gather(*(request(log, each) for each in burst))
            await until_all_wait(addresses, carrier)
            carrier.is_answering.set()
            waited_at = time.time()
            await until_done(carrier, {each.command_id for each in burst})
            for wanted in burst[::15]:
                await until_told(log, wanted)
            busy = await counted(addresses, "offhook_carrier_busy_total")

    sent = [arrival for arrival in carrier.arrivals if not arrival.was_busy]
    refused = len(carrier.arrivals) - len(sent)
    assert refused <= BUSY_MAX, f"{refused} of {BURST} commands were answered with 429"
    assert busy == refused
    assert Counter(arrival.command_id for arrival in sent) == Counter(
        each.command_id for each in burst
    ), "a command was lost or sent twice"

    # Each worker has a queue of its own, so the order is not exact across them.
    order = [arrival.operation for arrival in sent]
    last_hangup = len(order) - 1 - order[::-1].index("hangup")
    early = [each for each in sent[:last_hangup] if each.at > waited_at]
    assert [each.operation for each in early].count("dial") <= EARLY_DIALS_MAX
    middles = {operation: middle_of(operation, order) for operation in OPERATIONS}
    assert sorted(middles, key=lambda each: middles[each]) == [*OPERATIONS], middles


def command(operation: str) -> IssuedCommand:
    """For a leg and a session of its own; the session is named like the command."""
    dialled = {"to": "+12025550123", "from": "+12025550100", "connection_id": "1"}
    parameters: dict[str, dict[str, str]] = {
        "dial": dialled,
        "transfer": {"to": "+12025550121"},
    }
    return IssuedCommand(
        command_id=str(uuid.uuid4()),
        operation=operation,
        call_control_id=None if operation == "dial" else f"v3:{uuid.uuid4().hex}",
        parameters=parameters.get(operation, {}),
    )


async def request(log: EventLog, each: IssuedCommand) -> None:
    fact = CommandRequested(command=each)
    await log.append(each.command_id, "in", encode(fact, each.command_id))


def middle_of(operation: str, order: list[str]) -> float:
    """The median place in the order."""
    return statistics.median(place for place, each in enumerate(order) if each == operation)


@contextmanager
def worker(nats: NatsServer, carrier_port: int, log_path: Path) -> Iterator[None]:
    """A worker on its way up; killed at the end."""
    settings = Settings(
        nats_url=nats.url,
        nats_monitor_urls=(nats.monitor_url,),
        carrier_url=f"http://127.0.0.1:{carrier_port}/v2",
        carrier_key="stub",
        carrier_timeout_s=TIMEOUT_S,
        lanes_max=LANES,
    )
    log_path.touch()
    process = Forked(
        run_patiently, ["workers"], {**os.environ, **environment_from(settings)}, log_path
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


def run_patiently(room: str) -> None:
    """In the new process: a worker that reports late, on a slow machine, is not taken for gone."""
    rate_limits.MEMBER_S = TIMEOUT_S
    run_room(room)


def address_in(log_path: Path) -> str:
    """Where the worker listens, once it says so in its log."""
    deadline = time.monotonic() + TIMEOUT_S
    while (found := re.search(r'"port": (\d+)', log_path.read_text())) is None:
        assert time.monotonic() < deadline, log_path.read_text()
        time.sleep(0.02)
    return f"http://127.0.0.1:{found[1]}"


async def until_the_limit_is_shared(addresses: list[str]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    async with httpx.AsyncClient(timeout=60) as http:
        while True:
            texts = [(await http.get(f"{address}/metrics")).text for address in addresses]
            found = [re.search(LEFT, text, re.MULTILINE) for text in texts]
            parts = [float(each[1]) for each in found if each]
            if len(parts) == WORKERS and sum(parts) <= LIMIT_PER_S:
                return
            assert time.monotonic() < deadline, f"the parts of the limit are {parts}"
            await asyncio.sleep(0.1)


async def until_all_wait(addresses: list[str], carrier: StubCarrier) -> None:
    """Until each command of the burst waits for a permit, or for its answer."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        queued = await counted(addresses, "offhook_commands_waiting")
        if queued + len(carrier.arrivals) >= BURST:
            return
        sent = len(carrier.arrivals)
        assert time.monotonic() < deadline, f"{queued:.0f} wait, {sent} were sent, of {BURST}"
        await asyncio.sleep(0.1)


async def until_done(carrier: StubCarrier, command_ids: set[str]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while missing := command_ids - {
        arrival.command_id for arrival in carrier.arrivals if not arrival.was_busy
    }:
        assert time.monotonic() < deadline, f"{len(missing)} commands never came"
        await asyncio.sleep(0.1)


async def until_told(log: EventLog, wanted: IssuedCommand) -> None:
    """Wait until the log says what came of it, which must be good."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        facts = [record.fact for record in await log.read(wanted.command_id)]
        assert not any(isinstance(fact, CommandFailed) for fact in facts)
        if any(isinstance(fact, CommandSucceeded) for fact in facts):
            return
        assert time.monotonic() < deadline, "what came of a command was never recorded"
        await asyncio.sleep(0.1)


async def counted(addresses: list[str], name: str) -> float:
    async with httpx.AsyncClient(timeout=60) as http:
        texts = [(await http.get(f"{address}/metrics")).text for address in addresses]
    found = [re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE) for text in texts]
    return sum(float(value) for values in found for value in values)
