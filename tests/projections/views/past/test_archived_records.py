"""What is selected is the same before and after sessions are archived, in the same order."""

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from sqlalchemy import delete, insert, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from offhook.errors import OperatorFault
from offhook.history.lines import line_of
from offhook.history.segments import write_segment
from offhook.history.selection import Selection
from offhook.position import partition_of, position_of
from offhook.projections.retention.rows import erase_rows
from offhook.projections.retention.segment_rows import segment_values, session_values
from offhook.projections.retention.settled import archived_from
from offhook.projections.views.past.archived_records import archived_in_order
from offhook.projections.views.past.changes import read_changes
from offhook.projections.views.past.decided import list_decided, read_rows
from offhook.projections.views.past.positions import read_time_of
from offhook.projections.views.past.selected_records import (
    Order,
    count_records,
    require_sessions,
    select_records,
    select_session_ids,
)
from offhook.projections.views.past.session_as_of import read_session_as_of
from offhook.projections.views.past.session_log import read_own_records, read_record
from offhook.projections.views.sessions import read_session
from offhook.projections.views.stored.archive import (
    archive_segments,
    archived_after,
    archived_sessions,
)
from offhook.projections.views.stored.event_log import StoredRecord, event_log, read_with_headers
from tests.projections.partitioned import STORED_FROM, PartitionedLog, project
from tests.projections.story import call

NAMES = [f"s{number}" for number in range(8)]
ARCHIVED = ["s1", "s2", "s3", "s5", "s6"]
LAST = len(NAMES) * len(call("s"))  # seconds from the first record to the last, and one


@pytest.fixture
async def connection(engine: AsyncEngine) -> Any:
    """Sessions of three partitions that go on side by side."""
    log = PartitionedLog(of={name: (0, 3, 3, 1)[at % 4] for at, name in enumerate(NAMES)})
    dice = random.Random(7)
    waiting = {name: list(call(name)) for name in NAMES}
    while waiting:
        name = dice.choice(sorted(waiting))
        log.append(waiting[name].pop(0))
        if not waiting[name]:
            del waiting[name]
    async with engine.connect() as connection:
        await project(connection, log)
        async with connection.begin():
            yield connection


async def move(connection: AsyncConnection, root: Path, session_ids: Sequence[str]) -> None:
    """Archive these sessions' rows, each with a repeated delivery, into segments of two."""
    for at in range(0, len(session_ids), 2):
        sessions = []
        for session_id in session_ids[at : at + 2]:
            rows = (await read_with_headers(connection, [session_id]))[session_id]
            sessions.append(archived_from(rows, [_again(rows)]))
        name = f"segment-{session_ids[at]}-{len(session_ids)}"
        manifest = write_segment(str(root), name, sessions)
        await connection.execute(
            insert(archive_segments).values(
                name=name, root=str(root), begun_at=STORED_FROM, archived_at=STORED_FROM,
                **segment_values(manifest),
            )
        )  # fmt: skip
        await connection.execute(
            insert(archived_sessions), [session_values(name, each) for each in manifest.blocks]
        )
    await connection.execute(delete(event_log).where(event_log.c.session_id.in_(session_ids)))


def _again(rows: Sequence[StoredRecord]) -> StoredRecord:
    """A delivery that is left out, where it is most in the way: before all others."""
    return replace(rows[0], seq=rows[0].seq - 1)


def seconds(number: float) -> datetime:
    return STORED_FROM + timedelta(seconds=number)


SELECTIONS: list[dict[str, Any]] = [
    {},
    {"since": seconds(LAST / 3), "until": seconds(LAST / 2)},
    {"since": seconds(LAST - 3)},
    {"until": seconds(5)},
    {"first_position": 9, "last_position": 20},
    {"sessions": ["s0", "s3", "s6"]},
    {"numbers": ["+12025550100"], "since": seconds(30)},
    {"types": ["call.hangup", "Decided"]},
]


