"""Sessions with decisions in a range of time, over several partitions, read and never written."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from offhook.position import position_of
from offhook.projections.views.past.decided import (
    ROWS_AT_ONCE,
    list_decided,
    read_rows,
    reading_only,
)
from offhook.projections.views.stored.event_log import event_log

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
MINUTES = 60


async def add(engine: AsyncEngine, rows: Sequence[dict[str, Any]]) -> None:
    async with engine.begin() as connection:
        await connection.execute(event_log.insert(), rows)


def row(session_id: str, partition: int, seq: int, type_name: str, minute: int) -> dict[str, Any]:
    return {
        "seq": position_of(partition, seq),
        "session_id": session_id,
        "side": "in" if type_name == "WebhookReceived" else "out",
        "type": type_name,
        "version": 1,
        "stored_at": NOON + timedelta(minutes=minute),
        "body": f"{session_id} {seq}".encode(),
    }


@pytest.fixture
async def connection(engine: AsyncEngine, database_url: str) -> Any:
    """A session a minute, alternately in partitions 0 and 3, decided a second record later."""
    rows = []
    for minute in range(MINUTES):
        name, partition = f"s{minute:02}", 3 * (minute % 2)
        # Gaps in the positions, as a log has that was cut.
        rows.append(row(name, partition, 100 + 7 * minute, "WebhookReceived", minute))
        rows.append(row(name, partition, 103 + 7 * minute, "Decided", minute))
    rows.append(row("undecided", 1, 5, "WebhookReceived", 30))
    rows.append(row("parked", 2, 5, "SessionParked", 59))
    await add(engine, rows)
    async with reading_only(database_url, "test") as connection:
        yield connection


@pytest.mark.parametrize("minute", [-1, 0, 1, 30, 58, 59, 60])
async def test_since_and_until_cut_the_log_in_two(connection: AsyncConnection, minute: int) -> None:
    at = NOON + timedelta(minutes=minute)
    everything = await list_decided(connection, limit=1000)
    later = await list_decided(connection, since=at, limit=1000)
    earlier = await list_decided(connection, until=at, limit=1000)
    assert len(everything) == MINUTES + 1
    assert earlier + later == everything
    assert len(earlier) == max(0, minute) + (minute > MINUTES - 1)


async def test_an_import_of_old_records_hides_no_later_ones(
    engine: AsyncEngine, connection: AsyncConnection, database_url: str
) -> None:
    everything = await list_decided(connection, limit=1000)
    # They have the last positions, and keep their times.
    await add(engine, [row(f"old{n}", n, 9_000, "Decided", minute=-99) for n in (0, 1, 2, 3)])
    async with reading_only(database_url, "test") as later:
        assert await list_decided(later, since=NOON, limit=1000) == everything
        assert (await list_decided(later, until=NOON, limit=9))[0].startswith("old")


async def test_the_latest_are_taken_and_come_in_order_of_time(connection: AsyncConnection) -> None:
    assert await list_decided(connection, limit=4) == ["s57", "s58", "parked", "s59"]
    chosen = await list_decided(connection, session_ids=["s09", "s08", "undecided"], limit=9)
    assert chosen == ["s08", "s09"]


async def test_records_come_session_by_session_in_pages(
    connection: AsyncConnection, engine: AsyncEngine
) -> None:
    long = [row("long", 0, 1000 + seq, "WebhookReceived", 60) for seq in range(ROWS_AT_ONCE)]
    await add(engine, long)
    pages = [page async for page in read_rows(connection, ["s01", "long", "s00"])]
    assert [len(page) for page in pages] == [ROWS_AT_ONCE, 4]
    rows = [each for page in pages for each in page]
    assert [each[0] for each in rows] == ["long"] * ROWS_AT_ONCE + ["s00"] * 2 + ["s01"] * 2
    assert rows[-1] == (
        "s01", position_of(3, 110), "Decided", 1, NOON + timedelta(minutes=1), b"s01 110"
    )  # fmt: skip


async def test_what_was_read_keeps_nothing_open_in_the_server(connection: AsyncConnection) -> None:
    for minute in range(10):
        assert [page async for page in read_rows(connection, [f"s{minute:02}"])]
    # The first is this statement itself.
    found = await connection.execute(text("select count(*) from pg_cursors"))
    assert found.scalar_one() <= 2


async def test_nothing_can_be_written(connection: AsyncConnection) -> None:
    for statement in ("delete from event_log", "create table other (a int)"):
        with pytest.raises(Exception, match=r"read-only|cannot execute"):
            await connection.execute(text(statement))
        await connection.rollback()
