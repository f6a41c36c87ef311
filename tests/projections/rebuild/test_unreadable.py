"""A rebuild over a segment that is missing, cut off or changed says so, and is not put in use."""

from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from nats.aio.client import Client
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.errors import OperatorFault
from offhook.jetstream.log import JetStreamLog
from offhook.projections.maintenance import fold_again
from offhook.projections.rebuild import run, tail
from offhook.projections.rebuild.control import read_status
from offhook.projections.rebuild.run import RebuildProgress, cut_over_version
from offhook.projections.views.schema.versions import read_rebuild_progress
from tests.projections.rebuild.versions import WRONG, built, run_sql, value
from tests.projections.retention.settled_calls import archive, late, project, settled_calls
from tests.projections.story import publish, stored_views

NAMES = ["a", "b", "c"]
Damage = Callable[[Path], None]


def _cut_off(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20])


def _change(file: Path) -> None:
    """Into one that reads well: only its hash shows it."""
    lines = zstandard.ZstdDecompressor().decompress(file.read_bytes())
    altered = lines.replace(b"+12025550100", b"+12025550199")
    assert altered != lines
    compressed = zstandard.ZstdCompressor(level=19, write_checksum=True).compress(altered)
    file.write_bytes(compressed.ljust(len(file.read_bytes()), b"\0"))


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (Path.unlink, "cannot be opened: No such file"),
        (_cut_off, "has SHA-256"),
        (_change, "has SHA-256"),
    ],
)
async def test_a_damaged_segment_is_named_and_read_again_once_it_is_restored(
    damage: Damage,
    what: str,
    client: Client,
    log: JetStreamLog,
    engine: AsyncEngine,
    tmp_path: Path,
) -> None:
    await _archived(client, log, engine, tmp_path)
    views = await stored_views(engine)
    file = await _segment_of(engine, "b")
    content = file.read_bytes()
    damage(file)
    found = await built(engine)
    [(reason, sessions)] = found.unreadable.items()
    assert reason.startswith(str(file))
    assert what in reason
    assert (sessions, found.uncompared, found.parked) == (1, 1, 0)
    assert found.identical
    assert {each.table: each.rows for each in found.compared}["sessions"] == 2
    with pytest.raises(OperatorFault, match="--despite-unreadable"):
        await cut_over_version(engine)
    status = await read_status(engine)
    assert status.build is not None
    assert status.build.unreadable == 1
    assert status.build.rate == 0
    async with engine.connect() as connection:
        view = await read_rebuild_progress(connection, {})
        assert view is not None
        assert (view.state, view.unreadable) == ("following", 1)
    assert status.build.archived > status.build.archived_folded > 0

    assert (await built(engine)).unreadable == found.unreadable  # it is still so
    file.write_bytes(content)
    shown: list[RebuildProgress] = []
    found = await built(engine, on_progress=shown.append)
    assert (found.unreadable, found.uncompared, found.identical) == ({}, 0, True)
    assert shown[0].phase == "folding archived"
    assert shown[0].resumed_at > 0
    await run_sql(engine, "truncate sessions, legs, commands, queue_visits")
    await cut_over_version(engine)
    assert await stored_views(engine) == views


async def test_put_in_use_all_the_same_its_sessions_keep_their_rows(
    client: Client, log: JetStreamLog, engine: AsyncEngine, tmp_path: Path
) -> None:
    await _archived(client, log, engine, tmp_path)
    file = await _segment_of(engine, "b")
    content = file.read_bytes()
    file.unlink()
    await run_sql(engine, WRONG["sessions"].replace("s3", "a"))
    await run_sql(engine, WRONG["sessions"].replace("s3", "b"))
    assert [each.changed for each in (await built(engine)).compared] == [1, 0, 0, 0]
    await cut_over_version(engine, despite_unreadable=True)
    status = "select status from sessions where session_id = '{}'"
    assert await value(engine, status.format("a")) == "ended"
    assert await value(engine, status.format("b")) == "active"
    error = await value(engine, "select error from parked_sessions where session_id = 'b'")
    assert "cannot be opened" in error
    file.write_bytes(content)
    await _retried(engine, "b")
    found = await built(engine)
    assert (found.unreadable, found.uncompared) == ({}, 0)
    assert [each.changed for each in found.compared] == [1, 0, 0, 0]  # it is known to be wrong now


async def test_a_late_record_of_a_session_that_cannot_be_read_changes_nothing_of_that(
    client: Client, log: JetStreamLog, engine: AsyncEngine, tmp_path: Path
) -> None:
    await _archived(client, log, engine, tmp_path)
    file = await _segment_of(engine, "b")
    content = file.read_bytes()
    file.unlink()
    await built(engine)
    await publish(log, [late("a"), late("b")])
    await project(client, engine)
    found = await built(engine)
    assert [*found.unreadable.values()] == [1]
    file.write_bytes(content)
    await _retried(engine, "b")
    found = await built(engine)
    assert (found.unreadable, found.uncompared, found.identical) == ({}, 0, True)


async def test_killed_among_archived_sessions_it_cannot_be_put_in_use_and_goes_on(
    client: Client,
    log: JetStreamLog,
    engine: AsyncEngine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was ready for a cutover, whose views were without the sessions that were left."""
    await _archived(client, log, engine, tmp_path)
    views = await stored_views(engine)
    monkeypatch.setattr(tail, "LATER_AT_ONCE", 1)

    def stop(progress: RebuildProgress) -> None:
        if progress.phase == "folding archived" and progress.folded:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await run.build_version(
            engine, engine.url.render_as_string(hide_password=False), workers=1, on_progress=stop
        )
    with pytest.raises(OperatorFault, match="no rebuilt version is ready"):
        await cut_over_version(engine)
    shown: list[RebuildProgress] = []
    assert (await built(engine, on_progress=shown.append)).identical
    archived = [each for each in shown if each.phase == "folding archived"]
    assert 0 < archived[0].folded < archived[0].total
    assert archived[-1].folded == archived[-1].total
    await run_sql(engine, "truncate sessions, legs, commands, queue_visits")
    await cut_over_version(engine)
    assert await stored_views(engine) == views


async def _archived(client: Client, log: JetStreamLog, engine: AsyncEngine, root: Path) -> None:
    """Each session in a segment of its own."""
    await settled_calls(client, log, engine, NAMES)
    assert (await archive(client, engine, root, segment_sessions_max=1)).segments == len(NAMES)


async def _segment_of(engine: AsyncEngine, session_id: str) -> Path:
    name = (
        "select root || '/' || name from archived_sessions join archive_segments on segment = name"
    )
    return Path(await value(engine, f"{name} where session_id = '{session_id}'") + ".jsonl.zst")


async def _retried(engine: AsyncEngine, session_id: str) -> None:
    async with engine.begin() as connection:
        assert await fold_again(connection, session_id) == ""


async def test_a_session_that_cannot_be_read_any_more_at_the_cutover_is_a_failure_too(
    client: Client, log: JetStreamLog, engine: AsyncEngine, tmp_path: Path
) -> None:
    await _archived(client, log, engine, tmp_path)
    assert (await built(engine)).unreadable == {}
    file = await _segment_of(engine, "b")
    content = file.read_bytes()
    file.unlink()
    await publish(log, [late("b")])
    await project(client, engine)
    with pytest.raises(OperatorFault, match="--despite-unreadable"):
        await cut_over_version(engine)
    assert [*(await built(engine)).unreadable.values()] == [1]
    file.write_bytes(content)
    assert (await built(engine)).unreadable == {}
    await cut_over_version(engine)
