"""A segment that cannot be rewritten: everything else is erased, and it follows once it can be."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.cli.embedded.nats_server import NatsServer
from offhook.errors import OperatorFault
from offhook.jetstream.log import JetStreamLog
from offhook.projections.rebuild.control import cancel
from offhook.projections.retention import erase_segments
from offhook.projections.retention.erase import Erased, Eraser, SegmentsLeftOver
from offhook.projections.retention.erase_segments import UNUSED
from tests.projections.rebuild.versions import built
from tests.projections.retention.erasing import (
    NAMES,
    Killed,
    calls,
    kill_at,
    scanned,
    target_of,
    timeline_of,
)
from tests.projections.retention.settled_calls import (
    archive,
    late,
    project,
    rows_in,
    settled_calls,
)
from tests.projections.story import publish


def _take_away(root: Path) -> None:
    root.rename(root.with_name("unmounted"))


def _damage(root: Path) -> None:
    [segment] = root.glob("*.zst")
    content = segment.read_bytes()
    segment.write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))


def _lose(root: Path) -> None:
    [segment] = root.glob("*.zst")
    segment.unlink()


def _mix_up(root: Path) -> None:
    """A mistake while a backup was restored: the manifest has one session less."""
    [manifest] = root.glob("*.json")
    manifest.write_text(manifest.read_text().replace(NAMES[1], "another-call"))


@pytest.mark.parametrize("goes_wrong", [_take_away, _damage, _lose, _mix_up])
async def test_everything_else_is_erased_and_the_segment_follows(
    goes_wrong: Callable[[Path], None],
    client: Client,
    log: JetStreamLog,
    engine: AsyncEngine,
    own_nats_server: NatsServer,
    tmp_path: Path,
) -> None:
    root = tmp_path / "archive"
    await calls(client, log, engine)
    await archive(client, engine, root)
    timeline = await timeline_of(engine, NAMES[1])
    target = await target_of(engine, NAMES[:1])
    stores = [own_nats_server.directory / "store"]
    backup = _copy_of(root)
    goes_wrong(root)
    for run in range(2):  # the erasure, and one more try
        eraser = Eraser(client, engine, stores=stores)
        with pytest.raises(SegmentsLeftOver, match=r"^everything is erased except in segment-"):
            await (eraser.finish() if run else eraser.erase(target))
        assert await rows_in(engine, "archive_segments") == 1
    _restore(root, backup)
    # It is still in the segment, where nothing finds it: a version of the views does not have it.
    left = await scanned(engine, target, stores, root)
    where = {each.where.partition(" ")[0] for each in left.scanned if each.found}
    assert where == {"segments", "table"}
    assert not await timeline_of(engine, NAMES[0])
    assert (await built(engine)).identical
    await cancel(engine)
    # Rewritten for another erasure, the segment is without both.
    other = await target_of(engine, NAMES[2:])
    assert (await Eraser(client, engine, stores=stores).erase(other)).proof.found == 0
    assert (await scanned(engine, target, stores, root)).found == 1  # whom, in table erasures
    [erased] = await Eraser(client, engine, stores=stores).finish()
    assert (erased.records, erased.proof.found) == (len(timeline), 0)
    assert await timeline_of(engine, NAMES[1]) == timeline
    assert _segments(root) == await rows_in(engine, "archive_segments") == 1


async def test_a_segment_of_erased_sessions_alone_has_to_be_there_to_be_removed(
    client: Client, log: JetStreamLog, engine: AsyncEngine, tmp_path: Path
) -> None:
    await settled_calls(client, log, engine, NAMES)
    await archive(client, engine, tmp_path)
    _lose(tmp_path)
    with pytest.raises(SegmentsLeftOver):
        await Eraser(client, engine).erase(await target_of(engine, NAMES))
    assert await rows_in(engine, "archive_segments") == 1


async def test_segments_that_cannot_be_removed_are_left_too(
    client: Client,
    log: JetStreamLog,
    engine: AsyncEngine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def down(*_: Any) -> None:
        raise OperatorFault("the store does not answer")

    await calls(client, log, engine)
    await archive(client, engine, tmp_path)
    monkeypatch.setattr(erase_segments, "remove_unused", down)
    with pytest.raises(SegmentsLeftOver, match=f"except in {UNUSED}: the store does not answer"):
        await Eraser(client, engine).erase(await target_of(engine, NAMES[:1]))
    monkeypatch.undo()
    [erased] = await Eraser(client, engine).finish()
    assert (erased.segments, erased.proof.found) == (1, 0)
    assert _segments(tmp_path) == await rows_in(engine, "archive_segments") == 1


async def test_an_archive_run_that_cannot_be_finished_stops_no_erasure(
    client: Client, log: JetStreamLog, engine: AsyncEngine, tmp_path: Path
) -> None:
    root = tmp_path / "archive"
    await settled_calls(client, log, engine, NAMES[:2])
    with pytest.raises(Killed):
        await archive(client, engine, root, at_step=kill_at("registered"))
    await settled_calls(client, log, engine, NAMES[2:])
    timeline = await timeline_of(engine, NAMES[1])
    _take_away(root)
    live = await target_of(engine, NAMES[2:])
    assert (await Eraser(client, engine).erase(live)).proof.found == 0
    with pytest.raises(SegmentsLeftOver):
        await Eraser(client, engine).erase(await target_of(engine, NAMES[:1]))
    assert [len(await log.read(name)) for name in NAMES] == [0, len(timeline), 0]
    (tmp_path / "unmounted").rename(root)
    await Eraser(client, engine).finish()
    await archive(client, engine, root)
    assert await log.read(NAMES[1]) == []
    assert await timeline_of(engine, NAMES[1]) == timeline


async def test_other_erasures_end_but_those_of_whom_it_is_still_known(
    client: Client, log: JetStreamLog, engine: AsyncEngine, tmp_path: Path
) -> None:
    root = tmp_path / "archive"
    await settled_calls(client, log, engine, NAMES[:2])
    await archive(client, engine, root, segment_sessions_max=1)
    await settled_calls(client, log, engine, NAMES[2:])
    _take_away(root)
    for name in NAMES[:2]:
        with pytest.raises(SegmentsLeftOver):
            await Eraser(client, engine).erase(await target_of(engine, [name]))
    live = await target_of(engine, NAMES[2:])
    with pytest.raises(Killed):
        await Eraser(client, engine, at_step=kill_at("noted")).erase(live)
    await publish(log, [late(NAMES[0])])
    await project(client, engine)
    proved: list[Erased] = []
    with pytest.raises(SegmentsLeftOver, match="and 1 more: "):
        await Eraser(client, engine, at_proof=proved.extend).finish()
    assert [(each.sessions, each.proof.found, each.unfinished) for each in proved] == [(1, 0, 3)]
    assert [await log.read(name) for name in NAMES] == [[], [], []]
    (tmp_path / "unmounted").rename(root)
    assert _found(await Eraser(client, engine).finish()) == [0, 0, 0]


async def test_each_erasure_counts_its_own_records(
    client: Client, log: JetStreamLog, engine: AsyncEngine, tmp_path: Path
) -> None:
    await settled_calls(client, log, engine, NAMES)
    await archive(client, engine, tmp_path)
    records = len(await timeline_of(engine, NAMES[0]))
    target = await target_of(engine, NAMES[:1])
    with pytest.raises(Killed):
        await Eraser(client, engine, at_step=kill_at("noted")).erase(target)
    other = await Eraser(client, engine).erase(await target_of(engine, NAMES[1:2]))
    [erased] = await Eraser(client, engine).finish()
    assert (other.records, erased.records) == (records, records)


def _copy_of(root: Path) -> Mapping[Path, bytes]:
    return {each: each.read_bytes() for each in root.iterdir()}


def _restore(root: Path, files: Mapping[Path, bytes]) -> None:
    root.mkdir(exist_ok=True)
    for path, content in files.items():
        path.write_bytes(content)


def _segments(root: Path) -> int:
    return len([*root.glob("*.zst")])


def _found(proved: Sequence[Erased]) -> list[int]:
    return [each.proof.found for each in proved]
