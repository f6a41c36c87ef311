"""Timers of many calls, while workers are killed and the log goes away: each fires once."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest

from offhook.cli.embedded.stack import Stack, with_free_ports
from offhook.events import (
    CallAnswered,
    Record,
    TimerCancelled,
    TimerFired,
    TimerSet,
    WebhookReceived,
)
from offhook.jetstream.log import EventLog
from offhook.settings import Settings
from tests.whole.callers import Caller, post
from tests.whole.patience import RING_S
from tests.whole.reading import log_at
from tests.whole.stub_carrier import StubCarrier, stub_carrier

CALLS = 60
ANSWERED_EVERY = 3
ANSWERED_AFTER = 10  # other calls
TIMEOUT_S = 180.0


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
        # One worker is killed amid setting timers and cancelling them, and then the other.
        first_at = time.monotonic()
        for number, caller in enumerate(callers):
            await post(http, stack, caller.initiated())
            if number >= ANSWERED_AFTER and callers[number - ANSWERED_AFTER] in answering:
                await post(http, stack, callers[number - ANSWERED_AFTER].answered())
            if number == CALLS // 3:
                stack.kill("worker-1")
                stack.start("worker-3")
            if number == 2 * CALLS // 3:
                # A worker that starts while the log is away gives up.
                await asyncio.to_thread(stack.wait_ready, "worker-3")
                stack.kill("worker-2")
        for caller in callers[-ANSWERED_AFTER:]:
            if caller in answering:
                await post(http, stack, caller.answered())
        # The log is away when the first are due, and comes back.
        await asyncio.sleep(first_at + RING_S - 0.5 - time.monotonic())
        await asyncio.to_thread(stack.nats.kill)
        await asyncio.sleep(1)
        await asyncio.to_thread(stack.nats.start)
        async with log_at(stack.nats.url) as log:
            for caller in callers:
                await _until_ended(log, caller)
            histories = {caller: await log.read(caller.session_id) for caller in callers}
            silent = [one for one, records in histories.items() if TimerFired in _timers(records)]
            await _until_hung_up(carrier, len(silent))
            for caller in callers:
                records = await log.read(caller.session_id)
                ended = TimerFired if caller in silent else TimerCancelled
                assert _timers(records) == {TimerSet: 1, ended: 1}
                assert ended is TimerCancelled or not _answered_in_time(records)
                assert [fired for fired in records if _is_early(fired)] == []

    assert {caller for caller in callers if caller not in answering} <= set(silent)
    assert len(silent) < CALLS, "no answer came in time: the test has tested nothing"
    hung_up = Counter(command.call_control_id for command in carrier.arrivals)
    assert hung_up.keys() == {caller.call_control_id for caller in silent}


def _answered_in_time(records: Sequence[Record]) -> bool:
    """Whether the log had the answer before the timer was due, by its own clock."""
    (due_at,) = (each.fact.due_at for each in records if isinstance(each.fact, TimerSet))
    return any(
        isinstance(each.fact, WebhookReceived)
        and isinstance(each.fact.event, CallAnswered)
        and each.stored_at < due_at
        for each in records
    )


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
