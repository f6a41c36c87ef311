"""A segment that is lost for good: its erasures end without it, and say so."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from nats.aio.client import Client
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.errors import ArchiveUnreadable, OperatorFault
from offhook.jetstream.log import JetStreamLog
from offhook.projections.rebuild.control import cancel
from offhook.projections.retention import segment_rows
from offhook.projections.retention.erase import Erased, Eraser, SegmentsLeftOver
from offhook.projections.retention.give_up import Lost, find_lost
from offhook.projections.retention.targets import Target
from offhook.projections.views.stored.archive import archive_segments
from offhook.projections.views.stored.erasures import erasures, read_unfinished
from tests.projections.rebuild.versions import built, value
from tests.projections.retention.erasing import (
    HERS,
    NAMES,
    Killed,
    calls,
    kill_at,
    scanned,
    target_of,
    timeline_of,
)
from tests.projections.retention.settled_calls import archive, rows_in, settled_calls
from tests.projections.story import stored_views


async def test_an_erasure_ends_without_a_segment_that_was_given_up(
    client: Client, log: JetStreamLog, engine: AsyncEngine, tmp_path: Path
) -> None:
    root, _, [segment] = await _left_over(client, log, engine, tmp_path)
    records = await value(engine, "select sum(records) from archived_sessions")
    [lost] = await find_lost(engine, [segment])
    assert (lost.name, lost.root, lost.session_ids) == (segment, str(root), NAMES[1:])
    assert (lost.records, lost.in_log) == (records, 0)
    views = await stored_views(engine)
    [erased] = await Eraser(client, engine).finish(give_up=[segment])
    assert (erased.given_up, erased.unfinished) == ([segment], 0)
    [said] = [each for each in erased.proof.unreachable if segment in each]
    assert said.startswith(f"{segment} in {root}, which was given up on ")
    assert [each for each in erased.proof.scanned if each.where.startswith("segments in")] == []
    assert await _given_up(engine) == [[segment]]
    # The others are as they were: their rows stay, and what is missing is named.
    assert await stored_views(engine) == views
    with pytest.raises(ArchiveUnreadable, match=f"session {NAMES[1]} is archived, .*{segment}"):
        await timeline_of(engine, NAMES[1])
    found = await built(engine)
    assert (sum(found.unreadable.values()), found.unrecorded, found.identical) == (2, 0, True)
    await cancel(engine)
    # Nor does it hold up another erasure of what was in it.
    other = await Eraser(client, engine).erase(await target_of(engine, NAMES[2:]))
    assert (other.given_up, other.proof.found) == ([segment], 0)


async def test_a_segment_that_was_given_up_is_rewritten_if_it_comes_back(
    client: Client, log: JetStreamLog, engine: AsyncEngine, tmp_path: Path
) -> None:
    root, target, [segment] = await _left_over(client, log, engine, tmp_path)
    await Eraser(client, engine).finish(give_up=[segment])
    assert await Eraser(client, engine).finish() == []
    (tmp_path / "unmounted").rename(root)
    assert not await timeline_of(engine, NAMES[0])
    assert await timeline_of(engine, NAMES[1])
    assert (await scanned(engine, target, [], root)).found > 0
    assert (await target_of(engine, numbers=[HERS])).session_ids == (NAMES[2],)
    assert _found(await Eraser(client, engine).finish()) == [0]
    assert (await scanned(engine, target, [], root)).found == 0
    assert await timeline_of(engine, NAMES[1])
    assert await timeline_of(engine, NAMES[2])
    assert await _names(engine) != [segment]
    assert len([*root.glob("*.zst")]) == await rows_in(engine, "archive_segments") == 1
    assert await Eraser(client, engine).finish() == []


async def test_a_segment_that_comes_back_without_what_was_erased_is_used_again(
    client: Client, log: JetStreamLog, engine: AsyncEngine, tmp_path: Path
) -> None:
    root = tmp_path / "archive"
    await calls(client, log, engine)
    await archive(client, engine, root)
    root.rename(tmp_path / "unmounted")
    [segment] = await _names(engine)
    with pytest.raises(OperatorFault, match=segment):
        await target_of(engine, numbers=[HERS])
    assert await Eraser(client, engine).finish(give_up=[segment]) == []
    # A number is looked for without it, and it is said that it was not searched.
    skipped: list[str] = []
    found = await target_of(engine, numbers=[HERS], at_skipped=skipped.append)
    assert (found.session_ids, set(skipped)) == ((NAMES[0], NAMES[2]), {segment})
    (tmp_path / "unmounted").rename(root)
    assert await Eraser(client, engine).finish() == []
    assert await value(engine, "select given_up_at from archive_segments") is None


@pytest.mark.parametrize(
    ("missing", "refused"),
    [
        ("", r"^{} can be read: run `offhook erase --resume`, which rewrites or removes it;"),
        ("*.zst", r"^{0} is not given up, since there is {0}\.json in .*: restore the segment, or"),
        ("*.json", r"^{0} is not given up, since there is {0}\.jsonl\.zst in .*: restore the seg"),
    ],
)
async def test_a_segment_of_which_anything_is_there_is_not_given_up(
    missing: str,
    refused: str,
    client: Client,
    log: JetStreamLog,
    engine: AsyncEngine,
    tmp_path: Path,
) -> None:
    await calls(client, log, engine)
    await archive(client, engine, tmp_path)
    _remove(tmp_path, missing)
    [segment] = await _names(engine)
    for _ in range(2):
        with pytest.raises(OperatorFault, match=refused.format(segment)):
            await find_lost(engine, [segment])
        with pytest.raises(OperatorFault, match=refused.format(segment)):
            await Eraser(client, engine).finish(give_up=[segment])
    assert await value(engine, "select given_up_at from archive_segments") is None


async def test_a_segment_that_is_not_known_is_not_given_up(
    client: Client, log: JetStreamLog, engine: AsyncEngine, tmp_path: Path
) -> None:
    _, _, [segment] = await _left_over(client, log, engine, tmp_path)
    with pytest.raises(OperatorFault, match=r"^there is no segment 'segment-1'; expected"):
        await Eraser(client, engine).finish(give_up=[segment, "segment-1"])
    assert await value(engine, "select given_up_at from archive_segments") is None


async def test_sessions_that_another_erasure_is_about_are_not_counted_as_lost(
    client: Client, log: JetStreamLog, engine: AsyncEngine, tmp_path: Path
) -> None:
    _, _, [segment] = await _left_over(client, log, engine, tmp_path)
    other = await target_of(engine, NAMES[1:2])
    with pytest.raises(Killed):
        await Eraser(client, engine, at_step=kill_at("noted")).erase(other)
    [lost] = await find_lost(engine, [segment])
    assert lost.session_ids == NAMES[2:]


async def test_a_segment_that_was_replaced_is_given_up_too(
    client: Client,
    log: JetStreamLog,
    engine: AsyncEngine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its store is gone for good before the file could be removed."""
    root = tmp_path / "archive"
    await calls(client, log, engine)
    await archive(client, engine, root)
    [segment] = await _names(engine)
    monkeypatch.setattr(segment_rows, "remove_segment", _is_down)
    with pytest.raises(SegmentsLeftOver, match=f"{segment} .* removed: the store does not answer"):
        await Eraser(client, engine).erase(await target_of(engine, NAMES[:1]))
    root.rename(tmp_path / "unmounted")
    [lost] = await find_lost(engine, [segment])
    assert lost == Lost(name=segment, root=str(root), session_ids=[], records=0)
    [erased] = await Eraser(client, engine).finish(give_up=[segment])
    assert [each for each in erased.proof.unreachable if each.startswith(f"{segment} in ")]
    async with engine.connect() as connection:
        assert (await read_unfinished(connection)).count == 0
    monkeypatch.undo()
    # Another disk is in its place, and later the files are copied to it.
    [replacement] = {*await _names(engine)} - {segment}
    await settled_calls(client, log, engine, ["call-of-another-4"])
    await Eraser(client, engine).finish(give_up=[replacement])
    await archive(client, engine, root)
    assert await Eraser(client, engine).finish() == []
    assert segment in await _names(engine)
    for each in (tmp_path / "unmounted").iterdir():
        each.rename(root / each.name)
    assert await Eraser(client, engine).finish() == []
    assert segment not in await _names(engine)
    assert {f"{each}.jsonl.zst" for each in await _names(engine)} == {
        each.name for each in root.glob("*.zst")
    }


