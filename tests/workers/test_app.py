"""A worker process on a real log: how it starts, drains, and ends when it cannot go on."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from offhook.cli.embedded.nats_server import NatsServer
from offhook.codec.facts import encoded_webhook
from offhook.codec.webhooks import wire_body
from offhook.errors import SettingInvalid
from offhook.events import CommandFailed, CommandSucceeded, Decided, WebhookReceived
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.provisioning.provision import provision
from offhook.jetstream.stream import WORKER, consumer_configs, stream_of
from offhook.jetstream.subjects import LIMITS, partition_for
from offhook.settings import Settings, environment_from
from offhook.workers.sessions.flow_loading import flows_from
from tests.forked import Forked
from tests.guarded_nats import GuardedNats
from tests.whole.callers import Caller
from tests.whole.stub_carrier import StubCarrier, stub_carrier
from tests.workers.run_worker import (
    run_late_worker,
    run_worker,
    run_worker_of_a_deleted_consumer,
)

END_TIMEOUT_S = 120.0
PARTITIONS = 4
PATIENT = consumer_configs()[0].evolve(ack_wait=2 * END_TIMEOUT_S)
"""What is neither acknowledged nor given back comes again only after the test has given up."""
FLOW = "tests.whole.flows:answer_then_transfer"


def test_flows_are_found_by_module_and_attribute() -> None:
    (flow,) = flows_from([FLOW])
    assert (flow.name, flow.version) == ("answer-then-transfer", "1")
    assert flows_from([]) == ()


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("tests.whole.flows", "expected module:attribute"),
        ("tests.whole.flows:", "expected module:attribute"),
        (":answer_then_transfer", "expected module:attribute"),
        (".flows:answer_then_transfer", "expected module:attribute"),
        ("tests.whole.flows", "such as tests.whole.flows:flows$"),
        ("frontdesk.py:desk", "expected module:attribute, such as frontdesk:desk$"),
        ("flows/desk.py", "expected module:attribute, such as flows.desk:desk$"),
        ("no_such_module:flow", "No module named 'no_such_module' in /.* or among what is inst"),
        ("tests.whole.flows:nothing", "has no attribute 'nothing'"),
        ("tests.whole.flows:decide", "of type function; expected a Flow"),
        ("queue:flow", r"module 'queue' \(/.*/queue.py\) has no attribute 'flow'"),
        ("offhook.flow:API_FLOW", "the name 'api' is taken"),
    ],
)
def test_a_flow_that_is_not_there_is_named(name: str, complaint: str) -> None:
    with pytest.raises(SettingInvalid, match=complaint) as raised:
        flows_from([FLOW, name])
    assert f"OFFHOOK_FLOWS has {name!r}" in str(raised.value)


def test_two_flows_of_one_name_are_refused() -> None:
    with pytest.raises(SettingInvalid, match="the name 'answer-then-transfer' is taken"):
        flows_from([FLOW, FLOW])


@pytest.fixture
def nats() -> Iterator[GuardedNats]:
    with GuardedNats() as server:
        yield server


@pytest.fixture
async def client(nats: GuardedNats) -> AsyncIterator[Client]:
    client = await connect(nats.url, "test")
    await provision(client, [nats.monitor_url], partitions=PARTITIONS)
    yield client
    await close(client)


def stream_for(caller: Caller) -> str:
    return stream_of(partition_for(caller.session_id, PARTITIONS), PARTITIONS)


@contextmanager
def worker(
    nats: NatsServer,
    carrier_port: int,
    log_path: Path,
    running: Callable[[], None] = run_worker,
    *,
    until_it_listens: bool = True,
) -> Iterator[Forked]:
    """A worker; killed at the end if still there."""
    settings = Settings(
        nats_url=nats.url,
        nats_monitor_urls=(nats.monitor_url,),
        flows=(FLOW,),
        carrier_url=f"http://127.0.0.1:{carrier_port}/v2",
        carrier_key="stub",
        carrier_timeout_s=END_TIMEOUT_S,
    )
    log_path.touch()
    env = {**os.environ, **environment_from(settings), "PYTHONPATH": "."}
    process = Forked(running, [], env, log_path)
    try:
        if until_it_listens:
            _wait_until_it_says("listening", process, log_path)
        yield process
    finally:
        process.kill()
        process.wait()


def _wait_until_it_says(what: str, process: Forked, log_path: Path) -> None:
    deadline = time.monotonic() + END_TIMEOUT_S
    while f'"what": "{what}"' not in log_path.read_text():
        assert process.poll() is None, log_path.read_text()
        assert time.monotonic() < deadline, log_path.read_text()
        time.sleep(0.02)


async def test_a_worker_that_ends_in_order_finishes_what_it_sent_and_takes_nothing_new(
    client: Client, nats: GuardedNats, free_port: int, tmp_path: Path
) -> None:
    log = JetStreamLog(client, partitions=PARTITIONS)
    first, late = Caller(), Caller()
    for caller in (first, late):
        await client.jetstream().add_consumer(stream_for(caller), PATIENT)
    reports = await client.subscribe(LIMITS)
    async with stub_carrier(free_port, delay_s=0) as carrier:
        with worker(nats, free_port, tmp_path / "log") as process:
            carrier.is_answering.clear()
            await _arrive(log, first)
            await _until_sent(carrier)
            process.send_signal(signal.SIGTERM)
            says = ("taking nothing new", process, tmp_path / "log")
            await asyncio.to_thread(_wait_until_it_says, *says)
            await _arrive(log, late)
            carrier.is_answering.set()
            status = await asyncio.to_thread(process.wait, END_TIMEOUT_S)

    assert status == 0, (tmp_path / "log").read_text()
    kinds = [type(record.fact) for record in await log.read(first.session_id)]
    assert kinds == [WebhookReceived, Decided, CommandSucceeded]
    assert len(carrier.arrivals) == 1
    # The late one waits for another worker, and did not go to and fro meanwhile.
    assert len(await log.read(late.session_id)) == 1
    info = await client.jetstream().consumer_info(stream_for(late), WORKER)
    assert (info.num_pending or 0) + (info.num_ack_pending or 0) == 1
    assert info.delivered is not None
    assert info.delivered.consumer_seq <= 3
    # The last it said is that its part of the carrier's limits is the others' now.
    told = [(await reports.next_msg(1)).data for _ in range(reports.pending_msgs)]
    assert [b'"is_leaving":true' in each for each in told] == [*[False] * (len(told) - 1), True]


async def test_a_worker_that_ends_gives_back_what_was_on_its_way_to_it(
    client: Client, nats: GuardedNats, free_port: int, tmp_path: Path
) -> None:
    caller = Caller()
    await client.jetstream().add_consumer(stream_for(caller), PATIENT)
    log_path = tmp_path / "log"
    async with stub_carrier(free_port, delay_s=0):
        with worker(nats, free_port, log_path, run_late_worker) as process:
            await _arrive(JetStreamLog(client, partitions=PARTITIONS), caller)
            deadline = time.monotonic() + END_TIMEOUT_S
            while "fetched" not in log_path.read_text():
                assert time.monotonic() < deadline, log_path.read_text()
                await asyncio.sleep(0.01)
            process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait, END_TIMEOUT_S) == 0
    bound = await client.jetstream().pull_subscribe_bind(WORKER, stream_for(caller))
    (message,) = await bound.fetch(1, END_TIMEOUT_S)
    assert message.metadata.num_delivered == 2


async def test_a_worker_ends_in_order_also_while_the_log_is_away(
    client: Client, nats: GuardedNats, free_port: int, tmp_path: Path
) -> None:
    with worker(nats, free_port, tmp_path / "log") as process:
        await close(client)
        await asyncio.to_thread(nats.stop)
        says = ("nats disconnected", process, tmp_path / "log")
        await asyncio.to_thread(_wait_until_it_says, *says)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, END_TIMEOUT_S) == 0
    assert "Traceback" not in (tmp_path / "log").read_text()


async def test_a_worker_whose_key_is_refused_is_not_ready_until_a_command_succeeds(
    client: Client, nats: GuardedNats, free_port: int, tmp_path: Path
) -> None:
    log = JetStreamLog(client, partitions=PARTITIONS)
    async with stub_carrier(free_port, delay_s=0) as carrier, httpx.AsyncClient(timeout=60) as http:
        with worker(nats, free_port, tmp_path / "log"):
            port = json.loads((tmp_path / "log").read_text().splitlines()[-1])["port"]

            async def after_a_call(wanted: tuple[int, str | None]) -> None:
                caller = Caller()
                await _arrive(log, caller)
                await _until_recorded(log, caller)
                deadline, seen = time.monotonic() + END_TIMEOUT_S, None
                while seen != wanted:
                    assert time.monotonic() < deadline, f"{seen}, not {wanted}"
                    answer = await http.get(f"http://127.0.0.1:{port}/health/ready")
                    seen = answer.status_code, answer.json()["because"]

            carrier.refusal = (401, "10009")
            refused = "the carrier refuses OFFHOOK_CARRIER_KEY for answer: 401 10009 No"
            await after_a_call((503, refused))
            carrier.refusal = (422, "90034")
            await after_a_call((503, refused))
            carrier.refusal = None
            await after_a_call((200, None))
            carrier.refusal = (422, "20100")
            stopped = "the carrier refuses commands of this account: answer: 422 20100 No"
            await after_a_call((503, stopped))


async def test_a_worker_whose_consumer_is_deleted_ends_and_says_so(
    client: Client, nats: GuardedNats, free_port: int, tmp_path: Path
) -> None:
    with worker(nats, free_port, tmp_path / "log") as process:
        await client.jetstream().delete_consumer("CALLS_2", WORKER)
        status = await asyncio.to_thread(process.wait, END_TIMEOUT_S)
    assert status == 1
    last = (tmp_path / "log").read_text().splitlines()[-1]
    assert last == "offhook: consumer worker of stream CALLS_2 is gone"


async def test_a_worker_whose_consumer_is_deleted_while_it_starts_makes_no_other(
    client: Client, nats: GuardedNats, free_port: int, tmp_path: Path
) -> None:
    # It may find out before it listens.
    running = run_worker_of_a_deleted_consumer
    starting = worker(nats, free_port, tmp_path / "log", running, until_it_listens=False)
    with starting as process:
        status = await asyncio.to_thread(process.wait, END_TIMEOUT_S)
    assert status == 1
    last = (tmp_path / "log").read_text().splitlines()[-1]
    assert last == "offhook: consumer worker of stream CALLS_2 is gone"
    with pytest.raises(NotFoundError):
        await client.jetstream().consumer_info("CALLS_2", WORKER)


async def test_a_worker_that_the_log_no_longer_lets_in_ends_and_says_so(
    client: Client, nats: GuardedNats, free_port: int, tmp_path: Path
) -> None:
    with worker(nats, free_port, tmp_path / "log") as process:
        await close(client)
        nats.refuse()
        status = await asyncio.to_thread(process.wait, END_TIMEOUT_S)
    assert status == 1
    lines = (tmp_path / "log").read_text().splitlines()
    (why,) = [line for line in lines if line.startswith("offhook: ")]
    assert why.startswith("offhook: the NATS server refuses this worker:")
    assert "Authorization Violation" in why


async def _arrive(log: JetStreamLog, caller: Caller) -> None:
    event = caller.initiated()
    encoded = encoded_webhook(wire_body(event), event.event_id)
    await log.append(caller.session_id, "in", encoded, timeout_s=END_TIMEOUT_S)


async def _until_sent(carrier: StubCarrier) -> None:
    deadline = time.monotonic() + END_TIMEOUT_S
    while not carrier.arrivals:
        assert time.monotonic() < deadline, "no command came"
        await asyncio.sleep(0.01)


async def _until_recorded(log: JetStreamLog, caller: Caller) -> None:
    deadline = time.monotonic() + END_TIMEOUT_S
    while not any(
        isinstance(record.fact, CommandFailed | CommandSucceeded)
        for record in await log.read(caller.session_id)
    ):
        assert time.monotonic() < deadline, "no outcome was recorded"
        await asyncio.sleep(0.01)
