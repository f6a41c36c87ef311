"""After an erasure nothing is left, anywhere, and what is counted is what it was."""

import asyncio
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import zstandard
from nats.aio.client import Client
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.cli.embedded.nats_server import NatsServer
from offhook.errors import OperatorFault
from offhook.history.files import names_in
from offhook.history.segments import remove_segment
from offhook.history.selection import Selection
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.snapshots import JetStreamSnapshots
from offhook.jetstream.timetable import JetStreamTimetable
from offhook.projections.rebuild.run import cancel, cut_over_version
from offhook.projections.retention import erase
from offhook.projections.retention.erase import Eraser
from offhook.projections.retention.rows import IDS
from offhook.projections.retention.scan import Proof, scan, wait_for_index
from offhook.projections.retention.targets import Target, find_target
from offhook.projections.views.analytics.grouping.wanted import GroupsWanted
from offhook.projections.views.analytics.groups import read_groups
from offhook.projections.views.analytics.timeseries import CallFilter, read_summary
from offhook.projections.views.past.selected_records import select_records
from offhook.projections.views.past.timeline import read_timeline
from offhook.projections.views.registry import VIEWS
from offhook.projections.views.search.session_filter import SessionFilter
from offhook.projections.views.search.session_lists import list_sessions
from tests.projections.rebuild.versions import built
from tests.projections.retention.settled_calls import (
    archive,
    decision,
    late,
    project,
    rows_in,
    settle,
    settled_calls,
)
from tests.projections.rollups import assert_rolled_up
from tests.projections.story import (
    NOON,
    dial_of,
    events_of,
    publish,
    refused_dial,
    stored_views,
    webhook,
)

HERS = "+12025550177"
NAMES = ["call-of-hers-1", "call-of-theirs-2", "call-of-hers-3"]
NOW = datetime(2027, 1, 31, tzinfo=UTC)


class Killed(Exception):
    """Stands for kill -9."""


def test_every_column_of_every_view_is_kept_cleared_or_renamed() -> None:
    for view in VIEWS:
        names = {column.name for column in view.table.columns}
        kept, cleared = view.kept_when_erased, view.cleared_when_erased
        assert names == kept | cleared | (names & {*IDS})
        assert not kept & cleared


async def test_a_number_is_nowhere_after_it_was_erased(
    client: Client,
    log: JetStreamLog,
    engine: AsyncEngine,
    own_nats_server: NatsServer,
    tmp_path: Path,
) -> None:
    await _calls(client, log, engine)
    await JetStreamTimetable(client).set(
        NAMES[0], "timer-1", due_at=NOW + timedelta(days=1), decided_seq=1
    )
    snapshots = JetStreamSnapshots(client)
    await archive(client, engine, tmp_path)
    for name in NAMES:
        await snapshots.write(name, b"what a worker has folded")
    await settle(log, [late(NAMES[0])])  # a record in the log, of an archived session
    await settled_calls(client, log, engine, ["call-of-hers-4"], number=HERS)
    target = await _target(engine, numbers=[HERS])
    assert target.session_ids == (NAMES[0], NAMES[2], "call-of-hers-4")

    stores = [own_nats_server.directory / "store"]
    before = await _scan(engine, target, stores, tmp_path)
    found = {each.where.partition(" ")[0]: each.found for each in before.scanned if each.found}
    assert found.keys() == {"stream", "segments", "table"}
    timeline, analytics = await _timeline(engine, NAMES[1]), await _analytics(engine)

    doing: list[str] = []
    erased = await Eraser(client, engine, stores=stores, doing=doing.append).erase(target)
    assert [each for each in erased.proof.scanned if each.found] == []
    assert erased.proof.unreachable == []
    assert "snapshots in NATS' memory" in [each.where for each in erased.proof.scanned]
    left = [await snapshots.read(name) is not None for name in NAMES]
    assert left == [False, True, False]
    assert not await snapshots.write(NAMES[0], b"what a worker had still to store")
    assert (erased.sessions, erased.segments) == (3, 1)
    assert "deleting session 3 of 3 from the streams" in doing
    sizes = {each.where: each.bytes for each in erased.proof.scanned if each.bytes}
    assert sizes
    assert {f"scanning the {where}: {size:,} bytes" for where, size in sizes.items()} < {*doing}
    assert any(each.startswith("scanning table public.event_log, ") for each in doing)
    assert (await _scan(engine, target, stores, tmp_path)).found == 0
    assert await _timeline(engine, NAMES[1]) == timeline
    assert await _analytics(engine) == analytics
    assert (await built(engine)).identical
    await cut_over_version(engine)
    await cancel(engine)
    assert await _analytics(engine) == analytics
    assert (await _scan(engine, target, stores, tmp_path)).found == 0


