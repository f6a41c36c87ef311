"""Records of the copy of the log, selected and in order."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, get_args

import pytest
from sqlalchemy import insert, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from offhook.errors import SelectionInvalid
from offhook.history.lines import HistoryRecord
from offhook.history.selection import Selection
from offhook.position import position_of
from offhook.projections.views.fold import folded_from
from offhook.projections.views.legs import LEGS, leg_rows
from offhook.projections.views.past.selected_records import (
    Order,
    count_records,
    merged,
    require_sessions,
    select_records,
)
from offhook.projections.views.stored.event_log import event_log, read_stored
from offhook.projections.views.view import columns_of
from tests.projections.story import NOON, call

# The second partition begins in between; its last record came before the one ahead of it.
PLACES: dict[str, tuple[int, list[float]]] = {"a": (0, [0, 1, 2, 3]), "b": (5, [0.5, 2.5, 2.4, 9])}


@pytest.fixture
async def connection(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    async with engine.connect() as connection, connection.begin():
        for session_id, (partition, seconds) in PLACES.items():
            entries = zip(call(session_id), seconds, strict=False)
            stored = [
                read_stored(
                    seq=position_of(partition, number),
                    session_id=session_id,
                    side=entry.side,
                    type=entry.encoded.type,
                    version=entry.encoded.version,
                    stored_at=NOON + timedelta(seconds=second),
                    body=entry.encoded.body,
                    headers={"telnyx-timestamp": str(number)},
                )
                for number, (entry, second) in enumerate(entries, start=1)
            ]
            await connection.execute(insert(event_log), [each.row() for each in stored])
            folded = folded_from(session_id, [each.record for each in stored if each.record])
            rows = [columns_of(LEGS.table, row) for row in leg_rows(folded)]
            await connection.execute(insert(LEGS.table), rows)
        yield connection


async def selected(
    connection: AsyncConnection, order: Order = "position", **fields: Any
) -> list[HistoryRecord]:
    chosen = Selection(**fields)
    return [record async for record in select_records(connection, chosen, order=order)]


def named(records: Sequence[HistoryRecord]) -> list[str]:
    """`a1` is the first record of session a."""
    return [f"{each.session_id}{each.position % 2**47}" for each in records]


async def test_by_position_a_partition_follows_another(connection: AsyncConnection) -> None:
    found = await selected(connection)
    assert named(found) == ["a1", "a2", "a3", "a4", "b1", "b2", "b3", "b4"]
    assert [each.side for each in found] == ["in", "out", "out", "in"] * 2
    assert found[0].fact_id == "a-event-1"
    assert found[3].headers == {"telnyx-timestamp": "4"}
    assert [each.body for each in found] == [
        entry.encoded.body for name in PLACES for entry in call(name)[:4]
    ]


async def test_by_time_partitions_are_merged_and_no_session_is_reordered(
    connection: AsyncConnection,
) -> None:
    found = await selected(connection, "time")
    assert named(found) == ["a1", "b1", "a2", "a3", "b2", "b3", "a4", "b4"]


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"since": NOON + timedelta(seconds=2.5)}, ["a4", "b2", "b4"]),
        ({"until": NOON + timedelta(seconds=1)}, ["a1", "b1"]),
        ({"first_position": 3, "last_position": position_of(5, 1)}, ["a3", "a4", "b1"]),
        ({"sessions": ["b"]}, ["b1", "b2", "b3", "b4"]),
        ({"numbers": ["+1 202 555 0100"]}, ["a1", "a2", "a3", "a4", "b1", "b2", "b3", "b4"]),
        ({"numbers": ["+12025550199"]}, []),
        ({"types": ["Decided"]}, ["a2", "b2"]),
        ({"types": ["call.answered"], "sessions": ["a"]}, ["a4"]),
    ],
)
async def test_what_is_selected(
    connection: AsyncConnection, fields: dict[str, Any], names: list[str]
) -> None:
    for order in get_args(Order):
        assert sorted(named(await selected(connection, order, **fields))) == names
    if "types" not in fields:
        assert await count_records(connection, Selection(**fields)) == len(names)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"sessions": ["a", "none"]}, "session 'none' has no records"),
        ({"numbers": ["+12025550199"]}, r"no session has number '\+12025550199'"),
    ],
)
async def test_what_is_not_there_is_named(
    connection: AsyncConnection, fields: dict[str, Any], named: str
) -> None:
    with pytest.raises(SelectionInvalid, match=named):
        await require_sessions(connection, Selection(**fields))


async def test_headers_that_were_not_copied_are_asked_of_the_log(
    connection: AsyncConnection,
) -> None:
    await connection.execute(update(event_log).values(headers=None).where(event_log.c.seq <= 2))

    async def headers_at(position: int) -> Mapping[str, str] | None:
        return {"traceparent": "from the log"} if position == 1 else None

    chosen = Selection(sessions=["a"])
    found = [each async for each in select_records(connection, chosen, headers_at=headers_at)]
    assert [dict(each.headers) for each in found] == [
        {"traceparent": "from the log"},
        {},
        {"telnyx-timestamp": "3"},
        {"telnyx-timestamp": "4"},
    ]


async def test_nothing_merged_is_nothing() -> None:
    assert [each async for each in merged([])] == []
