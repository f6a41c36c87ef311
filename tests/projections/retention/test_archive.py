"""Archived sessions leave the log and event_log, and nothing that reads them notices."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.cli.embedded.nats_server import NatsServer
from offhook.errors import ArchiveUnreadable, OperatorFault
from offhook.history.files import records_in
from offhook.history.lines import HistoryRecord
from offhook.history.segments import read_manifest, segment_url
from offhook.jetstream.archived import ArchivedMarks
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.message import imported_headers
from offhook.jetstream.stream import STREAM, snapshots_config
from offhook.projections.rebuild.control import cancel
from offhook.projections.rebuild.cutover import roll_back
from offhook.projections.rebuild.run import cut_over_version
from offhook.projections.retention.archive import OLDER_THAN_MIN, Archiver
from offhook.projections.retention.leaving import sizes_in
from offhook.projections.views.past.session_as_of import read_session_as_of
from offhook.projections.views.past.timeline import read_timeline
from tests.projections.rebuild.versions import built
from tests.projections.retention.settled_calls import (
    OLD,
    archive,
    late,
    project,
    rows_in,
    settle,
    settled_calls,
    subjects,
)
from tests.projections.story import call, events_of, publish, stored_views, webhook

NAMES = ["a", "b", "c"]


class Killed(Exception):
    """Stands for kill -9."""


@pytest.mark.parametrize("is_overwritten", [True, False])
async def test_what_is_archived_leaves_the_log_and_reads_as_before(
    client: Client,
    log: JetStreamLog,
    engine: AsyncEngine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_overwritten: bool,
) -> None:
    if not is_overwritten:
        monkeypatch.setattr("offhook.jetstream.retention.BLOCK_BYTES_MAX", 0)
    await settled_calls(client, log, engine, NAMES)
    records = await rows_in(engine, "event_log")
    views, before = await stored_views(engine), await _reads(engine)
    assert await subjects(client) == 2 * len(NAMES)

    done = await archive(client, engine, tmp_path)
    assert (done.sessions, done.records, done.segments) == (len(NAMES), records, 1)
    assert await rows_in(engine, "event_log") == 0
    assert await subjects(client) == 0
    assert await stored_views(engine) == views
    assert await _reads(engine) == before
    assert len(before["timeline a"]) == records / len(NAMES)


async def test_sessions_are_listed_in_parts_and_those_that_stay_once(
    client: Client,
    log: JetStreamLog,
    engine: AsyncEngine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first run over a long history had the ids of all its sessions in memory."""
    monkeypatch.setattr("offhook.projections.retention.archive.CANDIDATES_MAX", 2)
    await settled_calls(client, log, engine, NAMES)
    await publish(log, call("undecided"))
    await project(client, engine)
    done = await archive(client, engine, tmp_path, segment_sessions_max=1)
    assert (done.candidates, done.looked_at, done.sessions) == (4, 4, len(NAMES))
    assert done.kept.total() == 1


@pytest.mark.parametrize("waiting_max", [0, 10_000])
async def test_sessions_wait_for_those_after_them_to_leave_the_log_together(
    client: Client,
    log: JetStreamLog,
    engine: AsyncEngine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    waiting_max: int,
) -> None:
    """At each end of what left, up to 8 MB were overwritten a record at a time."""
    monkeypatch.setattr("offhook.projections.retention.leaving.RECORDS_MAX", 1)
    monkeypatch.setattr("offhook.projections.retention.leaving.WAITING_MAX", waiting_max)
    await settled_calls(client, log, engine, NAMES)
    steps: list[str] = []
    await archive(client, engine, tmp_path, at_step=steps.append, segment_sessions_max=1)
    # One session's records are all near those of the next.
    alone = ["registered", "marked", "a session left the log", "left the log"]
    waiting = ["registered", "marked", "left the log"]
    last = ["marked", *["a session left the log"] * len(NAMES), "left the log"]
    expected = [*waiting * len(NAMES), *last] if waiting_max else alone * len(NAMES)
    assert [each for each in steps if each not in ("begun", "written")] == expected
    assert await subjects(client) == 0
    assert await rows_in(engine, "event_log") == 0


@pytest.mark.parametrize("records_max", [1, 500_000])
async def test_what_leaves_the_log_beside_others_leaves_no_bytes(
    client: Client,
    log: JetStreamLog,
    engine: AsyncEngine,
    own_nats_server: NatsServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    records_max: int,
) -> None:
    monkeypatch.setattr("offhook.projections.retention.leaving.RECORDS_MAX", records_max)
    number = "+12025550199"
    await publish(log, call("undecided"))
    await settled_calls(client, log, engine, NAMES, number=number)
    files = [*(own_nats_server.directory / "store").rglob(f"{STREAM}*/msgs/*.blk")]
    assert any(number.encode() in each.read_bytes() for each in files)
    done = await archive(client, engine, tmp_path, segment_sessions_max=1)
    assert (done.sessions, done.kept.total()) == (len(NAMES), 1)
    assert not any(number.encode() in each.read_bytes() for each in files)


