"""Rebuilding in tests: build, compare, put in use."""

from collections.abc import Iterable
from typing import Any

from nats.aio.client import Client
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.jetstream.log import JetStreamLog
from offhook.projections.projector.project import Projector
from offhook.projections.rebuild.parity import Parity
from offhook.projections.rebuild.run import build_version
from tests.projections.story import (
    call,
    caught_up,
    interleaved,
    projecting,
    publish,
    queued,
)

NAMES = [f"s{number}" for number in range(20)]
RECORDS = 15
"""Of one call: 13, and two of its visit to a queue."""

WRONG = {
    "sessions": "update sessions set status = 'active', leg_count = 7 where session_id = 's3'",
    "legs": "delete from legs where session_id = 's4'",
    "commands": "insert into commands select 'nobody', command_id, operation, call_control_id,"
    " parameters, status, reason, detail, http_status, answer, answer_session_id, errors,"
    " attempts, flow, flow_version, cause_seq, ordinal, requested_at, decided_at, settled_at,"
    " last_seq, maybe_performed from commands limit 1",
    "queue_visits": "update queue_visits set wait_s = 0 where session_id = 's6'",
}
"""For each view a statement that makes it say something else than the log."""


async def projected(
    client: Client, log: JetStreamLog, engine: AsyncEngine, names: Iterable[str] = NAMES
) -> None:
    """Calls in the log, and in the views."""
    await publish(log, interleaved([[*call(name), *queued(name)] for name in names]))
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)


async def built(engine: AsyncEngine, **options: Any) -> Parity:
    """A version built aside, and how it compares."""
    url = engine.url.render_as_string(hide_password=False)
    found = await build_version(engine, url, **{"workers": 1, **options})
    assert found is not None
    return found


async def schemas_aside(engine: AsyncEngine) -> int:
    return int(await value(engine, "select count(*) from pg_namespace where nspname ~ 'rebuild'"))


async def value(engine: AsyncEngine, statement: str) -> Any:
    async with engine.connect() as connection:
        return (await connection.execute(text(statement))).scalar_one()


async def run_sql(engine: AsyncEngine, statement: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(text(statement))