async def test_a_position_has_the_same_time_after_its_session_was_archived_or_erased(
    connection: AsyncConnection, tmp_path: Path
) -> None:
    """A list as of a position of the archive was empty."""
    found = await connection.execute(text("select seq from event_log"))
    positions = [*found.scalars(), position_of(2, 9), position_of(3, 0), position_of(0, 999)]
    before = [await read_time_of(connection, each) for each in positions]
    assert before[-3:-1] == [None, None]
    await move(connection, tmp_path, ARCHIVED)
    assert [await read_time_of(connection, each) for each in positions] == before
    last = await connection.execute(
        text("select last_seq, last_stored_at from sessions where session_id = 's4'")
    )
    seq, stored_at = last.one()
    await erase_rows(connection, ["s0", "s4"])
    assert await read_time_of(connection, seq) == stored_at
    found = await connection.execute(
        text("select session_id from sessions where last_seq = :seq"), {"seq": seq}
    )
    erased = found.scalar_one()
    assert erased.startswith("erased:")
    kept = await read_session(connection, erased)
    assert kept is not None
    for as_of, seen in ((seq, kept), (stored_at, kept), (seq - 1, None), (STORED_FROM, None)):
        assert await read_session_as_of(connection, erased, as_of) == seen


async def test_a_session_is_followed_from_its_first_record_after_it_was_archived(
    connection: AsyncConnection, tmp_path: Path
) -> None:
    """The stream of it was empty, and that of all sessions left its records out in silence."""
    ends = [position_of(partition, 0) for partition in range(4)]
    before = await read_changes(connection, ends[3], position_of(3, 999), "s1")
    assert len(before.changes) == len(call("s1"))
    assert not await archived_after(connection, ends)
    await move(connection, tmp_path, ARCHIVED)
    assert await read_changes(connection, ends[3], position_of(3, 999), "s1") == before
    found = await connection.execute(text("select session_id, last_seq from archived_sessions"))
    lasts: dict[int, int] = {}
    for _, last in found.all():
        lasts[partition_of(last)] = max(last, lasts.get(partition_of(last), 0))
    for partition, end in enumerate(ends):
        assert await archived_after(connection, [end]) == (partition in lasts)
    assert not await archived_after(connection, [*lasts.values()])
    assert await archived_after(connection, [lasts[3], lasts[1] - 1])


async def test_every_selection_is_the_same_after_sessions_were_archived(
    connection: AsyncConnection, tmp_path: Path
) -> None:
    before = [await _selected(connection, fields) for fields in SELECTIONS]
    assert len(before[0]["position"]) == LAST
    assert all(each["position"] for each in before)
    await move(connection, tmp_path, ARCHIVED)
    assert [await _selected(connection, fields) for fields in SELECTIONS] == before
    assert await count_records(connection, Selection()) == LAST
    assert await count_records(connection, Selection(sessions=["s0", "s1"])) == LAST / 4
    await require_sessions(connection, Selection(sessions=["s1"], numbers=["+12025550100"]))


async def test_the_order_does_not_depend_on_how_much_is_in_memory(
    connection: AsyncConnection, tmp_path: Path
) -> None:
    await move(connection, tmp_path, ARCHIVED)
    found = [each async for each in archived_in_order(connection)]
    assert [each.position for each in found] == sorted(each.position for each in found)
    again = [each async for each in archived_in_order(connection, held_bytes_max=1)]
    assert again == found


async def test_what_came_later_is_beside_the_archived_records_or_in_another_segment(
    connection: AsyncConnection, tmp_path: Path
) -> None:
    rows = (await read_with_headers(connection, ["s2"]))["s2"]
    before = [await _selected(connection, fields) for fields in SELECTIONS]
    decided = await list_decided(connection, limit=100)
    await connection.execute(delete(event_log).where(event_log.c.seq >= rows[-3].seq,
                                                     event_log.c.session_id == "s2"))  # fmt: skip
    await move(connection, tmp_path, ARCHIVED)
    await connection.execute(insert(event_log), [each.row() for each in rows[-3:]])
    for _ in range(2):
        assert [await _selected(connection, fields) for fields in SELECTIONS] == before
        assert await list_decided(connection, limit=100) == decided
        [page] = [page async for page in read_rows(connection, ["s2"])]
        assert [row[1] for row in page] == [row.seq for row in rows]
        if await has_rows(connection, "s2"):
            await move(connection, tmp_path, ["s2"])


