"""An erasure beside others at work on the tables: a rebuild, and transactions that stay open."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.errors import OperatorFault
from offhook.jetstream.log import JetStreamLog
from offhook.projections.rebuild.control import cancel
from offhook.projections.retention import erase, vacuum
from offhook.projections.retention.erase import Erased, Eraser, SegmentsLeftOver
from offhook.projections.retention.scan import wait_for_streams
from tests.projections.rebuild.versions import built, schemas_aside
from tests.projections.retention.erasing import (
    NAMES,
    Killed,
    calls,
    kill_at,
    target_of,
    timeline_of,
)
from tests.projections.retention.settled_calls import archive, late, project
from tests.projections.story import publish


@pytest.mark.parametrize("step", ["noted", "a segment was left", "a segment was replaced"])
async def test_no_rebuild_begins_before_an_interrupted_erasure_has_erased_its_rows(
    step: str, client: Client, log: JetStreamLog, engine: AsyncEngine, tmp_path: Path
) -> None:
    """It would not have them: from where would it fold them?"""
    root = tmp_path / "archive"
    await calls(client, log, engine)
    await archive(client, engine, root)
    target = await target_of(engine, NAMES[:1])
    if step == "a segment was left":
        root.rename(tmp_path / "unmounted")
    with pytest.raises(Killed):
        await Eraser(client, engine, at_step=kill_at(step)).erase(target)
    with pytest.raises(OperatorFault, match=r"^erasure 1 was interrupted .* --resume` first$"):
        await built(engine)
    assert await schemas_aside(engine) == 0
    if step == "a segment was left":
        with pytest.raises(SegmentsLeftOver):
            await Eraser(client, engine).finish()
        (tmp_path / "unmounted").rename(root)
    else:
        await Eraser(client, engine).finish()
    await _is_identical(engine)


async def test_a_rebuild_waits_for_no_erasure_of_what_arrived_late(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    await calls(client, log, engine)
    await Eraser(client, engine).erase(await target_of(engine, NAMES[:1]))
    await publish(log, [late(NAMES[0])])
    await project(client, engine)
    await _is_identical(engine)


@pytest.fixture
async def reader(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """Somebody whose transaction stays open; how it is named."""
    monkeypatch.setattr(vacuum, "READERS_S", 0.1)
    async with engine.connect() as connection:
        pid = await connection.execute(text("select pg_backend_pid()"))
        yield f"(process {pid.scalar_one()}, open for "


async def test_a_full_vacuum_that_has_to_wait_hides_no_segment_that_is_left_over(
    client: Client, log: JetStreamLog, engine: AsyncEngine, tmp_path: Path, reader: str
) -> None:
    root = tmp_path / "archive"
    await calls(client, log, engine)
    await archive(client, engine, root)
    root.rename(tmp_path / "unmounted")
    eraser = Eraser(client, engine, full_vacuum=True)
    with pytest.raises(SegmentsLeftOver) as left:
        await eraser.erase(await target_of(engine, NAMES[:1]))
    assert str(left.value).startswith("everything is erased except in segment-")
    assert f"the tables are not rewritten: in use by offhook {reader}" in str(left.value)
    assert "run `offhook erase --resume --full-vacuum`" in str(left.value)


async def test_a_full_vacuum_that_has_to_wait_keeps_no_other_erasure_from_the_rows(
    client: Client, log: JetStreamLog, engine: AsyncEngine, reader: str
) -> None:
    await calls(client, log, engine)
    for name in NAMES[:2]:
        target = await target_of(engine, [name])
        with pytest.raises(Killed):
            await Eraser(client, engine, at_step=kill_at("noted")).erase(target)
    with pytest.raises(OperatorFault, match="all rows are erased, but the tables are not"):
        await Eraser(client, engine, full_vacuum=True).finish()
    assert [len(await timeline_of(engine, name)) > 0 for name in NAMES] == [False, False, True]


@pytest.mark.parametrize("is_full", [False, True])
async def test_whom_it_was_about_is_not_said_to_be_gone_while_somebody_may_still_read_it(
    is_full: bool,
    client: Client,
    log: JetStreamLog,
    engine: AsyncEngine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By a transaction that began once the rows had been erased."""
    monkeypatch.setattr(vacuum, "READERS_S", 0.1)
    await calls(client, log, engine)
    target = await target_of(engine, NAMES[:1])
    proved: list[Erased] = []
    async with engine.connect() as reader:

        async def begins(*args: Any, **options: Any) -> None:
            await reader.execute(text("select pg_backend_pid()"))
            await wait_for_streams(*args, **options)

        monkeypatch.setattr(erase, "wait_for_streams", begins)
        eraser = Eraser(client, engine, at_proof=proved.extend, full_vacuum=is_full)
        how = "vacuum full" if is_full else "vacuum"
        with pytest.raises(
            OperatorFault,
            match=rf"^the erasure is proved, but .* for offhook \(process .* run `{how} erasures`$",
        ):
            await eraser.erase(target)
        assert [each.proof.found for each in proved] == [0]
        assert NAMES[0].encode() in await _stored(engine, "erasures")
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("vacuum full erasures"))
    assert NAMES[0].encode() not in await _stored(engine, "erasures")


async def _stored(engine: AsyncEngine, table: str) -> bytes:
    """The table's file."""
    async with engine.connect() as connection:
        await connection.execute(text("checkpoint"))
        found = await connection.execute(
            text("select pg_read_binary_file(pg_relation_filepath(:table))"), {"table": table}
        )
        return bytes(found.scalar_one())


async def _is_identical(engine: AsyncEngine) -> None:
    found = await built(engine)
    assert (found.identical, found.unrecorded) == (True, 0)
    await cancel(engine)
