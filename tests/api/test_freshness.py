"""How new a read is, which the log has to be asked for."""

import asyncio
import secrets
from datetime import UTC, datetime

import pytest
from nats.aio.client import Client
from sqlalchemy import func, select

from offhook.api.errors import ErrorAnswer
from offhook.api.freshness import Views
from offhook.api.telnyx.legs import Legs
from offhook.cli.embedded.postgres_server import PostgresServer
from offhook.events import session_id_from
from offhook.jetstream.lookup import StreamLookup
from offhook.projections.views.database.engine import POOL_CONNECTIONS_MAX, open_database
from offhook.projections.views.parked import parked_sessions
from offhook.projections.views.progress.waiting import PositionWatch
from tests.api.stack import DEADLINE_S


async def test_a_log_that_is_slow_to_answer_holds_no_connection(
    postgres_server: PostgresServer,
    migrated: str,
) -> None:
    """All reads wait for it at once; else a few at a time would, and the rest for those."""
    reads = POOL_CONNECTIONS_MAX * 2
    asking, answer = 0, asyncio.Event()

    class Slow(StreamLookup):
        async def stored_after(self, seq: int) -> datetime | None:
            nonlocal asking
            asking += 1
            if asking == reads:
                answer.set()
            await answer.wait()
            return None

    url = postgres_server.create_database(f"api_{secrets.token_hex(4)}", template=migrated)
    engine = open_database(url)
    views = Views(engine, PositionWatch(engine), Slow(Client()), lambda: datetime.now(UTC))

    async def read() -> int | None:
        async with views.snapshot() as look:
            pass
        return look.meta.lag_ms

    async with asyncio.timeout(DEADLINE_S):
        assert await asyncio.gather(*(read() for _ in range(reads))) == [0] * reads
    await engine.dispose()


async def test_all_that_is_read_of_one_look_is_of_one_moment(
    postgres_server: PostgresServer,
    migrated: str,
) -> None:
    """Else a new session is found whose timeline, read just before, is empty."""

    class Quiet(StreamLookup):
        async def stored_after(self, seq: int) -> datetime | None:
            return None

    url = postgres_server.create_database(f"api_{secrets.token_hex(4)}", template=migrated)
    engine = open_database(url)
    views = Views(engine, PositionWatch(engine), Quiet(Client()), lambda: datetime.now(UTC))
    parked = select(func.count()).select_from(parked_sessions)
    async with views.snapshot() as look:
        before = await look.connection.scalar(parked)
        async with engine.begin() as other:
            now = datetime.now(UTC)
            row = {"session_id": "s", "since_seq": 1, "error": "e", "attempts": 1}
            await other.execute(parked_sessions.insert().values(**row, parked_at=now, tried_at=now))
        assert (before, await look.connection.scalar(parked)) == (0, 0)
    async with views.snapshot() as look:
        assert await look.connection.scalar(parked) == 1
    await engine.dispose()


async def test_what_was_notified_and_then_lost_is_not_in_the_views(
    postgres_server: PostgresServer,
    migrated: str,
) -> None:
    """Postgres notifies before it flushes: a breakdown may take back what a reader waited for."""

    class Told(PositionWatch):
        async def wait_for(self, position: int, timeout_s: float) -> int:
            return position

    url = postgres_server.create_database(f"api_{secrets.token_hex(4)}", template=migrated)
    engine = open_database(url)
    views = Views(engine, Told(engine), StreamLookup(Client()), lambda: datetime.now(UTC))
    with pytest.raises(ErrorAnswer) as raised:
        async with views.snapshot(min_seq=7):
            pass
    assert raised.value.status == 504
    assert "are at position 0:0 " in str(raised.value)
    await engine.dispose()


async def test_of_views_that_are_behind_no_leg_is_said_not_to_exist(
    postgres_server: PostgresServer,
    migrated: str,
) -> None:
    class Ahead(StreamLookup):
        last = 0

        async def last_positions(self) -> list[int]:
            return [self.last]

    url = postgres_server.create_database(f"api_{secrets.token_hex(4)}", template=migrated)
    engine = open_database(url)
    stream = Ahead(Client())
    views = Views(engine, PositionWatch(engine), stream, lambda: datetime.now(UTC))
    legs = Legs(views)
    assert await legs.read("v3:nobody") is None
    stream.last = 1
    with pytest.raises(ErrorAnswer) as raised:
        await legs.read("v3:perhaps")
    assert raised.value.status == 503
    # A command for it goes to the carrier all the same, which knows.
    assert await legs.session_of("v3:perhaps") == session_id_from("v3:perhaps")
    await engine.dispose()
