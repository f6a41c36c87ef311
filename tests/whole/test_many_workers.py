"""Several workers, nothing configured: killed, raced, and none the wiser."""

import asyncio
import re
import signal
import time
from collections import Counter
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from offhook.cli.embedded.stack import Stack, with_free_ports
from offhook.events import (
    CallAnswered,
    CallInitiated,
    CommandAttempted,
    CommandSucceeded,
    Decided,
    WebhookReceived,
)
from offhook.jetstream.log import EventLog
from offhook.jetstream.stream import ACK_WAIT_S
from offhook.settings import Settings
from tests import free_ports
from tests.whole.callers import Caller, post
from tests.whole.reading import log_at
from tests.whole.stub_carrier import StubCarrier, stub_carrier

PAIRS = 250
SETTLED_S = 180.0
TRY_S = 2.0
"""How long a worker waits for the carrier; a lease is a little longer."""

HELD = 3
"""Calls of a worker when it is frozen."""

LONG_TRY_S = 100.0
"""Far longer than calls wait for anything else, even on a slow machine."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One for the tests that leave it both of its workers."""
    directory: Path = tmp_path_factory.mktemp("stack")
    with stack_around(directory, TRY_S) as stack:
        yield stack


@pytest.fixture(scope="module")
def patient_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """With workers that wait long for the carrier, for tests that take one away."""
    directory: Path = tmp_path_factory.mktemp("patient")
    with stack_around(directory, LONG_TRY_S) as stack:
        yield stack


@contextmanager
def stack_around(directory: Path, try_s: float) -> Iterator[Stack]:
    """With a port for its carrier that no other stack's workers know."""
    settings = Settings(
        flows=("tests.whole.flows:answer_then_transfer",),
        carrier_url=f"http://127.0.0.1:{free_ports.free_port()}/v2",
        carrier_key="stub",
        carrier_timeout_s=try_s,
    )
    with Stack(directory, with_free_ports(settings), workers=2, with_simulator=False) as stack:
        yield stack


def carrier_of(stack: Stack, delay_s: float) -> AbstractAsyncContextManager[StubCarrier]:
    """To be left once all is settled: what a worker sends later comes to the next test's."""
    port = urlsplit(stack.settings.carrier_url).port
    assert port is not None
    return stub_carrier(port, delay_s)


async def test_two_events_within_20_ms_are_settled_in_order_and_once(stack: Stack) -> None:
    callers = [Caller() for _ in range(PAIRS)]
    async with (
        carrier_of(stack, delay_s=0.05) as carrier,
        httpx.AsyncClient(timeout=60) as http,
        log_at(stack.nats.url) as log,
    ):
        handed_over = -await _counter(http, stack, "offhook_handed_over_total")
        for caller in callers:
            await asyncio.gather(
                post(http, stack, caller.initiated()),
                _after(0.002, post(http, stack, caller.answered())),
            )
        await _until_commands(carrier, 2 * PAIRS)
        await _until_settled(log, callers, commands=2)
        legs = carrier.by_leg()
        handed_over += await _counter(http, stack, "offhook_handed_over_total")
        for caller in callers:
            sent = [command.operation for command in legs[caller.call_control_id]]
            assert sent == await _wanted(log, caller)
        tried_again = await _tried_again(log, callers)
    assert _sent_again(carrier) <= Counter(command_id for command_id, _ in tried_again)
    assert handed_over > 0, "no pair ever met at two workers: the test has tested nothing"


async def test_a_worker_may_join_and_leave_while_calls_run(patient_stack: Stack) -> None:
    stack = patient_stack
    callers = [Caller() for _ in range(60)]
    async with (
        carrier_of(stack, delay_s=0.1) as carrier,
        httpx.AsyncClient(timeout=60) as http,
        log_at(stack.nats.url) as log,
    ):
        for number, caller in enumerate(callers):
            await post(http, stack, caller.initiated())
            if number == 10:
                stack.start("worker-3")
            if number == 40:
                await asyncio.to_thread(stack.stop, "worker-1")
        await _until_commands(carrier, len(callers))
        await _until_settled(log, callers)
        tried_again = await _tried_again(log, callers)
    assert _sent_again(carrier) <= Counter(command_id for command_id, _ in tried_again)
    assert len(carrier.by_leg()) == len(callers)
    assert "taken over" not in {why for _, why in tried_again}, "a worker left what it had begun"


async def test_the_lease_of_a_killed_worker_is_not_waited_out_and_nothing_is_doubled(
    patient_stack: Stack,
) -> None:
    stack = patient_stack
    callers = [Caller() for _ in range(60)]
    posted_at: dict[str, float] = {}
    async with (
        carrier_of(stack, delay_s=0.3) as carrier,
        httpx.AsyncClient(timeout=60) as http,
        log_at(stack.nats.url) as log,
    ):
        for number, caller in enumerate(callers):
            posted_at[caller.call_control_id] = time.time()
            await post(http, stack, caller.initiated())
            is_time = number >= len(callers) // 2 and "worker-2" in stack.processes
            if is_time and await _lanes(http, stack, "worker-2") > 0:
                stack.kill("worker-2")
        assert "worker-2" not in stack.processes, "the worker held nothing"
        await _until_commands(carrier, len(callers), timeout_s=LONG_TRY_S)
        await _until_settled(log, callers)

    _assert_each_is_answered_once(carrier, callers)
    # A command on its way when its worker died goes out again, with the same id.
    slowest = max(_last_arrival(carrier, leg) - at for leg, at in posted_at.items())
    assert slowest < LONG_TRY_S, f"a call waited {slowest:.2f} s"


