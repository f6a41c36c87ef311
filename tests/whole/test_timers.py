"""Timers of many calls, while workers are killed and the log goes away: each fires once."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest

from offhook.cli.embedded.stack import Stack, with_free_ports
from offhook.events import Record, TimerCancelled, TimerFired, TimerSet
from offhook.jetstream.log import EventLog
from offhook.settings import Settings
from tests.whole.callers import Caller, post
from tests.whole.patience import RING_S
from tests.whole.reading import log_at
from tests.whole.stub_carrier import StubCarrier, stub_carrier

CALLS = 60
ANSWERED_EVERY = 3
TIMEOUT_S = 60.0


@pytest.fixture
def stack(tmp_path: Path, free_port: int) -> Iterator[Stack]:
    settings = Settings(
        flows=("tests.whole.patience:patience",),
        carrier_url=f"http://127.0.0.1:{free_port}/v2",
        carrier_key="stub",
    )
    with Stack(tmp_path, with_free_ports(settings), workers=2, with_simulator=False) as stack:
        yield stack


async def test_every_timer_fires_once_or_is_cancelled_whoever_dies(
    stack: Stack, free_port: int
) -> None:
    callers = [Caller() for _ in range(CALLS)]
    answering = callers[::ANSWERED_EVERY]
    async with (
        stub_carrier(free_port, delay_s=0) as carrier,
        httpx.AsyncClient(timeout=60) as http,
    ):
        # One worker is killed amid setting timers, the other amid cancelling them.
        first_at = time.monotonic()
        for number, caller in enumerate(callers):
            if number == CALLS // 2:
                stack.kill("worker-1")
            await post(http, stack, caller.initiated())
        stack.start("worker-3")
        for number, caller in enumerate(answering):
            if number == len(answering) // 2:
                stack.kill("worker-2")
            await post(http, stack, caller.answered())
        # The log is away when the first are due, and comes back.
        await asyncio.sleep(first_at + RING_S - 0.5 - time.monotonic())
        await asyncio.to_thread(stack.nats.kill)
        await asyncio.sleep(1)
        await asyncio.to_thread(stack.nats.start)
        async with log_at(stack.nats.url) as log:
            for caller in callers:
                await _until_ended(log, caller)
            await _until_hung_up(carrier, CALLS - len(answering))
            for caller in callers:
                records = await log.read(caller.session_id)
                timers = _timers(records)
                ended = TimerCancelled if caller in answering else TimerFired
                assert timers == {TimerSet: 1, ended: 1}, timers
                assert [fired for fired in records if _is_early(fired)] == []

    hung_up = Counter(command.call_control_id for command in carrier.arrivals)
    assert hung_up.keys() == {
        caller.call_control_id for caller in callers if caller not in answering
    }


def _timers(records: Sequence[Record]) -> Counter[type]:
    kinds = (TimerSet, TimerCancelled, TimerFired)
    return Counter(type(each.fact) for each in records if isinstance(each.fact, kinds))


def _is_early(record: Record) -> bool:
    fact = record.fact
    return (
        isinstance(fact, TimerFired) and fact.due_at is not None and record.stored_at < fact.due_at
    )


async def _until_ended(log: EventLog, caller: Caller) -> None:
    """Wait until its timer fired or was cancelled."""
    deadline = time.monotonic() + TIMEOUT_S
    while _timers(await log.read(caller.session_id)).keys() <= {TimerSet}:
        assert time.monotonic() < deadline, "its timer neither fired nor was cancelled"
        await asyncio.sleep(0.1)


async def _until_hung_up(carrier: StubCarrier, count: int) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while (hung_up := len(carrier.by_leg())) < count:
        assert time.monotonic() < deadline, f"{count - hung_up} of {count} were never hung up"
        await asyncio.sleep(0.1)
    # One too many would come within an alarm's granularity.
    await asyncio.sleep(1)
