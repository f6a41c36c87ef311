"""The demo's verdict on a report and views that agree, and on every way in which they may not."""

import time
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import delete, update
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.cli.demo.verdict import verdict
from offhook.cli.embedded.postgres_server import PostgresServer
from offhook.projections.views.commands import commands
from offhook.projections.views.database.engine import open_database
from offhook.projections.views.legs import legs
from offhook.projections.views.stored.event_log import event_log

EVENT = {"id": "e1", "event_type": "call.hangup"}
LEG = {
    "call_control_id": "v3:a",
    "call_session_id": "s1",
    "answered_at": "2026-11-22T10:00:01.000000Z",
    "ended_at": "2026-11-22T10:00:09.000000Z",
    "hangup_cause": "normal_clearing",
}
EFFECT = {
    "at": "2026-11-22T10:00:00.500000Z",
    "operation": "answer",
    "command_id": "c1",
    "count": 1,
}
BOOKS: dict[str, Any] = {
    "events": [EVENT],
    "legs": [LEG],
    "effects": [EFFECT],
    "doubled": [],
    "webhooks": {"duplicates": 0, "held_back": 0},
    "forgotten": {"effects": 0, "events": 0, "legs": 0},
}


STORED = {
    "seq": 1,
    "session_id": "s1",
    "side": "in",
    "type": "WebhookReceived",
    "version": 1,
    "event_id": "e1",
    "stored_at": datetime.fromisoformat("2026-11-22T10:00:00.400Z"),
    "body": b"{}",
}
LEG_ROW = {
    "call_control_id": "v3:a",
    "session_id": "s1",
    "state": "ended",
    "answered_at": datetime.fromisoformat(LEG["answered_at"]),
    "ended_at": datetime.fromisoformat(LEG["ended_at"]),
    "hangup_cause": "normal_clearing",
    "last_seq": 1,
}
COMMAND_ROW = {
    "session_id": "s1",
    "command_id": "c1",
    "operation": "answer",
    "status": "succeeded",
    "answer": {"data": {"result": "ok"}},
    "attempts": 1,
    "cause_seq": 1,
    "ordinal": 0,
    "last_seq": 1,
}


@pytest.fixture
async def engine(postgres_server: PostgresServer, migrated: str) -> AsyncIterator[AsyncEngine]:
    url = postgres_server.create_database(f"verdict_{time.time_ns()}", template=migrated)
    engine = open_database(url)
    async with engine.begin() as connection:
        await connection.execute(event_log.insert(), [STORED])
        await connection.execute(legs.insert(), [LEG_ROW])
        await connection.execute(commands.insert(), [COMMAND_ROW])
    yield engine
    await engine.dispose()


async def test_equal_books_are_clean(engine: AsyncEngine) -> None:
    found = await verdict(engine, BOOKS)
    assert found.is_clean, (found.lost, found.doubled)
    assert (found.calls, found.legs, found.events, found.commands) == (1, 1, 1, 1)
    assert found.command_ms == [100.0]


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (delete(event_log), "webhook call.hangup e1"),
        (delete(legs), "leg v3:a is in no view"),
        (update(legs).values(hangup_cause="timeout"), "hangup_cause is timeout"),
        (update(legs).values(answered_at=None), "answered_at is None"),
        (update(commands).values(status="pending"), "answer c1 has no outcome"),
        (
            update(commands).values(status="failed", reason="deadline"),
            "answer c1 was given up at its deadline",
        ),
        (update(commands).values(command_id="c2"), "answer c2 succeeded in the views"),
    ],
)
async def test_what_the_views_lack_is_lost(engine: AsyncEngine, spoil: Any, told: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(spoil)
    found = await verdict(engine, BOOKS)
    assert not found.is_clean
    assert any(told in problem for problem in found.lost), found.lost


async def test_an_effect_performed_twice_is_doubled(engine: AsyncEngine) -> None:
    twice = {**EFFECT, "count": 2}
    found = await verdict(engine, {**BOOKS, "effects": [twice], "doubled": [twice]})
    assert found.doubled == ["answer c1 × 2"]


async def test_an_effect_that_no_view_knows_is_lost(engine: AsyncEngine) -> None:
    stranger = {**EFFECT, "command_id": "c9"}
    found = await verdict(engine, {**BOOKS, "effects": [EFFECT, stranger]})
    assert found.lost == ["effect answer c9 is in no view"]