async def test_a_frozen_worker_is_taken_over_and_harms_nothing_when_it_goes_on(
    stack: Stack,
) -> None:
    callers = [Caller() for _ in range(60)]
    async with (
        carrier_of(stack, delay_s=0.3) as carrier,
        httpx.AsyncClient(timeout=60) as http,
        log_at(stack.nats.url) as log,
    ):
        frozen = stack.processes["worker-1"]
        held = 0  # by the worker to be frozen
        for number, caller in enumerate(callers):
            is_time = number >= len(callers) // 2 and held < HELD
            if is_time:
                carrier.is_answering.clear()
            await post(http, stack, caller.initiated())
            if is_time:
                await _until_arrived(carrier, number + 1)
                held += await _is_decided_by(frozen.pid, log, caller)
                if held == HELD:
                    frozen.send_signal(signal.SIGSTOP)
                    carrier.is_answering.set()
        assert held == HELD, "the worker held nothing"
        await _until_settled(log, callers)
        before = [await log.read(caller.session_id) for caller in callers]
        frozen.send_signal(signal.SIGCONT)
        await asyncio.sleep(ACK_WAIT_S + 1)
        assert [await log.read(caller.session_id) for caller in callers] == before
        taken_over = await _tried_again(log, callers)

    assert "taken over" in {why for _, why in taken_over}
    _assert_each_is_answered_once(carrier, callers)


def _assert_each_is_answered_once(carrier: StubCarrier, callers: Sequence[Caller]) -> None:
    """A command that came twice with one id counts once, as at the carrier."""
    legs = carrier.by_leg()
    assert {leg: [each.operation for each in commands] for leg, commands in legs.items()} == {
        caller.call_control_id: ["answer"] for caller in callers
    }


async def _until_settled(log: EventLog, callers: Sequence[Caller], commands: int = 1) -> None:
    """Until so many commands of each have succeeded."""
    deadline = time.monotonic() + SETTLED_S
    for caller in callers:
        while commands > sum(
            isinstance(record.fact, CommandSucceeded)
            for record in await log.read(caller.session_id)
        ):
            assert time.monotonic() < deadline, f"{caller.session_id} is not settled"
            await asyncio.sleep(0.05)


async def _is_decided_by(pid: int, log: EventLog, caller: Caller) -> bool:
    """Whether the worker with this process id has decided on the caller's webhook."""
    return any(
        isinstance(record.fact, Decided) and f"-{pid}-" in record.fact.worker
        for record in await log.read(caller.session_id)
    )


async def _wanted(log: EventLog, caller: Caller) -> list[str]:
    """The commands that the two events ask for, in the order of the log."""
    records = await log.read(caller.session_id)
    asks = {CallInitiated: "answer", CallAnswered: "transfer"}
    return [
        asks[type(record.fact.event)]
        for record in records
        if isinstance(record.fact, WebhookReceived)
    ]


def _sent_again(carrier: StubCarrier) -> Counter[str]:
    """Ids of commands, by how often they came after the first time."""
    arrived = Counter(arrival.command_id for arrival in carrier.arrivals)
    return arrived - Counter(arrived.keys())


async def _tried_again(log: EventLog, callers: Sequence[Caller]) -> list[tuple[str, str]]:
    """Every further attempt that the log tells of: the command's id, and why."""
    return [
        (record.fact.command_id, record.fact.because)
        for caller in callers
        for record in await log.read(caller.session_id)
        if isinstance(record.fact, CommandAttempted)
        if record.fact.attempt > 1 and record.fact.renewal == 0
    ]


async def _after(delay_s: float, work: Coroutine[None, None, None]) -> None:
    await asyncio.sleep(delay_s)
    await work


async def _until_commands(carrier: StubCarrier, count: int, timeout_s: float = SETTLED_S) -> None:
    await _until_arrived(carrier, count, timeout_s)
    # Anything sent twice shows within a redelivery's time.
    await asyncio.sleep(ACK_WAIT_S + 1)


async def _until_arrived(carrier: StubCarrier, count: int, timeout_s: float = SETTLED_S) -> None:
    deadline = time.monotonic() + timeout_s
    while len({arrival.command_id for arrival in carrier.arrivals}) < count:
        missing = count - len({arrival.command_id for arrival in carrier.arrivals})
        assert time.monotonic() < deadline, f"{missing} of {count} commands never came"
        await asyncio.sleep(0.05)


def _last_arrival(carrier: StubCarrier, leg: str) -> float:
    return max(arrival.at for arrival in carrier.arrivals if arrival.call_control_id == leg)


async def _lanes(http: httpx.AsyncClient, stack: Stack, worker: str) -> float:
    return await _metric(http, stack, worker, "offhook_lanes")


async def _counter(http: httpx.AsyncClient, stack: Stack, name: str) -> float:
    workers = [name for name in stack.processes if name.startswith("worker")]
    return sum([await _metric(http, stack, worker, name) for worker in workers])


async def _metric(http: httpx.AsyncClient, stack: Stack, worker: str, name: str) -> float:
    answer = await http.get(f"{stack.url_of(worker)}/metrics")
    found = re.search(rf"^{name} (\S+)$", answer.text, re.MULTILINE)
    assert found, f"{worker} has no metric {name}"
    return float(found[1])
