"""A batch in one statement: committed as in two, or nothing of it is, and the two are needed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from offhook.errors import CheckpointMoved
from offhook.jetstream.stream import PROJECTOR
from offhook.projections.projector import batch
from offhook.projections.projector.batch import Applied, Projection
from offhook.projections.projector.checkpoint import Fence, begin
from offhook.projections.projector.leases import Leases
from offhook.projections.views.analytics.rollups.tables import ROLLUPS
from offhook.projections.views.database.engine import driver_of, open_database
from offhook.projections.views.database.transactions import begun
from offhook.projections.views.progress.checkpoint import checkpoint, read_checkpoint
from offhook.projections.views.registry import TABLES
from offhook.projections.views.schema.migrate import hold_off_projectors
from offhook.projections.views.stored.erasures import digest_of
from offhook.projections.views.stored.event_log import StoredRecord
from tests.projections.projector.records import stored_records
from tests.projections.story import NOON, blocked, call, interleaved, stored_views

FENCE = Fence(seq=0, epoch=3)
RECORDS = stored_records(interleaved([call("a"), call("b")]))
HALF = len(RECORDS) // 2


@pytest.fixture(autouse=True)
def always_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "PLAIN_IN_A_ROW_MIN", 0)


@pytest.fixture
async def connection(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    async with ready_to_write(engine) as connection:
        yield connection


@asynccontextmanager
async def ready_to_write(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    async with engine.connect() as connection:
        async with connection.begin():
            await begin(connection, PROJECTOR, NOON)
        driver = await driver_of(connection)
        await Leases(engine, PROJECTOR).add(driver, [0])
        await driver.execute("update projector_leases set holder = 'self', epoch = 3")
        yield connection


async def plainly(
    connection: AsyncConnection, projection: Projection, records: list[StoredRecord], fence: Fence
) -> Applied | None:
    return await projection.apply_plain(await driver_of(connection), records, {0: fence})


async def in_two(
    connection: AsyncConnection, projection: Projection, records: list[StoredRecord], fence: Fence
) -> Applied:
    async with begun(connection):
        return await projection.apply(connection, records, {0: fence})


async def contents(engine: AsyncEngine) -> list[list[str]]:
    """Every row of every table that a projector writes, in order, and when they were changed."""
    async with engine.connect() as connection:
        return [
            sorted(
                (await connection.execute(text(f"select t::text || xmin from {table.name} as t")))
                .scalars()
                .all()
            )
            for table in TABLES
        ]


async def test_it_writes_what_two_statements_write(
    engine: AsyncEngine, connection: AsyncConnection
) -> None:
    written = []
    for way in (plainly, in_two):
        async with engine.begin() as emptying:
            # The roll-ups are emptied with the legs, by the trigger on those.
            names = ", ".join(table.name for table in TABLES if table not in (*ROLLUPS, checkpoint))
            await emptying.execute(text(f"truncate {names}"))
            await emptying.execute(text("update checkpoint set seq = 0"))
        projection, done = Projection(PROJECTOR), []
        for at in range(0, len(RECORDS), 5):
            applied = await way(
                connection, projection, RECORDS[at : at + 5], Fence(seq=at, epoch=3)
            )
            assert applied is not None
            assert applied.is_plain
            projection.keep(applied)
            done.append((applied.positions, applied.copied, applied.repeated, applied.parked))
        async with engine.connect() as reading:
            rows = [
                sorted((await reading.execute(text(f"select t::text from {each} as t"))).scalars())
                for each in ("event_log", "webhook_sums")
            ]
            found = await read_checkpoint(reading, PROJECTOR)
        assert found is not None
        written.append((done, rows, found.seq, await stored_views(engine)))
    assert written[0] == written[1]
    assert written[0][2] == len(RECORDS)


@pytest.mark.parametrize(
    "before",
    [
        "update checkpoint set seq = 1",
        "update projector_leases set epoch = 4",
        "delete from projector_leases",
        "insert into erased_sessions values ('DIGEST')",
        "insert into parked_sessions values ('b', 1, 'an error', 1, now(), now())",
        "insert into archived_sessions values ('b', 'segment', 0, 1, 1, 1, 1, '{}')",
    ],
)
async def test_nothing_is_written_of_a_batch_that_is_not_plain(
    engine: AsyncEngine, connection: AsyncConnection, before: str
) -> None:
    async with engine.begin() as changing:
        await changing.execute(text(before.replace("DIGEST", digest_of("b"))))
    found = await contents(engine)
    assert await plainly(connection, Projection(PROJECTOR), RECORDS, FENCE) is None
    assert await contents(engine) == found


async def test_a_batch_of_a_lease_that_changed_hands_is_refused_in_either_way(
    engine: AsyncEngine, connection: AsyncConnection
) -> None:
    async with engine.begin() as changing:
        await changing.execute(text("update projector_leases set holder = 'other', epoch = 4"))
    projection, found = Projection(PROJECTOR), await contents(engine)
    assert await plainly(connection, projection, RECORDS, FENCE) is None
    with pytest.raises(CheckpointMoved):
        await in_two(connection, projection, RECORDS, FENCE)
    assert await contents(engine) == found


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
async def test_what_is_erased_while_a_batch_waits_stays_erased(
    engine: AsyncEngine, database_url: str, isolation: str
) -> None:
    """A database can have another default; its statements do not see what they waited for."""
    async with engine.begin() as changing:
        name = (await changing.execute(text("select current_database()"))).scalar_one()
        await changing.execute(
            text(f"alter database \"{name}\" set default_transaction_isolation = '{isolation}'")
        )
    own, projection = open_database(database_url), Projection(PROJECTOR)
    again = stored_records(interleaved([call("c"), call("d")]), after_seq=len(RECORDS))
    try:
        async with ready_to_write(own) as connection:
            # A statement that is not prepared yet would wait before it begins.
            applied = await plainly(connection, projection, RECORDS, FENCE)
            assert applied is not None
            projection.keep(applied)
            found = await contents(engine)
            async with engine.begin() as erasing:
                await hold_off_projectors(erasing)
                await erasing.execute(
                    text(f"insert into erased_sessions values ('{digest_of('d')}')")
                )
                fence = Fence(seq=len(RECORDS), epoch=3)
                applying = asyncio.create_task(plainly(connection, projection, again, fence))
                await blocked(engine, "nothing as")
            assert await applying is None
        assert await contents(engine) == found
    finally:
        await own.dispose()


async def test_records_that_are_there_already_are_not_copied_plainly(
    engine: AsyncEngine, connection: AsyncConnection
) -> None:
    projection = Projection(PROJECTOR)
    applied = await plainly(connection, projection, RECORDS[:HALF], FENCE)
    assert applied is not None
    projection.keep(applied)
    found, fence = await contents(engine), Fence(seq=HALF, epoch=3)
    again = stored_records([call("a")[0], *call("c")], after_seq=HALF)
    assert await plainly(connection, projection, again, fence) is None
    # A session whose first records are not in memory, as after a restart.
    assert await plainly(connection, Projection(PROJECTOR), RECORDS[HALF:], fence) is None
    assert await contents(engine) == found
    applied = await in_two(connection, projection, again, fence)
    assert (applied.repeated, applied.is_plain) == (1, False)


async def test_a_record_that_cannot_be_read_or_stored_is_left_to_two_statements(
    engine: AsyncEngine, connection: AsyncConnection
) -> None:
    found = await contents(engine)
    for odd in (b"{", b"\xff"):
        first, *others = RECORDS
        unread = StoredRecord(**{**vars(first), "body": odd, "record": None, "error": "odd"})
        assert await plainly(connection, Projection(PROJECTOR), [unread, *others], FENCE) is None
    assert await contents(engine) == found


async def test_after_one_that_is_not_plain_several_must_be(
    connection: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "PLAIN_IN_A_ROW_MIN", 2)
    projection, ways = Projection(PROJECTOR), ""
    records = [*RECORDS[:8], *stored_records([call("a")[0]], after_seq=8)]
    records += stored_records(call("c"), after_seq=9)
    for at, record in enumerate(records):
        fence = Fence(seq=at, epoch=3)
        applied = await plainly(connection, projection, [record], fence)
        ways += "2" if applied is None else "1"
        projection.keep(applied or await in_two(connection, projection, [record], fence))
    # The ninth record repeats an event: the attempt is for nothing, and so are the next two.
    assert ways == "22111111222" + "1" * (len(records) - 11)