async def test_a_session_is_read_as_it_was_stored(
    connection: AsyncConnection, tmp_path: Path
) -> None:
    before = await read_own_records(connection, "s2")
    positions = [each.seq for each in before.records]
    assert (len(positions), before.has_more) == (len(call("s2")), False)
    first = await read_record(connection, "s2", positions[0])
    assert first is not None
    assert first.record == before.records[0]
    await move(connection, tmp_path, ARCHIVED)
    assert await read_own_records(connection, "s2") == before
    archived = await read_record(connection, "s2", positions[0])
    assert archived is not None
    assert (archived.record, archived.body) == (first.record, first.body)
    assert await read_record(connection, "s1", positions[0]) is None
    early = await read_own_records(connection, "s2", positions[2])
    assert [each.seq for each in early.records] == positions[:3]


async def has_rows(connection: AsyncConnection, session_id: str) -> bool:
    return bool((await read_with_headers(connection, [session_id]))[session_id])


@pytest.mark.parametrize("limit", [1, 3, 100])
async def test_a_flow_is_tried_on_the_same_sessions(
    limit: int, connection: AsyncConnection, tmp_path: Path
) -> None:
    # Some of the sessions went on for days.
    await connection.execute(
        text(
            "update event_log set stored_at = stored_at + interval '9 days'"
            " where session_id in ('s1', 's4') and seq % 2 = 0"
        )
    )
    await connection.execute(
        text(
            "update sessions set last_stored_at = (select max(stored_at) from event_log"
            " where event_log.session_id = sessions.session_id)"
        )
    )
    ranges: list[dict[str, Any]] = [
        {},
        {"since": seconds(LAST / 2)},
        {"until": seconds(LAST / 2)},
        {"since": seconds(LAST)},
        {"session_ids": ["s1", "s4", "s5"], "until": seconds(LAST)},
    ]
    before = [await list_decided(connection, limit=limit, **each) for each in ranges]
    rows = await _rows(connection)
    assert len(before[0]) == min(limit, len(NAMES))
    await move(connection, tmp_path, ARCHIVED)
    assert [await list_decided(connection, limit=limit, **each) for each in ranges] == before
    assert await _rows(connection) == rows


@pytest.mark.parametrize("is_there", [False, True])
async def test_a_segment_that_cannot_be_read_is_named(
    is_there: bool, connection: AsyncConnection, tmp_path: Path
) -> None:
    await move(connection, tmp_path, ["s1"])
    file = tmp_path / "segment-s1-1.jsonl.zst"
    file.unlink()
    if is_there:
        file.write_bytes(b"\0" * 100)
    reads = (
        lambda: _selected(connection, {}),
        lambda: list_decided(connection, limit=1),
        lambda: _rows(connection),
    )
    for read in reads:
        with pytest.raises(
            OperatorFault, match=r"session s1 is archived in .*segment-s1-1\.jsonl\.zst"
        ):
            await read()
    # Sessions that are elsewhere do not need it.
    assert (await _selected(connection, {"sessions": ["s0"]}))["position"]
    assert await list_decided(connection, session_ids=["s0"], limit=9) == ["s0"]


async def _selected(connection: AsyncConnection, fields: dict[str, Any]) -> dict[str, Any]:
    """The lines in each order, and the sessions."""
    selection = Selection(**fields)
    found: dict[str, Any] = {
        order: [
            line_of(record) async for record in select_records(connection, selection, order=order)
        ]
        for order in get_args(Order)
    }
    if not selection.types:
        ids = [each async for each in select_session_ids(connection, selection)]
        assert len(ids) == len(set(ids))
        found["sessions"] = sorted(ids)
    return found


async def _rows(connection: AsyncConnection) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    async for page in read_rows(connection, NAMES):
        for row in page:
            found.setdefault(row[0], []).append(row[1:])
    return found
