"""The log or the database goes away while calls run, and comes back."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cli.stack import CONNECTION_ID, Stack, with_free_ports
from cli.verdict import Verdict, verdict
from offhook.settings import Settings
from projections.database import open_database

CALLS = 30


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    settings = Settings(flows=("cli.reception:reception",), simulator_speed=10)
    with Stack(tmp_path, with_free_ports(settings), workers=2) as stack:
        yield stack


@pytest.mark.parametrize("server", ["nats", "postgres"])
@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_a_server_that_goes_and_comes_back_costs_nothing(
    stack: Stack, server: str, how: str
) -> None:
    part = stack.nats if server == "nats" else stack.postgres
    async with httpx.AsyncClient(base_url=stack.addresses["simulator"], timeout=10) as http:
        for number in range(CALLS):
            await _call(http)
            if number == CALLS // 3:
                await asyncio.to_thread(getattr(part, how))
            if number == 2 * CALLS // 3:
                await asyncio.to_thread(part.start)
            await asyncio.sleep(0.05)
        books = await _quiet(http)

    found = await _settled_verdict(stack, books)
    assert found.is_clean, (found.lost, found.doubled)
    assert found.calls == CALLS
    assert all(process.poll() is None for process in stack.processes.values())


async def _call(http: httpx.AsyncClient) -> None:
    body: dict[str, str | float] = {
        "from": "+12025550170",
        "to": "+12025550101",
        "connection_id": CONNECTION_ID,
        "hangup_after_s": 20,
        "patience_s": 100,
    }
    answer = await http.post("/simulator/calls", json=body)
    assert answer.status_code == 201, answer.text


async def _quiet(http: httpx.AsyncClient) -> dict[str, object]:
    deadline = time.monotonic() + 60
    while True:
        books: dict[str, object] = (await http.get("/simulator/effects")).json()
        legs, webhooks = books["legs"], books["webhooks"]
        assert isinstance(legs, list)
        assert isinstance(webhooks, dict)
        if all(leg["state"] == "ended" for leg in legs) and not webhooks["pending"]:
            return books
        assert time.monotonic() < deadline, f"never quiet: {webhooks}"
        await asyncio.sleep(0.25)


async def _settled_verdict(stack: Stack, books: dict[str, object]) -> Verdict:
    """The verdict, once the views have caught up (or after 20 s, whatever it is then)."""
    engine = open_database(stack.settings.postgres_url)
    deadline = time.monotonic() + 20
    try:
        while True:
            found = await verdict(engine, books)
            if found.is_clean or time.monotonic() > deadline:
                return found
            await asyncio.sleep(0.5)
    finally:
        await engine.dispose()
