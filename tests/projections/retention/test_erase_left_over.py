"""A segment that cannot be rewritten: everything else is erased, and it follows once it can be."""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path

import pytest
from nats.aio.client import Client
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.cli.embedded.nats_server import NatsServer
from offhook.errors import OperatorFault
from offhook.history.segments import Manifest, remove_segment, without_sessions
from offhook.jetstream.log import JetStreamLog
from offhook.projections.rebuild.control import cancel
from offhook.projections.retention import erase_segments, segment_rows
from offhook.projections.retention.erase import Erased, Eraser, SegmentsLeftOver
from offhook.projections.retention.erase_segments import UNUSED
from offhook.projections.retention.scan import held_back
from offhook.projections.retention.targets import Target
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
    await calls(client, log, engine)
    await archive(client, engine, tmp_path)
    monkeypatch.setattr(segment_rows, "remove_segment", _is_down)
    with pytest.raises(
        SegmentsLeftOver, match=f"except in {UNUSED}: segment-.* the store does not answer"
    ):
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
    with pytest.raises(SegmentsLeftOver, match=r"in segment-\w+, segment-\w+: "):
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


async def test_what_is_to_be_removed_is_not_forgotten_while_its_store_is_down(
    client: Client,
    log: JetStreamLog,
    engine: AsyncEngine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = tmp_path / "archive"
    await calls(client, log, engine)
    await archive(client, engine, root)
    target = await target_of(engine, NAMES[:1])
    with pytest.raises(Killed):
        await Eraser(client, engine, at_step=kill_at("a segment was replaced")).erase(target)
    _take_away(root)
    assert _found(await Eraser(client, engine).finish()) == [0]
    (tmp_path / "unmounted").rename(root)
    monkeypatch.setattr(segment_rows, "remove_segment", _is_down)
    with pytest.raises(OperatorFault, match="does not answer"):
        await Eraser(client, engine).finish()
    # One that was never in a segment has its proof.
    await settled_calls(client, log, engine, ["call-of-now-4"])
    live = await target_of(engine, ["call-of-now-4"])
    assert (await Eraser(client, engine).erase(live)).proof.found == 0
    monkeypatch.undo()
    assert await Eraser(client, engine).finish() == []
    assert _segments(root) == await rows_in(engine, "archive_segments") == 1


async def test_of_several_stores_one_that_is_down_keeps_its_own_segments_alone(
    client: Client,
    log: JetStreamLog,
    engine: AsyncEngine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    roots = [tmp_path / "first", tmp_path / "second"]
    for root, name in zip(roots, NAMES, strict=False):
        await settled_calls(client, log, engine, [name])
        await archive(client, engine, root)

    def one_is_down(root: str, name: str) -> bool:
        return _is_down() if root == str(roots[0]) else remove_segment(root, name)

    monkeypatch.setattr(segment_rows, "remove_segment", one_is_down)
    with pytest.raises(SegmentsLeftOver, match="does not answer"):
        await Eraser(client, engine).erase(await target_of(engine, NAMES[:2]))
    assert [_segments(root) for root in roots] == [1, 0]


async def test_what_was_written_on_a_disk_that_went_is_removed_once_it_is_back(
    client: Client,
    log: JetStreamLog,
    engine: AsyncEngine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = tmp_path / "archive"
    await calls(client, log, engine)
    await archive(client, engine, root)

    def goes(root_: str, manifest: Manifest, gone: AbstractSet[str], new: str) -> None:
        without_sessions(root_, manifest, gone, new)
        _take_away(root)
        root.mkdir()
        raise OperatorFault("the disk is gone")

    monkeypatch.setattr(erase_segments, "without_sessions", goes)
    with pytest.raises(SegmentsLeftOver, match="the disk is gone"):
        await Eraser(client, engine).erase(await target_of(engine, NAMES[:1]))
    monkeypatch.undo()
    root.rmdir()
    (tmp_path / "unmounted").rename(root)
    assert _segments(root) == 2
    assert _found(await Eraser(client, engine).finish()) == [0]
    assert _segments(root) == await rows_in(engine, "archive_segments") == 1


async def test_a_proof_waits_for_an_erasure_that_looks_for_the_same(
    client: Client, log: JetStreamLog, engine: AsyncEngine, tmp_path: Path
) -> None:
    root = tmp_path / "archive"
    await settled_calls(client, log, engine, NAMES[:1])
    await archive(client, engine, root)
    await settled_calls(client, log, engine, NAMES[1:2])
    _take_away(root)
    first, second = [
        replace(await target_of(engine, [name]), names=("Anna Example",)) for name in NAMES[:2]
    ]
    with pytest.raises(SegmentsLeftOver):
        await Eraser(client, engine).erase(first)
    with pytest.raises(OperatorFault, match="the proof waits for erasure 1, which"):
        await Eraser(client, engine).erase(second)
    assert await log.read(NAMES[1]) == []
    (tmp_path / "unmounted").rename(root)
    assert _found(await Eraser(client, engine).finish()) == [0, 0]


@pytest.mark.parametrize(
    ("done", "held"),
    [
        ({1: Target(session_ids=("b",))}, set()),
        ({1: Target(session_ids=("a", "b"))}, {1}),
        ({1: Target(session_ids=("b",), names=("Ann",))}, {1}),  # in a name that is longer
        ({1: Target(session_ids=("b",), names=("Anna Smith",))}, set()),
        # The second by what the first has.
        ({1: Target(session_ids=("b",)), 2: Target(session_ids=("b", "a"))}, {1, 2}),
    ],
)
def test_which_proofs_are_held_back(done: Mapping[int, Target], held: AbstractSet[int]) -> None:
    assert held_back(done, [Target(session_ids=("a",), names=("Anna",))]) == held


def _is_down(*_: str) -> bool:
    raise OperatorFault("the store does not answer")


def _segments(root: Path) -> int:
    return len([*root.glob("*.zst")])


def _found(proved: Sequence[Erased]) -> list[int]:
    return [each.proof.found for each in proved]