async def test_what_arrives_of_an_erased_session_is_dropped_and_erased_again(
    client: Client,
    log: JetStreamLog,
    engine: AsyncEngine,
    own_nats_server: NatsServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await _calls(client, log, engine)
    target = await _target(engine, [NAMES[0]])
    stores = [own_nats_server.directory / "store"]
    eraser = Eraser(client, engine, stores=stores)
    async with engine.connect() as reader:
        monkeypatch.setattr("offhook.projections.retention.erase.READERS_S", 0.1)
        pid = (await reader.execute(text("select pg_backend_pid()"))).scalar_one()
        with pytest.raises(OperatorFault, match=rf"\(process {pid}, .* --resume --full-vacuum"):
            await Eraser(client, engine, stores=stores, full_vacuum=True).erase(target)
        [erased] = await eraser.finish()
    assert [each for each in erased.proof.unreachable if f"(process {pid}, open for" in each]
    views = await stored_views(engine)
    await publish(log, [late(NAMES[0]), late(NAMES[0])])
    await project(client, engine)
    assert await stored_views(engine) == views
    [again] = await eraser.finish()
    assert (again.messages, again.proof.found, again.proof.unreachable) == (2, 0, [])
    assert await log.read(NAMES[0]) == []
    assert await eraser.finish() == []


@pytest.mark.parametrize("during", ["delete_segment", "open_transactions"])
async def test_what_arrives_during_an_erasure_does_not_stay_in_the_streams(
    during: str,
    client: Client,
    log: JetStreamLog,
    engine: AsyncEngine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While its segment is replaced, and once its rows are gone."""
    await _calls(client, log, engine)
    await archive(client, engine, tmp_path)
    target = await _target(engine, [NAMES[0]])
    does = getattr(erase, during)

    async def does_as_it_arrives(*args: Any, **options: Any) -> Any:
        await publish(log, [late(NAMES[0])])
        await project(client, engine)
        return await does(*args, **options)

    monkeypatch.setattr(erase, during, does_as_it_arrives)
    await Eraser(client, engine).erase(target)
    monkeypatch.undo()
    await Eraser(client, engine).finish()
    assert await log.read(NAMES[0]) == []


async def test_the_proof_waits_until_the_server_has_written_its_index(tmp_path: Path) -> None:
    target = Target(session_ids=("erased-call",))
    index = tmp_path / "streams" / "CALLS" / "index.db"
    index.parent.mkdir(parents=True)
    index.write_bytes(b"calls.17.erased-call.in")
    waiting = asyncio.create_task(wait_for_index(target, [tmp_path], pause_s=0.01))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    index.write_bytes(b"calls.17.another-call.in")
    await asyncio.wait_for(waiting, 60)
    index.write_bytes(b"calls.17.erased-call.in")
    await wait_for_index(target, [tmp_path], wait_s=0)  # the proof then says that it is there


async def test_what_of_a_store_cannot_be_read_is_named(
    engine: AsyncEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By root everything can be read, so that it is refused here by name."""
    for name in ("open/kept.blk", "open/index.db", "refused/other.blk"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"erased-call")
    reads, lists = Path.open, os.scandir

    def open_(path: Path, *args: Any) -> Any:
        if path.name == "index.db":
            raise PermissionError(13, "Permission denied", str(path))
        return reads(path, *args)

    def scandir(path: Any) -> Any:
        if str(path).endswith("refused"):
            raise PermissionError(13, "Permission denied", str(path))
        return lists(path)

    monkeypatch.setattr(Path, "open", open_)
    monkeypatch.setattr(os, "scandir", scandir)
    target = Target(session_ids=("erased-call",))
    await wait_for_index(target, [tmp_path], wait_s=0)
    async with engine.connect() as connection:
        proof = await scan(connection, target, stores=[tmp_path], roots=[])
        refused = await scan(connection, target, stores=[tmp_path / "refused"], roots=[])
    assert proof.found == 1
    [said] = proof.unreachable
    assert said.startswith(f"some of the stream files in {tmp_path}: [Errno 13] Permission denied")
    assert said.endswith(", and 1 more")
    assert [each.where for each in refused.scanned if "stream files" in each.where] == []
    assert len(refused.unreachable) == 1


async def test_the_files_of_a_segment_that_was_not_completed_are_scanned_and_removed(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    frames = zstandard.ZstdCompressor().compress(b"erased-call " * 3)
    (tmp_path / "segment-a.jsonl.zst.1f.part").write_bytes(frames)
    (tmp_path / "segment-a.json.2e.part").write_bytes(b"erased-call")
    (tmp_path / "segment-ab.json").write_bytes(b"kept")
    async with engine.connect() as connection:
        target = Target(session_ids=("erased-call",))
        proof = await scan(connection, target, stores=[], roots=[str(tmp_path)])
    assert proof.found == 4 + frames.count(b"erased-call")
    remove_segment(str(tmp_path), "segment-a")
    assert names_in(str(tmp_path)) == ["segment-ab.json"]


async def test_the_dial_that_placed_a_call_is_erased_with_it(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    await settle(log, dial_of("the-dial", "placed-call"))
    await settled_calls(client, log, engine, ["placed-call"])
    assert (await _target(engine, ["placed-call"])).session_ids == ("placed-call", "the-dial")
    assert (await _target(engine, ["the-dial"])).session_ids == ("placed-call", "the-dial")


async def test_a_refused_dial_is_found_by_the_number_it_asked_for_until_it_is_erased(
    client: Client, log: JetStreamLog, engine: AsyncEngine, tmp_path: Path
) -> None:
    await publish(log, [*refused_dial("archived"), decision("archived", 3)])
    await publish(log, refused_dial("undecided"))
    await project(client, engine)
    assert await _with_number(engine, "+12025550102") == ["archived", "undecided"]
    await archive(client, engine, tmp_path)
    assert await rows_in(engine, "archived_sessions") == 1
    assert await _with_number(engine, "+12025550102") == ["archived", "undecided"]
    target = await _target(engine, numbers=["+12025550102"])
    assert target.session_ids == ("archived", "undecided")
    assert (await Eraser(client, engine).erase(target)).sessions == 2
    assert await _with_number(engine, "+12025550102") == []


async def test_a_call_that_is_up_and_what_is_not_known_are_refused(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    await settle(log, [webhook("up", event) for event in events_of("up")[1:3]])
    await project(client, engine)
    with pytest.raises(OperatorFault, match="call that is up"):
        await _target(engine, ["up"], now=datetime(2026, 11, 22, 12, 1, tzinfo=UTC))
    with pytest.raises(OperatorFault, match="no session 'unknown'"):
        await _target(engine, ["unknown"])
    with pytest.raises(OperatorFault, match=r"no session has number '\+12025550188'"):
        await _target(engine, numbers=["+12025550188"])
    with pytest.raises(OperatorFault, match="not an E"):
        await _target(engine, numbers=["Anna"])


STEPS = (
    "noted",
    "a segment was begun",
    "a segment was written",
    "a segment was replaced",
    "a segment was removed",
    "the rows were erased",
    "a session left the streams",
    "done",  # but for the proof
)


@pytest.mark.parametrize("step", STEPS)
async def test_an_erasure_that_is_killed_is_finished_by_the_next(
    step: str,
    client: Client,
    log: JetStreamLog,
    engine: AsyncEngine,
    own_nats_server: NatsServer,
    tmp_path: Path,
) -> None:
    await _calls(client, log, engine)
    await archive(client, engine, tmp_path)
    target = await _target(engine, numbers=[HERS])
    timeline = await _timeline(engine, NAMES[1])
    stores = [own_nats_server.directory / "store"]
    with pytest.raises(Killed):
        await Eraser(client, engine, stores=stores, at_step=_kill(step)).erase(target)
    [erased] = await Eraser(client, engine, stores=stores).finish()
    assert erased.proof.found == 0
    assert (await _scan(engine, target, stores, tmp_path)).found == 0
    assert await _timeline(engine, NAMES[1]) == timeline
    assert len(_segments(tmp_path)) == 1
    assert await rows_in(engine, "archive_segments") == 1
    assert erased.records == 2 * len(timeline)


async def test_the_place_of_a_last_segment_that_a_killed_erasure_removed_is_scanned(
    client: Client,
    log: JetStreamLog,
    engine: AsyncEngine,
    own_nats_server: NatsServer,
    tmp_path: Path,
) -> None:
    await settled_calls(client, log, engine, NAMES)
    await archive(client, engine, tmp_path)
    target = await _target(engine, NAMES)
    stores = [own_nats_server.directory / "store"]
    with pytest.raises(Killed):
        await Eraser(client, engine, stores=stores, at_step=_kill("a segment was removed")).erase(
            target
        )
    assert await rows_in(engine, "archive_segments") == 0
    (tmp_path / "segment-1.json").write_text(NAMES[0])
    [erased] = await Eraser(client, engine, stores=stores).finish()
    found = {each.where: each.found for each in erased.proof.scanned}
    assert found[f"segments in {tmp_path}"] == erased.proof.found == 1


async def test_a_proof_that_fails_loses_none_of_the_others(
    client: Client,
    log: JetStreamLog,
    engine: AsyncEngine,
    own_nats_server: NatsServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await _calls(client, log, engine)
    stores = [own_nats_server.directory / "store"]
    for name in NAMES[:2]:
        target = await _target(engine, [name])
        with pytest.raises(Killed):
            await Eraser(client, engine, stores=stores, at_step=_kill("done")).erase(target)
    # Of the first there is another erasure pending then.
    await publish(log, [late(NAMES[0])])
    await project(client, engine)
    scanned: list[Target] = []

    async def interrupted(connection: Any, target: Target, **options: Any) -> Proof:
        scanned.append(target)
        if len(scanned) == 2:
            raise Killed
        return await scan(connection, target, **options)

    monkeypatch.setattr("offhook.projections.retention.erase.scan", interrupted)
    with pytest.raises(Killed):
        await Eraser(client, engine, stores=stores).finish()
    erased = await Eraser(client, engine, stores=stores).finish()
    assert [each.proof.found for each in erased] == [0, 0, 0]
    assert await Eraser(client, engine, stores=stores).finish() == []


def _kill(step: str) -> Callable[[str], None]:
    def kill(done: str) -> None:
        if done == step:
            raise Killed

    return kill


async def _calls(client: Client, log: JetStreamLog, engine: AsyncEngine) -> None:
    for name in NAMES:
        await settled_calls(
            client, log, engine, [name], number=HERS if "hers" in name else "+12025550166"
        )


async def _target(
    engine: AsyncEngine,
    session_ids: Sequence[str] = (),
    numbers: Sequence[str] = (),
    now: datetime = NOW,
) -> Target:
    async with engine.connect() as connection:
        return await find_target(connection, session_ids, numbers, [], now)


async def _with_number(engine: AsyncEngine, number: str) -> list[str]:
    """By the search, and by the commands that read the history."""
    async with engine.connect() as connection:
        page = await list_sessions(connection, SessionFilter(number=number), limit=10, now=NOW)
        records = select_records(connection, Selection(numbers=[number]))
        selected = {record.session_id async for record in records}
    assert selected == {each.session_id for each in page}
    return sorted(selected)


async def _scan(engine: AsyncEngine, target: Target, stores: Sequence[Path], root: Path) -> Proof:
    async with engine.connect() as connection:
        return await scan(connection, target, stores=stores, roots=[str(root)])


async def _timeline(engine: AsyncEngine, session_id: str) -> Any:
    async with engine.connect() as connection:
        return (await read_timeline(connection, session_id)).entries


async def _analytics(engine: AsyncEngine) -> Any:
    wanted = CallFilter(start=NOON - timedelta(hours=1), end=NOON + timedelta(hours=1))
    async with engine.connect() as connection:
        found = await read_summary(connection, wanted, NOW)
        by = GroupsWanted(start=wanted.start, end=wanted.end, by=["number_prefix"])
        groups = await read_groups(connection, by, NOW)
    assert found.counts["calls"] >= 2 * len(NAMES)
    assert groups[0].group == {"number_prefix": "+1202"}
    await assert_rolled_up(engine)
    return found, groups


def _segments(root: Path) -> list[Path]:
    return [*root.glob("*.jsonl.zst")]
