"""Waiting for the views, and how far they are."""

import asyncio
from dataclasses import asdict
from typing import Any

import asyncpg
import pytest
from nats.aio.client import Client
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.stream import PROJECTOR
from offhook.projections.projector.project import Projector
from offhook.projections.views.progress.checkpoint import read_checkpoint
from offhook.projections.views.progress.waiting import PositionWatch
from tests.projections.story import (
    TIMEOUT_S,
    call,
    last_seq,
    projecting,
    publish,
)


async def test_readers_wait_until_the_views_have_a_record(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    async with PositionWatch(engine) as watch, projecting(Projector(client, engine)):
        waiting = [asyncio.create_task(watch.wait_for(seq, TIMEOUT_S)) for seq in range(1, 14)]
        await publish(log, call("s"))
        reached = await asyncio.gather(*waiting)
        assert all(position >= seq for seq, position in enumerate(reached, start=1))
        assert watch.reached(0) == len(call("s"))
        async with asyncio.timeout(TIMEOUT_S):
            assert await watch.wait_for(1000, 0.1) == watch.reached(0)


async def test_a_watch_hears_of_views_that_were_emptied(
    projected: int, engine: AsyncEngine
) -> None:
    """Or it would say of them that they have everything, until they are filled again."""
    async with PositionWatch(engine) as watch:
        assert await watch.wait_for(projected, TIMEOUT_S) == projected
        async with engine.begin() as connection:
            await connection.execute(text("truncate checkpoint"))
        async with asyncio.timeout(TIMEOUT_S):
            while watch.reached(0):  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_a_watch_survives_its_connection(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    async with PositionWatch(engine) as watch, projecting(Projector(client, engine)):
        await publish(log, call("a"))
        assert await watch.wait_for(1, TIMEOUT_S) >= 1
        async with engine.connect() as connection:
            await connection.execute(
                text(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where datname = current_database() and pid <> pg_backend_pid()"
                )
            )
        await publish(log, call("b"))
        wanted = await last_seq(client)
        assert await watch.wait_for(wanted, TIMEOUT_S) == wanted


async def test_a_watch_survives_a_connection_that_breaks_before_it_listens(
    client: Client, log: JetStreamLog, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    listen, broken = asyncpg.Connection.add_listener, 0

    async def break_first(connection: asyncpg.Connection, *channel: Any) -> None:
        nonlocal broken
        broken += 1
        if broken == 1:
            connection.terminate()
        await listen(connection, *channel)

    monkeypatch.setattr(asyncpg.Connection, "add_listener", break_first)
    async with PositionWatch(engine) as watch, projecting(Projector(client, engine)):
        await publish(log, call("a"))
        wanted = await last_seq(client)
        assert await watch.wait_for(wanted, TIMEOUT_S) == wanted
    assert broken >= 2


async def test_the_checkpoint_tells_how_far_and_how_fast(
    projected: int, engine: AsyncEngine
) -> None:
    async with engine.connect() as connection:
        found = await read_checkpoint(connection, PROJECTOR)
    assert found is not None
    assert found.seq == projected
    assert 0 <= found.lag_ms < 60_000
    assert "lag_ms" not in asdict(found)
