"""The views: Postgres, and the revision of its schema."""

import asyncio
from dataclasses import replace
from uuid import uuid4

import pytest
from sqlalchemy import text

from offhook.cli.embedded.postgres_server import PostgresServer
from offhook.projections.views.database.engine import open_database
from offhook.projections.views.schema.migrate import REVISION
from offhook.settings import Settings
from tests.cli.doctor.checks import (
    look,
    only_wrong,
)


def test_a_database_that_was_not_migrated_or_too_far(
    good: Settings, postgres_server: PostgresServer
) -> None:
    async def set_revision(url: str, revision: str) -> None:
        engine = open_database(url)
        async with engine.begin() as connection:
            await connection.execute(
                text("create table if not exists alembic_version (version_num text primary key)")
            )
            await connection.execute(text("delete from alembic_version"))
            await connection.execute(
                text("insert into alembic_version values (:revision)"), {"revision": revision}
            )
        await engine.dispose()

    url = postgres_server.create_database(f"doctor_{uuid4().hex}")
    empty = replace(good, postgres_url=url)
    finding = only_wrong(look(empty))
    assert finding.found == f"none; this Offhook needs {REVISION}"
    assert finding.fix == "offhook migrate"
    asyncio.run(set_revision(url, "0001"))
    assert only_wrong(look(empty)).found.startswith("0001; ")
    asyncio.run(set_revision(url, "9999"))
    later = only_wrong(look(empty))
    assert later.found.startswith("9999, of a newer Offhook")
    assert "install the version of Offhook" in later.fix


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("postgresql://postgres@127.0.0.1:1/postgres", "it does not answer: "),
        ("not a url", "OFFHOOK_POSTGRES_URL is not a PostgreSQL URL"),
    ],
)
def test_a_database_that_is_not_there(good: Settings, url: str, found: str) -> None:
    finding = only_wrong(look(replace(good, postgres_url=url)))
    assert (finding.place, finding.check) == ("views", "Postgres")
    assert finding.found.startswith(found)
    assert "OFFHOOK_POSTGRES_URL" in finding.fix


def test_a_database_by_another_name_does_not_exist(
    good: Settings, postgres_server: PostgresServer
) -> None:
    gone = replace(good, postgres_url=postgres_server.url_of("nobodys"))
    assert 'database "nobodys" does not exist' in only_wrong(look(gone)).found
