"""The swap of two versions: readers and the projector notice nothing, and it can be undone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from nats.aio.client import Client
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from offhook.cli.embedded.postgres_server import PostgresServer
from offhook.errors import OperatorFault
from offhook.jetstream.log import JetStreamLog
from offhook.projections.projector.project import Projector
from offhook.projections.rebuild import cutover
from offhook.projections.rebuild.aside import lock_versions
from offhook.projections.rebuild.control import read_status
from offhook.projections.rebuild.cutover import _snapshots_gone, end_grace, roll_back
from offhook.projections.rebuild.run import cut_over_version
from offhook.projections.views.database.engine import driver_of, open_database
from offhook.projections.views.database.transactions import name_transaction, read_at_one_moment
from tests.projections.rebuild.versions import (
    NAMES,
    WRONG,
    built,
    projected,
    run_sql,
    schemas_aside,
    value,
)
from tests.projections.story import (
    TIMEOUT_S,
    call,
    caught_up,
    cold_views,
    projecting,
    publish,
    stored_views,
)

READERS = 4

WAITING_BATCHES = (
    "select count(*) from pg_stat_activity where datname = current_database()"
    " and wait_event_type = 'Lock' and query like 'with %'"
)


@pytest.mark.usefixtures("patient_projector")
async def test_under_load_no_query_fails_and_none_is_stale(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    await projected(client, log, engine)
    names = [*NAMES]
    async with projecting(Projector(client, engine)) as projector, _reading(engine) as counted:
        async with _calling(log, names):
            await built(engine)
            await cut_over_version(engine)
            await roll_back(engine)
            await built(engine)
            await cut_over_version(engine)
        await caught_up(client, engine)
        assert projector.progress.restarts == 0
    assert counted["reads"] > 10
    assert counted["stale"] == 0
    assert await stored_views(engine) == await cold_views(log, sorted(names))


async def test_a_projector_that_waits_with_a_batch_is_not_in_the_way(
    client: Client, log: JetStreamLog, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await projected(client, log, engine)
    await built(engine)
    attempts = 0

    async def until_a_batch_waits(*connections: AsyncConnection) -> None:
        nonlocal attempts
        attempts += 1
        await publish(log, call(f"meanwhile{attempts}"))
        await _batch_waits(engine)

    monkeypatch.setattr(cutover, "_snapshots_gone", until_a_batch_waits)
    async with projecting(Projector(client, engine)):
        await cut_over_version(engine)
        await caught_up(client, engine)
    assert attempts == 1
    assert await stored_views(engine) == await cold_views(log, sorted(["meanwhile1", *NAMES]))


async def test_a_rollback_holds_the_projector_off_before_it_locks_the_tables(
    client: Client, log: JetStreamLog, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or it would find one of them in use by a batch, again and again."""
    await projected(client, log, engine)
    await built(engine)
    await cut_over_version(engine)
    attempts = 0

    async def once_a_batch_waits(connection: AsyncConnection, live: str, aside: str) -> None:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            await publish(log, call("meanwhile"))
        await _batch_waits(engine)
        await lock_versions(connection, live, aside)

    monkeypatch.setattr(cutover, "lock_versions", once_a_batch_waits)
    async with projecting(Projector(client, engine)):
        await roll_back(engine)
        await caught_up(client, engine)
    assert attempts > 0
    assert await schemas_aside(engine) == 0
    assert await stored_views(engine) == await cold_views(log, sorted(["meanwhile", *NAMES]))


