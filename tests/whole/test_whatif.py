"""What-if on calls that real workers decided, with webhooks repeated and out of order."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from offhook.cli.demo.traffic import Traffic
from offhook.cli.embedded.stack import Stack, with_free_ports
from offhook.projections.views.database.engine import open_database
from offhook.settings import Settings
from tests.cli.terminal import Terminal
from tests.whole.books import books_when_quiet, said, say, settled_verdict

CALLS = 60
RATE_S = 30.0


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    seed = int.from_bytes(os.urandom(3))
    say(f"seed {seed}")
    settings = Settings(
        flows=("offhook.cli.demo.flow:demo",),
        simulator_speed=20,
        simulator_seed=seed,
        simulator_duplicates=0.3,
        simulator_disorder=0.3,
        dials_per_s=0,
    )
    with Stack(tmp_path, with_free_ports(settings), workers=2) as stack:
        yield stack


def test_the_same_flow_shows_no_difference_and_another_exactly_its_own(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(_calls(stack))
    terminal = Terminal(monkeypatch, capsys, {"OFFHOOK_POSTGRES_URL": stack.settings.postgres_url})
    printed = terminal("whatif", "offhook.cli.demo.flow:demo", "--json", "--check")
    assert printed.status == 0, printed.output
    found = printed.json
    assert found["sessions"]["compared"] > 0.7 * CALLS
    assert found["sessions"]["unreadable"] == 0
    assert found["decisions"]["same"] > 2 * CALLS

    printed = terminal("whatif", "tests.cli.whatif.flows:longer", "--json", "--since", "1h")
    found = printed.json
    transfers = asyncio.run(_sessions_with_transfer(stack.settings.postgres_url))
    assert 0 < transfers < found["sessions"]["compared"]
    assert found["kinds"]["parameters"] == found["sessions"]["different"] == transfers
    assert {group["what"] for group in found["differences"]} == {
        "`transfer` with other `timeout_secs`"
    }


async def _calls(stack: Stack) -> None:
    traffic = Traffic(
        simulator_url=stack.addresses["simulator"],
        api_url=stack.addresses["api"],
        token=stack.token,
        calls=CALLS,
        rate_s=RATE_S,
        seed=stack.settings.simulator_seed,
    )
    await traffic.run(lambda: True)
    books = await books_when_quiet(stack.addresses["simulator"])
    assert books["webhooks"]["duplicates"]
    assert books["webhooks"]["held_back"]
    found = await settled_verdict(stack.settings.postgres_url, books)
    say(said(found))
    assert found.is_clean, (found.lost, found.doubled)


async def _sessions_with_transfer(url: str) -> int:
    engine = open_database(url)
    try:
        async with engine.connect() as connection:
            found = await connection.execute(
                text(
                    "select count(distinct session_id) from commands"
                    " where operation = 'transfer' and flow = 'demo'"
                )
            )
            return int(found.scalar_one())
    finally:
        await engine.dispose()
