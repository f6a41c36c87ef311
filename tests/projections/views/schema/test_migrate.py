"""The migrations, against the tables of `offhook.projections.views.registry`."""

import asyncio
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from offhook.errors import OperatorFault, SettingInvalid
from offhook.projections.views.analytics.rollups.triggers import FUNCTIONS, TRIGGER, TRIGGERS
from offhook.projections.views.database.engine import asyncpg_url, open_database
from offhook.projections.views.schema.migrate import (
    REVISION,
    Migrating,
    downgrade,
    migrate,
    require_migrated,
    revision,
)
from offhook.projections.views.view import metadata
from tests.projections.story import TIMEOUT_S
from tests.projections.views.schema.sessions import insert_session


async def test_migrations_make_the_tables_that_the_code_knows(engine: AsyncEngine) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        return list(compare_metadata(context, metadata))

    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_indexes_have_the_order_and_the_condition_that_the_code_knows(
    engine: AsyncEngine,
) -> None:
    # compare_metadata does not look at conditions.
    asked = text(
        "select indexdef from pg_indexes where schemaname = 'public'"
        " and tablename <> 'alembic_version' order by indexname"
    )
    async with engine.begin() as connection:
        migrated = (await connection.execute(asked)).scalars().all()
        await connection.run_sync(metadata.drop_all)
        await connection.run_sync(metadata.create_all)
        assert (await connection.execute(asked)).scalars().all() == migrated


async def test_migrating_twice_changes_nothing(database_url: str, migrations: Path) -> None:
    await migrate(database_url, migrations)
    assert await revision(database_url) == REVISION


async def test_downgrade_leaves_nothing(database_url: str, migrations: Path) -> None:
    await downgrade(database_url, migrations, "base")
    assert await revision(database_url) is None
    engine = open_database(database_url)
    async with engine.connect() as connection:
        found = await connection.execute(
            text("select tablename from pg_tables where schemaname = 'public'")
        )
        assert found.scalars().all() == ["alembic_version"]
    await engine.dispose()
    await migrate(database_url, migrations)
    assert await revision(database_url) == REVISION


async def test_histograms_are_read_until_those_in_blocks_are_made(
    empty_database_url: str, migrations: Path
) -> None:
    await migrate(empty_database_url, migrations, "0028")
    engine = open_database(empty_database_url)
    async with engine.connect() as looking, engine.connect() as reading:
        await reading.execute(text("grant select on leg_classes to pg_monitor"))
        await reading.commit()
        await reading.execute(text("select from leg_classes"))
        migrating = asyncio.create_task(migrate(empty_database_url, migrations, "0029"))
        async with asyncio.timeout(TIMEOUT_S):
            while not (waiting := await _waiting(looking)):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert [each.strip().lower() for each in waiting] == ["drop table leg_classes"]
        await reading.rollback()
        await migrating
        may = "select has_table_privilege('pg_monitor', :table, 'select')"
        for table in ("leg_classes", "leg_costs"):
            assert (await looking.execute(text(may), {"table": table})).scalar_one()
    await engine.dispose()


async def test_numbers_are_searched_by_the_indexes_before_until_the_new_ones_are_made(
    empty_database_url: str, migrations: Path
) -> None:
    await migrate(empty_database_url, migrations, "0029")
    engine = open_database(empty_database_url)
    async with engine.connect() as looking, engine.connect() as searching:
        await insert_session(looking, "s")
        await looking.execute(
            text(
                "insert into legs (call_control_id, session_id, state, from_number, to_number,"
                " last_seq) values ('l', 's', 'ended', '+12025550101', '+4930123456', 2)"
            )
        )
        await looking.commit()
        before = await _indexes(looking)
        await searching.execute(text("select from legs"))
        migrating = asyncio.create_task(migrate(empty_database_url, migrations, "0030"))
        async with asyncio.timeout(TIMEOUT_S):
            while not (waiting := await _waiting(looking)):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert [each.strip().lower() for each in waiting] == ["drop index legs_from_number_index"]
        await searching.rollback()
        await migrating
        after = await _indexes(looking)
        assert after.keys() - before.keys() == {"sessions_failed_commands_words_index"}
        changed = [name for name in before if after[name] != before[name]]
        assert len(changed) == 4
        assert all(after[name].count("session_id") == 1 for name in changed)
        for place in ("from_number like '+1202%'", "reverse(to_number) like '654321%'"):
            await looking.execute(text("set local enable_seqscan = off"))
            found = await looking.execute(text(f"select session_id from legs where {place}"))
            assert found.scalars().all() == ["s"]
        await looking.rollback()
        await downgrade(empty_database_url, migrations, "0029")
        assert await _indexes(looking) == before
    await engine.dispose()


async def _indexes(looking: AsyncConnection) -> dict[str, str]:
    """The definitions of the indexes of sessions and legs that are ready."""
    async with looking.begin():
        found = await looking.execute(
            text(
                "select relname, pg_get_indexdef(indexrelid) from pg_index"
                " join pg_class on oid = indexrelid where indisvalid"
                " and indrelid in ('sessions'::regclass, 'legs'::regclass)"
            )
        )
        return {name: definition for name, definition in found}


