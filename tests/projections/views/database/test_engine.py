"""The engine behind a connection pooler: session mode works, transaction mode is refused."""

import asyncio
import sys
from types import FrameType
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.errors import OperatorFault
from offhook.jetstream.stream import PROJECTOR
from offhook.projections.views.database.engine import driver_in, driver_of, open_database
from offhook.projections.views.database.errors import reason_of
from offhook.projections.views.database.transactions import begun
from offhook.projections.views.progress.checkpoint import CHANNEL
from offhook.projections.views.progress.waiting import PositionWatch
from offhook.projections.views.schema.migrate import REVISION, migrate, require_migrated, revision
from tests.projections.conftest import MIGRATIONS
from tests.projections.views.database.pooler import pooler

PATIENCE_S = 60.0


async def test_a_pooler_in_session_mode_is_as_good_as_postgres(empty_database_url: str) -> None:
    """PgBouncer with its defaults let nobody in: "unsupported startup parameter: jit"."""
    async with pooler(empty_database_url, "session") as url:
        await migrate(url, MIGRATIONS)
        assert await revision(url) == REVISION
        engine = open_database(url, "through-a-pooler")
        async with engine.connect() as connection:
            settings = "jit", "timezone", "application_name"
            shown = [
                (await connection.execute(text(f"show {name}"))).scalar_one() for name in settings
            ]
            assert shown == ["off", "UTC", "through-a-pooler"]
        async with PositionWatch(engine) as watch, asyncio.timeout(PATIENCE_S):
            while await watch.wait_for(7, 0.05) < 7:  # it may not be listening yet
                async with engine.begin() as connection:
                    await connection.execute(
                        text("select pg_notify(:channel, :told)"),
                        {"channel": CHANNEL, "told": f"{PROJECTOR}:7"},
                    )
        await engine.dispose()


async def test_a_pooler_in_transaction_mode_is_refused_with_the_reason(database_url: str) -> None:
    """It said "prepared statement already exists", or lost a lock in silence."""
    async with pooler(database_url, "transaction") as url:
        for _ in range(2):
            with pytest.raises(OperatorFault, match="Set pool_mode = session for this database"):
                await require_migrated(url)
            with pytest.raises(OperatorFault, match="locks and the API's notifications"):
                await migrate(url, MIGRATIONS)


async def test_the_reason_of_an_error_is_what_postgres_said(engine: AsyncEngine) -> None:
    with pytest.raises(DBAPIError) as raised:
        async with engine.connect() as connection:
            await connection.execute(
                text("do $$ begin raise disk_full using message = 'no space left'; end $$")
            )
    assert reason_of(raised.value) == "Postgres: no space left"
    assert reason_of(FileNotFoundError(2, "gone")) == "FileNotFoundError(2, 'gone')"


async def test_a_connection_that_broke_in_the_pool_is_replaced(engine: AsyncEngine) -> None:
    async with engine.connect() as one, engine.connect() as other:
        pids = [
            (await each.execute(text("select pg_backend_pid()"))).scalar_one()
            for each in (one, other)
        ]
    ended = open_database(engine.url.render_as_string(hide_password=False))
    async with ended.connect() as connection:
        for pid in pids:  # and wait until it has ended
            await connection.execute(text(f"select pg_terminate_backend({pid}, 60000)"))
    await ended.dispose()
    for _ in pids:
        async with engine.connect() as connection:
            pid = (await connection.execute(text("select pg_backend_pid()"))).scalar_one()
            assert pid not in pids


async def test_a_connection_that_the_server_is_about_to_end_is_replaced(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So asyncpg takes a reason that has arrived before the end of the connection has."""
    execute, pinged = asyncpg.Connection.execute, 0

    async def ping(self: asyncpg.Connection, *given: Any, **options: Any) -> str:
        nonlocal pinged
        pinged += 1
        if pinged == 1:
            raise asyncpg.InternalClientError("cannot switch to state 15")
        return await execute(self, *given, **options)

    async with engine.connect() as connection:
        before = (await connection.execute(text("select pg_backend_pid()"))).scalar_one()
    monkeypatch.setattr(asyncpg.Connection, "execute", ping)
    async with engine.connect() as connection:
        assert (await connection.execute(text("select pg_backend_pid()"))).scalar_one() != before
    assert pinged > 1


async def test_sqlalchemy_takes_part_in_a_transaction_of_the_driver(engine: AsyncEngine) -> None:
    async with engine.connect() as connection, engine.connect() as another:

        async def write(first: int) -> None:
            driver = await driver_in(connection)
            await driver.execute("insert into begun_test values ($1)", first)
            await connection.execute(
                text("insert into begun_test values (:number)"), {"number": first + 1}
            )
            await driver.execute("insert into begun_test values ($1)", first + 2)

        async def write_and_fail() -> None:
            async with begun(connection):
                await write(4)
                raise OperatorFault("all of it is undone")

        async def numbers() -> list[int]:
            found = await another.execute(text("select number from begun_test order by number"))
            await another.commit()
            return list(found.scalars())

        await connection.execute(text("create table begun_test (number integer)"))
        await connection.commit()
        try:
            async with begun(connection):
                await write(1)
                assert await numbers() == []
            assert await numbers() == [1, 2, 3]
            with pytest.raises(OperatorFault):
                await write_and_fail()
            assert await numbers() == [1, 2, 3]
            async with connection.begin():
                await write(4)
            assert await numbers() == [1, 2, 3, 4, 5, 6]
        finally:
            await connection.execute(text("drop table begun_test"))
            await connection.commit()


async def test_an_array_is_sent_without_asking_what_its_elements_are(engine: AsyncEngine) -> None:
    texts, numbers = [f"text {number}" for number in range(100)], list(range(100))
    asked = 0

    def count(frame: FrameType, event: str, _: object) -> None:
        nonlocal asked
        asked += event == "call" and frame.f_code.co_name == "__instancecheck__"

    async with engine.connect() as connection:
        driver = await driver_of(connection)
        query = "select $1::text[] as texts, $2::bigint[] as numbers"
        await driver.fetchrow(query, texts, numbers)  # the driver looks the types up
        sys.setprofile(count)
        try:
            row = await driver.fetchrow(query, texts, tuple(numbers))
        finally:
            sys.setprofile(None)
    assert row is not None
    assert (row["texts"], row["numbers"]) == (texts, numbers)
    assert asked < 20  # asyncpg by itself asks 300 times
