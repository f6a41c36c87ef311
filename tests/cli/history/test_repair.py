"""`offhook repair` as an operator runs it, on the advice of a rebuild."""

import asyncio

from sqlalchemy import text

from tests.cli.history.conftest import Installation, take_calls


async def test_a_rebuild_without_all_records_asks_for_a_repair_which_drops_it(
    here: Installation,
) -> None:
    await take_calls(here, "s1", "s2")

    async def run(*words: str) -> tuple[int, str]:
        printed = await asyncio.to_thread(here.terminal, *words)
        return printed.status, " ".join((printed.output + printed.errors).split())

    status, output = await run("repair")
    assert (status, "dropped" in output) == (0, False)
    async with here.engine.begin() as connection:
        await connection.execute(text("delete from event_log where session_id = 's1'"))
    status, output = await run("rebuild", "start")
    assert status == 1, output
    assert "without records in event_log: 1 session of the live views" in output
    assert (
        "aside, and incomplete. Run `offhook repair`. Then run `offhook rebuild start`;"
        " `offhook rebuild cutover` says" in output
    )
    assert "Restore" not in output
    status, output = await run("repair")
    assert status == 0, output
    assert "21 were missing in event_log, 0 were altered" in output
    assert "was folded from the damaged rows: it is dropped" in output
    status, output = await run("rebuild", "start")
    assert status == 0, output
    assert "identical" in output
    status, output = await run("repair")
    assert "dropped" not in output