async def test_a_rollback_has_what_came_after_the_cutover(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    await projected(client, log, engine)
    await publish(log, call("half")[:5])
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)
        await run_sql(engine, WRONG["queue_visits"])
        await built(engine)
        await cut_over_version(engine)
        await publish(log, [*call("half")[5:], *call("after")])
        await caught_up(client, engine)
        rebuilt = await stored_views(engine)
        assert rebuilt == await cold_views(log, ["after", "half", *NAMES])
        reached = await roll_back(engine)
        assert reached == {0: await value(engine, "select seq from checkpoint")}
        before = await stored_views(engine)
        # What the version before had wrong, it has wrong again; all else is the same.
        assert {name: before[name] for name in ("sessions", "legs", "commands")} == {
            name: rebuilt[name] for name in ("sessions", "legs", "commands")
        }
        wrong = [row["session_id"] for row in before["queue_visits"] if row["wait_s"] == 0]
        assert wrong == ["s6"]
        await publish(log, call("later"))
        await caught_up(client, engine)
    assert await schemas_aside(engine) == 0
    views = await stored_views(engine)
    assert views["legs"] == (await cold_views(log, ["after", "half", "later", *NAMES]))["legs"]
    with pytest.raises(OperatorFault, match="there is no version before"):
        await roll_back(engine)