async def test_one_of_two_lost_segments_is_given_up_and_comes_back(
    client: Client, log: JetStreamLog, engine: AsyncEngine, tmp_path: Path
) -> None:
    root = tmp_path / "archive"
    await calls(client, log, engine)
    await archive(client, engine, root, segment_sessions_max=1)
    root.rename(tmp_path / "unmounted")
    target = await target_of(engine, [NAMES[0], NAMES[2]])
    with pytest.raises(SegmentsLeftOver) as left:
        await Eraser(client, engine).erase(target)
    one, other = left.value.why
    with pytest.raises(SegmentsLeftOver) as left:
        await Eraser(client, engine).finish(give_up=[one])
    assert ([*left.value.why], await _given_up(engine)) == ([other], [[one]])
    (tmp_path / "unmounted").rename(root)
    proved = await Eraser(client, engine).finish()
    assert [(each.given_up, each.proof.found) for each in proved] == [([], 0), ([], 0)]
    assert (await scanned(engine, target, [], root)).found == 0
    assert len(await _names(engine)) == len([*root.glob("*.zst")]) == 1


@pytest.mark.parametrize(
    "files", ["without its manifest", "with the manifest of another", "altered"]
)
async def test_it_is_said_of_a_segment_that_comes_back_otherwise_than_it_was(
    files: str, client: Client, log: JetStreamLog, engine: AsyncEngine, tmp_path: Path
) -> None:
    """What was erased may be in it: nothing else would say so."""
    root, _, [segment] = await _left_over(client, log, engine, tmp_path)
    await Eraser(client, engine).finish(give_up=[segment])
    (tmp_path / "unmounted").rename(root)
    named = {"altered": f"{segment}.jsonl.zst"}.get(files, f"{segment}.json")
    whole = (root / named).read_bytes()
    if files == "altered":
        (root / named).write_bytes(whole[:-1] + b"x")
    elif files == "without its manifest":
        (root / named).unlink()
    else:
        manifest = json.loads(whole)
        manifest |= {"name": "segment-1", "blocks": manifest["blocks"][1:]}
        (root / named).write_text(json.dumps(manifest))
    for _ in range(2):
        with pytest.raises(SegmentsLeftOver, match=f"except in {segment}: .*{segment}"):
            await Eraser(client, engine).finish()
    assert await timeline_of(engine, NAMES[0]) == []
    (root / named).write_bytes(whole)
    assert _found(await Eraser(client, engine).finish()) == [0]
    assert await timeline_of(engine, NAMES[2])


