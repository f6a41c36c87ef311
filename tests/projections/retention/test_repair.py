"""event_log is damaged in each way there is, and is whole after a repair."""

from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.errors import OperatorFault
from offhook.jetstream.log import JetStreamLog
from offhook.projections.rebuild.control import cancel
from offhook.projections.rebuild.cutover import roll_back
from offhook.projections.rebuild.run import cut_over_version
from offhook.projections.retention.repair import Repair
from offhook.projections.views.stored.event_log import event_log
from tests.projections.rebuild.versions import built, run_sql
from tests.projections.retention.settled_calls import archive, late, settle
from tests.projections.retention.test_partitions import _project, partitions
from tests.projections.story import call, events_of, publish, stored_views, webhook

__all__ = ["partitions"]

KEPT = ("Offhook-Type", "Offhook-Version")

NAMES = [f"call-number-{number}" for number in range(6)]

DAMAGE = {
    "rows are missing": ("delete from event_log where session_id = 'call-number-1'", (22, 0)),
    "the table is empty": ("truncate event_log", (132, 0)),
    "a body is altered": (
        "update event_log set body = body || ' ' where session_id = 'call-number-2'",
        (0, 22),
    ),
    "ids are altered": (
        "update event_log set session_id = 'x', event_id = event_id || '-x', stored_at = now()"
        " where session_id = 'call-number-3' and event_id is not null",
        (0, 9),
    ),
    "headers are altered": (
        "update event_log set headers = '{\"a\": \"b\"}' where session_id = 'call-number-4'",
        (0, 22),
    ),
    "a row is elsewhere": (
        "update event_log set seq = seq + 100000 where event_id = 'call-number-5-event-2'",
        (1, 0),
    ),
}
"""By kind: how it is planted, and how many rows are then missing and altered."""


async def test_each_kind_of_damage_is_repaired(
    client: Client, log: JetStreamLog, engine: AsyncEngine, tmp_path: Path
) -> None:
    for name in NAMES:
        await settle(log, call(name))
    # An event that is delivered again has no row.
    await publish(log, [webhook(NAMES[0], events_of(NAMES[0])[3])])
    await _project(client, engine)
    whole, views = await _rows(engine), await stored_views(engine)
    done = await Repair(client, engine).run()
    assert (done.compared, done.repaired, done.unknown) == (len(whole) + 1, 0, 0)
    for kind, (statement, wanted) in DAMAGE.items():
        await run_sql(engine, statement)
        assert await _rows(engine) != whole, kind
        done = await Repair(client, engine).run()
        assert (done.missing, done.altered) == wanted, kind
        assert await _rows(engine) == whole, kind
        assert done.unknown == 0, kind
    again = await Repair(client, engine).run()
    assert (again.repaired, again.unknown) == (0, 0)
    assert (await built(engine)).identical
    await cancel(engine)
    assert await stored_views(engine) == views

    # Archived sessions have no rows, even if the log still has their records.
    messages = {each: await log.messages(each) for each in NAMES}
    await archive(client, engine, tmp_path)
    for message in messages[NAMES[0]]:
        headers = {key: value for key, value in (message.headers or {}).items() if key in KEPT}
        await client.jetstream().publish(
            (message.headers or {})["Nats-Subject"], message.data, headers=headers
        )
    await settle(log, [late(NAMES[1])])
    await _project(client, engine)
    whole = await _rows(engine)
    assert {row["session_id"] for row in whole} >= {NAMES[1]}
    await run_sql(engine, "truncate event_log")
    await Repair(client, engine).run()
    assert await _rows(engine) == whole
    assert (await built(engine)).identical


async def test_a_version_aside_that_was_folded_from_damaged_rows_is_dropped(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    """Its cutover was refused for the missing records, and after the repair lost their sessions."""
    for name in NAMES:
        await settle(log, call(name))
    await _project(client, engine)
    views = await stored_views(engine)
    await run_sql(engine, "delete from event_log where session_id = 'call-number-1'")
    assert (await built(engine)).unrecorded == 1
    assert (await Repair(client, engine).run()).missing == 22
    with pytest.raises(OperatorFault, match="no rebuilt version is ready"):
        await cut_over_version(engine)
    assert (await built(engine)).identical
    assert (await Repair(client, engine).run()).repaired == 0
    await cut_over_version(engine)
    assert await stored_views(engine) == views
    await run_sql(engine, "delete from event_log where session_id = 'call-number-1'")
    await Repair(client, engine).run()
    await roll_back(engine)  # the version before is not one of a rebuild
    assert await stored_views(engine) == views


async def _rows(engine: AsyncEngine) -> list[dict[str, Any]]:
    async with engine.connect() as connection:
        found = await connection.execute(select(event_log).order_by(event_log.c.seq))
        return [dict(row._mapping) for row in found]
