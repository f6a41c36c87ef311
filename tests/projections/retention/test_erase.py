"""After an erasure nothing is left, anywhere, and what is counted is what it was."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.cli.embedded.nats_server import NatsServer
from offhook.errors import OperatorFault
from offhook.history.selection import Selection
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.snapshots import JetStreamSnapshots
from offhook.jetstream.timetable import JetStreamTimetable
from offhook.projections.rebuild.control import cancel
from offhook.projections.rebuild.run import cut_over_version
from offhook.projections.retention.erase import Eraser
from offhook.projections.retention.rows import IDS
from offhook.projections.views.analytics.grouping.wanted import GroupsWanted
from offhook.projections.views.analytics.groups import read_groups
from offhook.projections.views.analytics.timeseries import CallFilter, read_summary
from offhook.projections.views.past.selected_records import select_records
from offhook.projections.views.registry import VIEWS
from offhook.projections.views.search.session_filter import SessionFilter
from offhook.projections.views.search.session_lists import list_sessions
from tests.projections.rebuild.versions import built
from tests.projections.retention.erasing import (
    HERS,
    NAMES,
    NOW,
    calls,
    scanned,
    target_of,
    timeline_of,
)
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
    await calls(client, log, engine)
    await JetStreamTimetable(client).set(
        NAMES[0], "timer-1", due_at=NOW + timedelta(days=1), decided_seq=1
    )
    snapshots = JetStreamSnapshots(client)
    await archive(client, engine, tmp_path)
    for name in NAMES:
        await snapshots.write(name, b"what a worker has folded")
    await settle(log, [late(NAMES[0])])  # a record in the log, of an archived session
    await settled_calls(client, log, engine, ["call-of-hers-4"], number=HERS)
    target = await target_of(engine, numbers=[HERS])
    assert target.session_ids == (NAMES[0], NAMES[2], "call-of-hers-4")

    stores = [own_nats_server.directory / "store"]
    before = await scanned(engine, target, stores, tmp_path)
    found = {each.where.partition(" ")[0]: each.found for each in before.scanned if each.found}
    assert found.keys() == {"stream", "segments", "table"}
    timeline, analytics = await timeline_of(engine, NAMES[1]), await _analytics(engine)

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
    assert (await scanned(engine, target, stores, tmp_path)).found == 0
    assert await timeline_of(engine, NAMES[1]) == timeline
    assert await _analytics(engine) == analytics
    assert (await built(engine)).identical
    await cut_over_version(engine)
    await cancel(engine)
    assert await _analytics(engine) == analytics
    assert (await scanned(engine, target, stores, tmp_path)).found == 0


async def test_what_arrives_of_an_erased_session_is_dropped_and_erased_again(
    client: Client,
    log: JetStreamLog,
    engine: AsyncEngine,
    own_nats_server: NatsServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await calls(client, log, engine)
    target = await target_of(engine, [NAMES[0]])
    stores = [own_nats_server.directory / "store"]
    eraser = Eraser(client, engine, stores=stores)
    async with engine.connect() as reader:
        monkeypatch.setattr("offhook.projections.retention.vacuum.READERS_S", 0.1)
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


async def test_the_dial_that_placed_a_call_is_erased_with_it(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    await settle(log, dial_of("the-dial", "placed-call"))
    await settled_calls(client, log, engine, ["placed-call"])
    assert (await target_of(engine, ["placed-call"])).session_ids == ("placed-call", "the-dial")
    assert (await target_of(engine, ["the-dial"])).session_ids == ("placed-call", "the-dial")


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
    target = await target_of(engine, numbers=["+12025550102"])
    assert target.session_ids == ("archived", "undecided")
    assert (await Eraser(client, engine).erase(target)).sessions == 2
    assert await _with_number(engine, "+12025550102") == []


async def test_a_call_that_is_up_and_what_is_not_known_are_refused(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    await settle(log, [webhook("up", event) for event in events_of("up")[1:3]])
    await project(client, engine)
    with pytest.raises(OperatorFault, match="call that is up"):
        await target_of(engine, ["up"], now=datetime(2026, 11, 22, 12, 1, tzinfo=UTC))
    with pytest.raises(OperatorFault, match="no session 'unknown'"):
        await target_of(engine, ["unknown"])
    with pytest.raises(OperatorFault, match=r"no session has number '\+12025550188'"):
        await target_of(engine, numbers=["+12025550188"])
    with pytest.raises(OperatorFault, match="not an E"):
        await target_of(engine, numbers=["Anna"])


async def _with_number(engine: AsyncEngine, number: str) -> list[str]:
    """By the search, and by the commands that read the history."""
    async with engine.connect() as connection:
        page = await list_sessions(connection, SessionFilter(number=number), limit=10, now=NOW)
        records = select_records(connection, Selection(numbers=[number]))
        selected = {record.session_id async for record in records}
    assert selected == {each.session_id for each in page}
    return sorted(selected)


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