def test_a_record_is_not_taken_for_larger_than_it_is() -> None:
    """Or one that shares a file with others would not be overwritten."""
    record = HistoryRecord(
        position=64, session_id="s", side="in", type="WebhookReceived", version=1,
        stored_at=datetime(2026, 11, 28, tzinfo=UTC), body=b"{}", fact_id="e", headers={},
    )  # fmt: skip
    assert sizes_in([record, replace(record, position=128, body=b"")]) == {64: 2, 128: 0}


async def test_a_segment_can_be_read_with_nothing_but_its_files(
    client: Client, log: JetStreamLog, engine: AsyncEngine, tmp_path: Path
) -> None:
    await settled_calls(client, log, engine, NAMES)
    seqs = range(1, 1 + await rows_in(engine, "event_log"))
    await archive(client, engine, tmp_path)
    [file] = _segments(tmp_path)
    name = file.name.removesuffix(".jsonl.zst")
    manifest = read_manifest(str(tmp_path), name)
    records = [*records_in(segment_url(str(tmp_path), name))]
    assert sorted(each.position for each in records) == [*seqs]
    assert [each.session_id for each in manifest.blocks] == NAMES
    assert manifest.records == len(records)
    assert (manifest.first_position, manifest.last_position) == (seqs[0], seqs[-1])
    assert {each.fact_id for each in records} >= {"a-event-1", "outcome:a:a-answer"}


