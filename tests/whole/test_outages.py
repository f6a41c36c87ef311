"""The log or the database goes away while calls run, and comes back."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from offhook.cli.embedded.stack import Stack, with_free_ports
from offhook.settings import Settings
from tests.whole.books import books_when_quiet, settled_verdict
from tests.whole.traffic import place_call

CALLS = 30


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One for all outages, which come one after the other."""
    settings = Settings(flows=("offhook.cli.demo.flow:demo",), simulator_speed=10)
    directory: Path = tmp_path_factory.mktemp("stack")
    with Stack(directory, with_free_ports(settings), workers=2) as stack:
        yield stack


@pytest.mark.parametrize("server", ["nats", "postgres"])
@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_a_server_that_goes_and_comes_back_costs_nothing(
    stack: Stack, server: str, how: str
) -> None:
    part = stack.nats if server == "nats" else stack.postgres
    async with httpx.AsyncClient(base_url=stack.addresses["simulator"], timeout=60) as http:
        before = (await http.get("/simulator/effects")).raise_for_status().json()
        for number in range(CALLS):
            await place_call(http)
            if number == CALLS // 3:
                await asyncio.to_thread(getattr(part, how))
            if number == 2 * CALLS // 3:
                await asyncio.to_thread(part.start)
            await asyncio.sleep(0.05)
        books = await books_when_quiet(stack.addresses["simulator"])

    found = await settled_verdict(stack.settings.postgres_url, books)
    assert found.is_clean, (found.lost, found.doubled)
    assert found.calls == CALLS + len({leg["call_session_id"] for leg in before["legs"]})
    assert all(process.poll() is None for process in stack.processes.values())