async def test_rows_that_are_deleted_after_the_cutover_do_not_come_back(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    await projected(client, log, engine)
    await built(engine)
    await cut_over_version(engine)
    for table in ("sessions", "legs", "commands", "queue_visits", "event_log"):
        await run_sql(engine, f"delete from {table} where session_id = 's5'")
    await roll_back(engine)
    assert await stored_views(engine) == await cold_views(log, sorted({*NAMES} - {"s5"}))


async def test_indexes_keys_and_grants_come_along(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    await projected(client, log, engine, ["s"])
    role = f"reader_{engine.url.database}"
    await run_sql(engine, f'create role "{role}"')
    await run_sql(engine, f'grant select on sessions, legs to "{role}"')
    await run_sql(engine, "create index of_my_own on legs (lower(from_number), talk_s desc)")
    await run_sql(engine, "alter table legs set (autovacuum_vacuum_scale_factor = 0.05)")
    before = await _described(engine)
    assert len(before) > 25
    assert [each for each in before if "fillfactor=70,autovacuum" in each]
    await built(engine)
    await cut_over_version(engine)
    assert await _described(engine) == before
    await roll_back(engine)
    assert await _described(engine) == before
    await run_sql(engine, f'drop owned by "{role}"')
    await run_sql(engine, f'drop role "{role}"')


async def test_a_transaction_that_stays_open_delays_it_and_nobody_else(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    await projected(client, log, engine)
    await built(engine)
    async with engine.connect() as staying:
        await staying.execute(text("select count(*) from legs"))
        cutting = asyncio.create_task(cut_over_version(engine))
        for _ in range(20):  # over several of its attempts
            assert await value(engine, "select count(*) from legs") == 2 * len(NAMES)
            await asyncio.sleep(0.05)
        assert not cutting.done()
        async with projecting(Projector(client, engine)):
            await publish(log, call("meanwhile"))
            await caught_up(client, engine)
        await staying.rollback()
        await cutting
    assert await stored_views(engine) == await cold_views(log, ["meanwhile", *NAMES])


async def test_a_table_that_is_never_free_is_said_so(
    client: Client, log: JetStreamLog, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await projected(client, log, engine, ["s"])
    await built(engine)
    for what in (
        "pg_backend_pid() from (select count(*) from legs) as counted",
        "pg_backend_pid()",
    ):
        async with engine.connect() as staying:
            await read_at_one_moment(staying)
            await name_transaction(staying, "the report")
            pid = (await staying.execute(text(f"select {what}"))).scalar_one()
            with monkeypatch.context() as patch:
                patch.setattr(cutover, "ATTEMPTS_S", 0.5)
                patch.setattr(cutover, "SNAPSHOTS_S", 0.1)
                with pytest.raises(OperatorFault) as refused:
                    await cut_over_version(engine)
        assert f"the report (process {pid}, open for" in str(refused.value)
        assert f"pg_terminate_backend({pid})" in str(refused.value)
    await cut_over_version(engine)


async def test_the_version_before_goes_with_its_grace_period(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    await projected(client, log, engine)
    await built(engine)
    assert not await end_grace(engine)  # a version that is being built is none before
    await cut_over_version(engine, grace_s=3600)
    assert not await end_grace(engine)
    await run_sql(engine, "update public_rebuild.build set grace_until = now()")
    async with projecting(Projector(client, engine)):
        await publish(log, call("more"))
        await caught_up(client, engine)
        assert await end_grace(engine)
        assert not await end_grace(engine)
        await publish(log, call("still"))
        await caught_up(client, engine)
    assert await schemas_aside(engine) == 0
    assert (await read_status(engine)).build is None
    assert await stored_views(engine) == await cold_views(log, sorted(["more", "still", *NAMES]))


async def _batch_waits(engine: AsyncEngine) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not await value(engine, WAITING_BATCHES):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@asynccontextmanager
async def _calling(log: JetStreamLog, names: list[str]) -> AsyncIterator[None]:
    enough = asyncio.Event()

    async def keep_calling() -> None:
        while not enough.is_set():
            names.append(f"more{len(names)}")
            await publish(log, call(names[-1]))

    calling = asyncio.create_task(keep_calling())
    yield
    enough.set()
    await calling


@asynccontextmanager
async def _reading(engine: AsyncEngine) -> AsyncIterator[dict[str, int]]:
    """Readers who first read the position, then the views, which must be as new as that."""
    counted = {"reads": 0, "stale": 0}
    enough = asyncio.Event()

    async def keep_reading(at_one_moment: bool) -> None:
        while not enough.is_set():
            async with engine.connect() as connection:
                if at_one_moment:
                    await read_at_one_moment(connection)
                seq = (await connection.execute(text("select seq from checkpoint"))).scalar_one()
                found = await connection.execute(
                    text(
                        "select max(greatest(sessions.last_seq, legs.last_seq)), count(*)"
                        " from sessions join legs using (session_id)"
                    )
                )
                newest, rows = found.one()
                counted["reads"] += 1
                counted["stale"] += newest < seq or rows < 2 * len(NAMES)
            await asyncio.sleep(0)

    readers = [asyncio.create_task(keep_reading(number % 2 == 0)) for number in range(READERS)]
    yield counted
    enough.set()
    await asyncio.gather(*readers)


async def _described(engine: AsyncEngine) -> list[str]:
    async with engine.connect() as connection:
        found = await connection.execute(
            text(
                "select pg_get_indexdef(indexrelid) from pg_index join pg_class on oid = indrelid"
                " where relnamespace = to_regnamespace('public')"
                " union all"
                " select format('%s %s %s', relname, conname, pg_get_constraintdef(c.oid))"
                " from pg_constraint c join pg_class on pg_class.oid = conrelid"
                " where connamespace = to_regnamespace('public')"
                " union all select format('%s %s %s', relname, relacl, reloptions) from pg_class"
                " where relnamespace = to_regnamespace('public') and relkind = 'r' order by 1"
            )
        )
        return list(found.scalars())


async def test_an_autovacuum_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has a snapshot all the time: the cutover gave up after a minute, and named nobody."""
    monkeypatch.setattr("offhook.projections.rebuild.cutover.SNAPSHOTS_S", 0.0)
    with PostgresServer() as server:
        engine = open_database(server.create_database("vacuumed"))
        async with engine.connect() as first, engine.connect() as second:
            for statement in _SLOW_AUTOVACUUM:
                await (await driver_of(first)).execute(statement)
            began = None
            async with asyncio.timeout(TIMEOUT_S):
                while began is None:
                    await first.execute(text("select pg_sleep(0.05)"))
                    began = await _autovacuum(first)
            await _snapshots_gone(first, second)
            assert await _autovacuum(first) == began
        await engine.dispose()


_SLOW_AUTOVACUUM = (
    "alter system set autovacuum = on",
    "alter system set autovacuum_naptime = 1",
    "select pg_reload_conf()",
    "create table filled (number int) with (autovacuum_vacuum_insert_threshold = 1,"
    " autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1)",
    "insert into filled select generate_series(1, 100000)",
)


async def _autovacuum(connection: AsyncConnection) -> Any:
    """When the one that has a snapshot began; None if there is none."""
    found = await connection.execute(
        text(
            "select xact_start from pg_stat_activity"
            " where backend_type = 'autovacuum worker' and backend_xmin is not null"
            " and query like '%filled%'"
        )
    )
    began = found.scalar_one_or_none()
    await connection.commit()
    return began
