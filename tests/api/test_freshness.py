"""How new a read is, which the log has to be asked for."""

import asyncio
import secrets
from datetime import UTC, datetime

from nats.aio.client import Client

from api.freshness import Views
from api.stream import Stream
from cli.servers import PostgresServer
from projections.database import POOL_CONNECTIONS_MAX, open_database
from projections.schema import migrate
from projections.waiting import PositionWatch
from tests.api.stack import DEADLINE_S, ROOT


async def test_a_log_that_is_slow_to_answer_holds_no_connection(
    postgres_server: PostgresServer,
) -> None:
    """All reads wait for it at once; else a few at a time would, and the rest for those."""
    reads = POOL_CONNECTIONS_MAX * 2
    asking, answer = 0, asyncio.Event()

    class Slow(Stream):
        async def stored_after(self, seq: int) -> datetime | None:
            nonlocal asking
            asking += 1
            if asking == reads:
                answer.set()
            await answer.wait()
            return None

    url = postgres_server.create_database(f"api_{secrets.token_hex(4)}")
    await migrate(url, ROOT / "migrations")
    engine = open_database(url)
    views = Views(engine, PositionWatch(engine), Slow(Client()), lambda: datetime.now(UTC))

    async def read() -> int | None:
        async with views.look() as look:
            pass
        return look.meta.lag_ms

    async with asyncio.timeout(DEADLINE_S):
        assert await asyncio.gather(*(read() for _ in range(reads))) == [0] * reads
    await engine.dispose()