async def test_a_number_that_cannot_be_looked_for_names_all_segments_that_are_missing(
    client: Client, log: JetStreamLog, engine: AsyncEngine, tmp_path: Path
) -> None:
    """Each is given up by its name."""
    await calls(client, log, engine)
    await archive(client, engine, tmp_path, segment_sessions_max=1)
    _remove(tmp_path, "*.zst")
    _remove(tmp_path, "*.json")
    names = await _names(engine)
    with pytest.raises(OperatorFault, match=r"`offhook erase --resume --give-up .* erased$") as at:
        await target_of(engine, numbers=[HERS])
    assert [each for each in names if each in str(at.value)] == names
    assert await Eraser(client, engine).finish(give_up=names) == []
    assert (await target_of(engine, numbers=[HERS])).session_ids == (NAMES[0], NAMES[2])


async def test_an_archive_run_does_not_wait_for_a_segment_that_was_given_up(
    client: Client, log: JetStreamLog, engine: AsyncEngine, tmp_path: Path
) -> None:
    """Its sessions had still to leave the log: what is there of them stays."""
    root = tmp_path / "archive"
    await settled_calls(client, log, engine, NAMES[:2])
    with pytest.raises(Killed):
        await archive(client, engine, root, at_step=kill_at("registered"))
    root.rename(tmp_path / "unmounted")
    [segment] = await _names(engine)
    await settled_calls(client, log, engine, NAMES[2:])
    with pytest.raises(OperatorFault, match=segment):
        await archive(client, engine, tmp_path / "other")
    [lost] = await find_lost(engine, [segment])
    assert (len(lost.session_ids), lost.in_log) == (2, 2)
    await Eraser(client, engine).finish(give_up=[segment])
    assert (await archive(client, engine, tmp_path / "other")).sessions == 1
    left = len(await log.read(NAMES[1]))
    assert left > 0
    (tmp_path / "unmounted").rename(root)
    await Eraser(client, engine).finish()
    await archive(client, engine, root)
    assert await log.read(NAMES[1]) == []
    assert len(await timeline_of(engine, NAMES[1])) == left


async def _left_over(
    client: Client, log: JetStreamLog, engine: AsyncEngine, tmp_path: Path
) -> tuple[Path, Target, Sequence[str]]:
    """The archive's folder, whose disk is gone, of whom an erasure is, and its segments."""
    root = tmp_path / "archive"
    await calls(client, log, engine)
    await archive(client, engine, root)
    root.rename(tmp_path / "unmounted")
    target = await target_of(engine, NAMES[:1])
    with pytest.raises(SegmentsLeftOver):
        await Eraser(client, engine).erase(target)
    return root, target, await _names(engine)


async def _names(engine: AsyncEngine) -> Sequence[str]:
    async with engine.connect() as connection:
        found = await connection.execute(select(archive_segments.c.name))
        return found.scalars().all()


async def _given_up(engine: AsyncEngine) -> Sequence[Sequence[str]]:
    async with engine.connect() as connection:
        found = await connection.execute(select(erasures.c.given_up))
        return found.scalars().all()


def _remove(root: Path, names: str) -> None:
    for path in root.glob(names) if names else ():
        path.unlink()


def _is_down(*_: str) -> bool:
    raise OperatorFault("the store does not answer")


def _found(proved: Sequence[Erased]) -> list[int]:
    return [each.proof.found for each in proved]