async def test_an_archive_can_be_anywhere_that_fsspec_reaches(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    await settled_calls(client, log, engine, ["a"])
    before = await _reads(engine, ["a"])
    await archive(client, engine, "memory://archive/offhook")
    assert await rows_in(engine, "event_log") == 0
    assert await _reads(engine, ["a"]) == before


async def test_a_second_run_archives_nothing_twice(
    client: Client, log: JetStreamLog, engine: AsyncEngine, tmp_path: Path
) -> None:
    await settled_calls(client, log, engine, NAMES)
    await archive(client, engine, tmp_path)
    again = await archive(client, engine, tmp_path)
    assert (again.candidates, again.sessions) == (0, 0)
    assert await rows_in(engine, "archived_sessions") == len(NAMES)


async def test_a_rebuild_from_segments_gives_the_same_views(
    client: Client, log: JetStreamLog, engine: AsyncEngine, tmp_path: Path
) -> None:
    await settled_calls(client, log, engine, NAMES)
    views = await stored_views(engine)
    await archive(client, engine, tmp_path)
    found = await built(engine)
    assert (found.identical, found.unrecorded) == (True, 0)
    async with engine.begin() as connection:
        await connection.execute(text("truncate sessions, legs, commands, queue_visits"))
    await cut_over_version(engine)
    await cancel(engine)
    assert await stored_views(engine) == views


@pytest.mark.parametrize("is_known", [True, False])
async def test_a_late_record_survives_and_is_archived_too(
    is_known: bool, client: Client, log: JetStreamLog, engine: AsyncEngine, tmp_path: Path
) -> None:
    await settled_calls(client, log, engine, NAMES)
    await archive(client, engine, tmp_path)
    before, views = await _reads(engine), await stored_views(engine)
    event = webhook("b", events_of("b")[3]) if is_known else late("b")
    await publish(log, [event])
    await project(client, engine)
    assert await rows_in(engine, "event_log") == (0 if is_known else 1)
    after = await _reads(engine)
    if is_known:
        assert after == before
        assert await stored_views(engine) == views
    else:
        assert after["timeline b"][:-1] == before["timeline b"]
        assert after["timeline b"][-1].fields["event_id"] == "b-late"
    assert (await built(engine)).identical
    assert len(await log.read("b")) == 1


async def test_archiving_between_a_rebuild_its_cutover_and_its_rollback_changes_no_row(
    client: Client, log: JetStreamLog, engine: AsyncEngine, tmp_path: Path
) -> None:
    await settled_calls(client, log, engine, NAMES)
    await built(engine)
    assert (await archive(client, engine, tmp_path)).sessions == len(NAMES)
    await publish(log, [late("a")])
    await project(client, engine)
    before = await stored_views(engine)
    await cut_over_version(engine)
    assert await stored_views(engine) == before
    await publish(log, [late("b")])
    await project(client, engine)
    before = await stored_views(engine)
    await roll_back(engine)
    assert await stored_views(engine) == before
    assert (await built(engine)).identical


async def test_sessions_that_are_not_settled_stay(
    client: Client, log: JetStreamLog, engine: AsyncEngine, tmp_path: Path
) -> None:
    await settle(log, call("done"))
    await settle(log, [webhook("up", event) for event in events_of("up")[1:6]])
    await publish(log, call("undecided"))
    await project(client, engine)
    done = await archive(client, engine, tmp_path)
    assert done.sessions == 2  # a call without a hangup has ended after a few hours
    assert done.kept == {"has records that no worker has settled": 1}
    archiver = Archiver(client, engine, str(tmp_path))
    assert (await archiver.run(OLD, datetime.now(UTC))).candidates == 0
    with pytest.raises(OperatorFault, match="at least 1 day"):
        await archiver.run(timedelta(hours=3), datetime.now(UTC))


async def test_imported_sessions_wait_for_their_age_and_for_no_decision(
    client: Client, log: JetStreamLog, engine: AsyncEngine, tmp_path: Path
) -> None:
    """Captured webhooks have none, and stayed in the log forever. The age counts from the import:
    more of a session may follow."""
    stored_at = datetime(2026, 1, 1, tzinfo=UTC)
    for number, entry in enumerate(call("captured"), start=1):
        headers = imported_headers(number, stored_at)
        await log.append(entry.session_id, entry.side, entry.encoded, headers=headers)
    await project(client, engine)
    done = await Archiver(client, engine, str(tmp_path)).run(OLD, datetime.now(UTC))
    assert (done.sessions, done.kept) == (0, {"has newer records, or was imported since": 1})
    done = await archive(client, engine, tmp_path)
    assert (done.sessions, done.kept.total()) == (1, 0)
    assert await subjects(client) == 0


async def test_a_damaged_segment_is_an_error_and_harms_no_other_session(
    client: Client, log: JetStreamLog, engine: AsyncEngine, tmp_path: Path
) -> None:
    await settled_calls(client, log, engine, NAMES)
    await archive(client, engine, tmp_path, segment_sessions_max=1)
    damaged = await _segment_of(engine, "b")
    (tmp_path / f"{damaged}.jsonl.zst").write_bytes(b"\0" * 1000)
    async with engine.connect() as connection:
        with pytest.raises(ArchiveUnreadable, match="session b is archived"):
            await read_timeline(connection, "b")
        assert (await read_timeline(connection, "a")).entries
    await publish(log, [late("b"), late("c")])
    await project(client, engine)
    assert await rows_in(engine, "parked_sessions") == 1
    assert (await _reads(engine, ["c"]))["timeline c"][-1].fields["event_id"] == "c-late"


def test_no_snapshot_is_kept_until_its_session_is_archived() -> None:
    kept = snapshots_config(1).max_age
    assert kept is not None
    assert 0 < kept < OLDER_THAN_MIN.total_seconds()


async def test_two_runs_at_once_are_refused(
    client: Client, log: JetStreamLog, engine: AsyncEngine, tmp_path: Path
) -> None:
    await settled_calls(client, log, engine, ["a"])
    async with engine.connect() as connection:
        await connection.execute(
            text("select pg_advisory_lock(hashtextextended('offhook retention', 0))")
        )
        with pytest.raises(OperatorFault, match="another archive run"):
            await archive(client, engine, tmp_path)
        await connection.invalidate()
    assert (await archive(client, engine, tmp_path)).sessions == 1


STEPS = ("begun", "written", "registered", "marked", "a session left the log", "left the log")


@pytest.mark.parametrize("step", STEPS)
async def test_a_run_that_is_killed_loses_nothing_and_doubles_nothing(
    step: str, client: Client, log: JetStreamLog, engine: AsyncEngine, tmp_path: Path
) -> None:
    await settled_calls(client, log, engine, NAMES)
    views, before = await stored_views(engine), await _reads(engine)
    positions = [each.seq for name in NAMES for each in before[f"timeline {name}"]]

    def kill(done: str) -> None:
        if done == step:
            raise Killed

    with pytest.raises(Killed):
        await archive(client, engine, tmp_path, at_step=kill, segment_sessions_max=2)
    assert await _reads(engine) == before
    assert (await built(engine)).identical
    await cancel(engine)
    done = await archive(client, engine, tmp_path, segment_sessions_max=2)
    assert done.unfinished == {"registered": 2, "marked": len(NAMES)}.get(step, 0)
    assert await _reads(engine) == before
    assert await stored_views(engine) == views
    assert await rows_in(engine, "event_log") == 0
    assert await subjects(client) == 0
    assert await ArchivedMarks(client).contains("a")
    # What is in the files, all of them, is every record once.
    files = _segments(tmp_path)
    assert sorted(each.position for file in files for each in records_in(str(file))) == sorted(
        positions
    )


async def _reads(engine: AsyncEngine, names: list[str] = NAMES) -> dict[str, Any]:
    """What the API reads of the past of these sessions."""
    found: dict[str, Any] = {}
    async with engine.connect() as connection:
        for name in names:
            entries = (await read_timeline(connection, name)).entries
            found[f"timeline {name}"] = entries
            page = await read_timeline(connection, name, after_seq=entries[2].seq, limit=4)
            assert [each.seq for each in page.entries] == [each.seq for each in entries[3:7]]
            assert page.has_more
            for entry in entries[::7]:
                found[f"{name} as of {entry.seq}"] = await read_session_as_of(
                    connection, name, entry.seq
                )
                assert found[f"{name} as of {entry.seq}"] == await read_session_as_of(
                    connection, name, entry.stored_at
                )
    return found


async def _segment_of(engine: AsyncEngine, session_id: str) -> str:
    async with engine.connect() as connection:
        found = await connection.execute(
            text("select segment from archived_sessions where session_id = :id"),
            {"id": session_id},
        )
        return str(found.scalar_one())


def _segments(root: Path) -> list[Path]:
    return [*root.glob("*.jsonl.zst")]
