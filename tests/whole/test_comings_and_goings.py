"""While calls run, the log or the database goes away and comes back; workers start, stop and are
killed, and nothing is configured.

WORKER_CALLS is how many calls run; 1000 take a minute and a half.
"""

import asyncio
import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from offhook.cli.embedded.stack import Stack, with_free_ports
from offhook.settings import Settings
from tests.whole.books import books_when_quiet, said, say, settled_verdict
from tests.whole.traffic import Traffic, place_call

OUTAGE_CALLS = 30
CALLS = int(os.environ.get("WORKER_CALLS", "200"))
RATE_S = 25.0
WORKERS_MAX = 4
PAUSE_S = (0.3, 1.5)
HAPPENINGS_MIN = 9


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One for all of it, which happens one after the other."""
    # Calls run faster than life, and workers go before the others know: no part of a limit is
    # ever as large as it could be.
    settings = Settings(flows=("offhook.cli.demo.flow:demo",), simulator_speed=20, dials_per_s=0)
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
        for number in range(OUTAGE_CALLS):
            await place_call(http)
            if number == OUTAGE_CALLS // 3:
                await asyncio.to_thread(getattr(part, how))
            if number == 2 * OUTAGE_CALLS // 3:
                await asyncio.to_thread(part.start)
            await asyncio.sleep(0.05)
        books = await books_when_quiet(stack.addresses["simulator"])

    found = await settled_verdict(stack.settings.postgres_url, books)
    assert found.is_clean, (found.lost, found.doubled)
    assert found.calls == OUTAGE_CALLS + _calls_in(before)
    assert all(process.poll() is None for process in stack.processes.values())


async def test_workers_come_and_go_at_random_while_calls_run(stack: Stack) -> None:
    seed = int.from_bytes(os.urandom(3))
    say(f"seed {seed}")
    before = await books_when_quiet(stack.addresses["simulator"])
    traffic = Traffic(
        simulator_url=stack.addresses["simulator"],
        api_url=stack.addresses["api"],
        token=stack.token,
        calls=CALLS,
        rate_s=RATE_S,
        seed=seed,
    )
    happened: Counter[str] = Counter()
    placing = asyncio.create_task(traffic.run(lambda: happened.total() < HAPPENINGS_MIN))
    await _stir(stack, random.Random(seed), placing, happened)
    await placing
    books = await books_when_quiet(stack.addresses["simulator"])
    found = await settled_verdict(stack.settings.postgres_url, books)
    say(f"{said(found)}; workers {', '.join(f'{what} × {n}' for what, n in happened.items())}")
    assert found.is_clean, (found.lost, found.doubled)
    assert found.calls - _calls_in(before) == traffic.placed >= CALLS
    # The dice decide how often; that each happened at all is what makes it a test.
    assert min(happened[what] for what in ("started", "stopped", "killed")) >= 1, happened
    assert happened.total() >= HAPPENINGS_MIN, happened


def _calls_in(books: dict[str, Any]) -> int:
    return len({leg["call_session_id"] for leg in books["legs"]})


async def _stir(
    stack: Stack, dice: random.Random, placing: "asyncio.Task[None]", happened: Counter[str]
) -> None:
    """Start, stop and kill workers, but the last, until all calls are placed; count each."""
    number = len(_workers(stack))
    while not placing.done():
        workers = _workers(stack)
        choices = ["started"] if len(workers) < WORKERS_MAX else []
        if len(workers) > 1:
            choices += ["stopped", "killed"]
        what = dice.choice([each for each in choices if not happened[each]] or choices)
        if what == "started":
            number += 1
            stack.start(f"worker-{number}")
        else:
            # In a thread: a drain takes its time.
            end = stack.stop if what == "stopped" else stack.kill
            await asyncio.to_thread(end, dice.choice(workers))
        happened[what] += 1
        await asyncio.sleep(dice.uniform(*PAUSE_S))


def _workers(stack: Stack) -> list[str]:
    return [name for name in stack.processes if name.startswith("worker-")]
