"""A flow's next version goes live while calls are up: start the new workers, stop the old."""

import asyncio
import dataclasses
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest

from offhook.cli.embedded.stack import Stack, with_free_ports
from offhook.events import CommandFailed, Decided, Record, WebhookReceived
from offhook.jetstream.log import EventLog
from offhook.settings import Settings
from tests.whole.books import books_when_quiet, said, say, settled_verdict
from tests.whole.reading import log_at
from tests.whole.traffic import place_call

CALLS_MIN = 60
AFTER = 5
DECIDED_TIMEOUT_S = 180.0


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    settings = Settings(flows=("tests.whole.versions:before",), simulator_speed=10)
    with Stack(tmp_path, with_free_ports(settings), workers=2) as stack:
        yield stack


async def test_a_new_version_takes_over_calls_that_are_up_and_loses_none(stack: Stack) -> None:
    async with httpx.AsyncClient(base_url=stack.addresses["simulator"], timeout=60) as http:
        for number in range(CALLS_MIN):
            await place_call(http)
            if number == CALLS_MIN // 2:
                releasing = asyncio.create_task(asyncio.to_thread(_release, stack))
            await asyncio.sleep(0.05)
        while not releasing.done():
            await place_call(http)
            await asyncio.sleep(0.05)
        await releasing
        for _ in range(AFTER):
            await place_call(http)
    books = await books_when_quiet(stack.addresses["simulator"])
    found = await settled_verdict(stack.settings.postgres_url, books)
    say(said(found))
    assert found.is_clean, (found.lost, found.doubled)
    assert found.calls >= CALLS_MIN

    sessions = {leg["call_session_id"] for leg in books["legs"]}
    versions: Counter[frozenset[str]] = Counter()
    async with log_at(stack.nats.url) as log:
        for session_id in sessions:
            versions[_versions(await _decided(log, session_id))] += 1
    say(str(versions))
    assert versions[frozenset("1")] > 0
    assert versions[frozenset("2")] > 0
    assert versions[frozenset("12")] > 0, "no call was up when the version changed"


def _release(stack: Stack) -> None:
    """What an operator does."""
    stack.settings = dataclasses.replace(stack.settings, flows=("tests.whole.versions:after",))
    for name in ("worker-3", "worker-4"):
        stack.start(name)
        stack.wait_ready(name)
    for name in ("worker-1", "worker-2"):
        stack.stop(name)


async def _decided(log: EventLog, session_id: str) -> Sequence[Record]:
    """The session's records, once every one that wants it was decided on: the last a moment ago."""
    deadline = time.monotonic() + DECIDED_TIMEOUT_S
    while True:
        records = await log.read(session_id)
        decided = {record.fact.cause_seq for record in records if isinstance(record.fact, Decided)}
        if decided >= _wanting(records):
            return records
        assert time.monotonic() < deadline, f"{session_id}: a record was never decided on"
        await asyncio.sleep(0.05)


def _versions(records: Sequence[Record]) -> frozenset[str]:
    """The versions that decided; every record that wants it was decided on exactly once."""
    decided = [record.fact for record in records if isinstance(record.fact, Decided)]
    causes = Counter(fact.cause_seq for fact in decided)
    assert causes == Counter(_wanting(records)), "a record decided twice, or without need"
    return frozenset(fact.flow_version for fact in decided)


def _wanting(records: Sequence[Record]) -> set[int]:
    """Stream sequences of the records that want a decision; of one that is repeated the first."""
    first = {
        record.fact_id: record.seq
        for record in reversed(records)
        if isinstance(record.fact, WebhookReceived | CommandFailed)
    }
    return set(first.values())