@pytest.mark.parametrize(
    "steps",
    [
        (
            "insert into sessions (session_id, status, leg_count, parked, first_seq, last_seq)"
            " values ('s', 'ended', 1, false, 1, 2)",
            "insert into legs (call_control_id, session_id, state, last_seq)"
            " values ('l', 's', 'ended', 2)",
        ),
        ("select session_id from sessions", "select session_id from legs"),
    ],
    ids=["a projector", "a reader"],
)
async def test_a_migration_waits_for_what_is_at_work(
    empty_database_url: str, migrations: Path, steps: tuple[str, str]
) -> None:
    await migrate(empty_database_url, migrations, "0002")
    engine = open_database(empty_database_url)
    async with engine.connect() as looking, engine.connect() as connection, connection.begin():
        await connection.execute(text(steps[0]))
        migrating = asyncio.create_task(migrate(empty_database_url, migrations))
        async with asyncio.timeout(TIMEOUT_S):
            while not await _is_waited_for(looking):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await connection.execute(text(steps[1]))
    await migrating
    await engine.dispose()
    assert await revision(empty_database_url) == REVISION


async def test_an_upgrade_says_what_it_does_and_which_projector_is_of_the_version_before(
    empty_database_url: str, migrations: Path
) -> None:
    said: list[Migrating] = []
    warnings: list[str] = []
    await migrate(empty_database_url, migrations, "0026", report=said.append, warn=warnings.append)
    assert (said, warnings) == ([], [])  # everything is new
    engine = open_database(empty_database_url)
    async with engine.connect() as running:
        await running.execute(text(_RUNNING))
        await running.execute(
            text(
                "insert into leg_classes (kind, level, starts_at, shard, value, legs, micros)"
                " values ('talk', 'month', '2026-10-01T00:00:00Z', 0, 1, 1, 1)"
            )
        )
        await running.commit()
        await migrate(
            empty_database_url, migrations, "0029", report=said.append, warn=warnings.append
        )
    await engine.dispose()
    applied = [(each.revision, each.part, each.parts) for each in said]
    assert applied == [
        *[("0027", 0, None), ("0027", 0, 1)],
        ("0028", 0, None),
        *[("0029", 0, None), *(("0029", part, 48) for part in range(48))],
    ]
    assert said[2].title.startswith("Indexes of the numbers of dials")
    [warning] = warnings
    assert "the projector old-1 is running" in warning


_RUNNING = """
insert into projectors select 'projector', 'old-1', now(), now() + interval '1 hour', pid,
    backend_start from pg_stat_activity where pid = pg_backend_pid()
union all select 'projector', 'killed', now(), now() + interval '1 hour', 1, now()
"""


async def _is_waited_for(looking: AsyncConnection) -> bool:
    return bool(await _waiting(looking))


async def _waiting(looking: AsyncConnection) -> list[str]:
    """The statements that wait for another connection."""
    async with looking.begin():
        found = await looking.execute(
            text(
                "select query from pg_stat_activity where datname = current_database()"
                " and cardinality(pg_blocking_pids(pid)) > 0"
            )
        )
        return [*found.scalars()]


async def test_a_database_that_was_not_migrated_is_refused(empty_database_url: str) -> None:
    with pytest.raises(OperatorFault, match="run `offhook migrate`"):
        await require_migrated(empty_database_url)


def test_the_revision_in_the_code_is_the_newest_migration(migrations: Path) -> None:
    assert ScriptDirectory(str(migrations)).get_current_head() == REVISION


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://offhook:p%40ss@db:5432/calls",
        "postgresql+asyncpg://offhook:p%40ss@db:5432/calls",
        "postgresql+psycopg://offhook:p%40ss@db:5432/calls",
    ],
)
def test_any_postgres_url_gets_the_driver(url: str) -> None:
    assert asyncpg_url(url) == "postgresql+asyncpg://offhook:p%40ss@db:5432/calls"


@pytest.mark.parametrize(
    "url", ["", "calls", "mysql://offhook@db/calls", "postgresql://offhook:secret@db:five/calls"]
)
def test_what_is_no_postgres_url_is_refused_without_telling_it(url: str) -> None:
    with pytest.raises(SettingInvalid, match="OFFHOOK_POSTGRES_URL is not a PostgreSQL URL") as no:
        asyncpg_url(url)
    assert "secret" not in str(no.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://postgres@127.0.0.1:1/postgres",
        "postgresql://postgres@nobody.invalid/postgres",
        "postgresql://postgres@/postgres?host=/nowhere",
    ],
)
async def test_a_postgres_that_does_not_answer_is_the_operators_to_mend(
    url: str, migrations: Path
) -> None:
    told = "^cannot connect to Postgres: .*; see OFFHOOK_POSTGRES_URL$"
    with pytest.raises(OperatorFault, match=told):
        await require_migrated(url)
    with pytest.raises(OperatorFault, match=told):
        await migrate(url, migrations)


async def test_the_triggers_are_those_that_the_code_knows(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        functions = await connection.execute(
            text("select proname, prosrc from pg_proc where starts_with(proname, :name)"),
            {"name": TRIGGER},
        )
        found = await connection.execute(
            text(
                "select lower(pg_get_triggerdef(oid)) from pg_trigger"
                " where starts_with(tgname, :name) and not tgisinternal"
            ),
            {"name": TRIGGER},
        )
    assert {row.proname: _words(row.prosrc) for row in functions} == {
        name: _words(body) for name, body in FUNCTIONS.items()
    }
    assert {_words(each.replace("public.", "")) for each in found.scalars()} == {
        _words(each) for each in TRIGGERS
    }


def _words(statement: str) -> str:
    return " ".join(statement.split())
