"""The projector on real servers: the views are always the fold of the log."""

import asyncio
import json
import random
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from nats.aio.client import Client
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.carrier_events import BY_TYPE
from offhook.errors import CheckpointMoved
from offhook.events import CallHangup, CallInitiated
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.stream import PROJECTOR
from offhook.projections.projector.batch import Projection
from offhook.projections.projector.checkpoint import Fence, begin
from offhook.projections.projector.project import Projector
from offhook.projections.views.progress.checkpoint import read_checkpoint
from offhook.projections.views.sessions import SESSIONS, session_view
from offhook.projections.views.view import columns_of
from tests.example_events import example_event
from tests.projections.projector.records import attempts_by_session, stored_records
from tests.projections.story import (
    NOON,
    call,
    caught_up,
    cold_views,
    commands_of,
    events_of,
    fact,
    interleaved,
    last_seq,
    progress_at_end,
    projecting,
    publish,
    stored_views,
    webhook,
)


@pytest.mark.usefixtures("patient_projector")
async def test_views_are_the_fold_of_the_log(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    names = [f"s{number}" for number in range(40)]
    await publish(log, interleaved([call(name) for name in names]))
    async with projecting(Projector(client, engine)) as projector:
        progress = await progress_at_end(client, projector)
        assert progress.records == await last_seq(client)
        assert progress.pending == 0
        assert progress.restarts == 0
    assert await stored_views(engine) == await cold_views(log, names)


async def test_sessions_that_fell_out_of_the_cache_are_read_again(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    names = [f"s{number}" for number in range(6)]
    entries = interleaved([call(name) for name in names])
    async with projecting(Projector(client, engine, sessions_cached_max=1)):
        for start in range(0, len(entries), 5):
            await publish(log, entries[start : start + 5])
            await caught_up(client, engine)
    assert await stored_views(engine) == await cold_views(log, names)


async def test_repeated_event_ids_change_nothing_for_ever(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    entries = call("s")
    webhooks = [entry for entry in entries if entry.side == "in"]
    await publish(log, entries)
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)
        before = await stored_views(engine)
        await publish(log, [*webhooks, *webhooks])
        await caught_up(client, engine)
        assert await stored_views(engine) == before
    async with engine.connect() as connection:
        count = await connection.execute(text("select count(*) from event_log"))
        assert count.scalar_one() == len(entries)


async def test_headers_are_copied_so_that_a_signature_can_be_checked_again(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    received = {"telnyx-signature-ed25519": "c2ln=", "telnyx-timestamp": "1763812800"}
    event = webhook("s", events_of("s")[0])
    first = await log.append("s", "in", event.encoded, headers=received)
    await publish(log, [fact("s", each) for each in commands_of("s")[:1]])
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)
    async with engine.connect() as connection:
        found = await connection.execute(text("select seq, headers from event_log order by seq"))
        stored = {row.seq: json.loads(row.headers) for row in found}
    assert stored == {first.seq: received, first.seq + 1: {}}


async def test_any_order_gives_the_same_rows(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    chance = random.Random(seed)
    names = [f"s{number}" for number in range(8)]
    for name in names:
        events = [webhook(name, event) for event in events_of(name)]
        chance.shuffle(events)
        await publish(log, [*events, *chance.sample(events, 3)])
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)
    views = await stored_views(engine)
    told = {"session_id", "first_seq", "last_seq", "first_stored_at", "last_stored_at"}
    for table, of_one in (("sessions", 1), ("legs", 2)):
        alike = {
            str({key: value for key, value in row.items() if key not in told}).replace(
                row["session_id"], "s"
            )
            for row in views[table]
        }
        assert len(alike) == of_one, alike


async def test_restart_resumes_behind_the_checkpoint(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    entries = call("s")
    await publish(log, entries[:5])
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)
    await publish(log, entries[5:])
    async with projecting(Projector(client, engine)) as projector:
        progress = await progress_at_end(client, projector)
        assert progress.records == len(entries) - 5
    assert await stored_views(engine) == await cold_views(log, ["s"])


async def test_times_at_the_ends_of_all_time_are_none(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    """To Postgres' driver they are infinities, which come back as something else."""
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    leg: dict[str, Any] = {"call_control_id": "v3:s", "call_session_id": "s"}
    initiated = CallInitiated(event_id="1", occurred_at=NOON, start_time=first, **leg)
    hangup = CallHangup(event_id="2", occurred_at=NOON, end_time=last, **leg)
    await publish(log, [webhook("s", initiated), webhook("s", hangup)])
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)
    views = await stored_views(engine)
    assert views == await cold_views(log, ["s"])
    (row,) = views["legs"]
    assert (row["started_at"], row["ended_at"]) == (NOON, NOON)


async def test_what_events_of_every_type_tell_is_stored_as_it_is_folded(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    odd: dict[str, dict[str, Any]] = {
        "call.dequeued": {"wait_time_secs": 10**400, "reason": "a\0b"},
        "call.refer.failed": {"sip_notify_response": -(10**400)},
        "call.dtmf.received": {"digit": "\0"},
        "call.cost": {"total_cost": "-0.00400", "cost_parts": [{"currency": "USD", "rate": 1.5}]},
    }
    for session_id, told in (("plain", {}), ("odd", odd)):
        events = [
            example_event(each, second, event_id=f"{session_id}-{each}", **told.get(each, {}))
            for second, each in enumerate(BY_TYPE)
        ]
        await publish(log, [webhook(session_id, event) for event in events])
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)
    assert await attempts_by_session(engine) == {}
    views = await stored_views(engine)
    assert views == await cold_views(log, ["plain", "odd"])
    [row] = [row for row in views["legs"] if row["session_id"] == "odd"]
    assert (row["cost"], row["currency"], row["dtmf"]) == (Decimal("-0.00400"), "USD", "�")


async def test_of_two_projectors_at_one_checkpoint_one_is_rolled_back(
    client: Client, engine: AsyncEngine
) -> None:
    first, second = Projection(PROJECTOR), Projection(PROJECTOR)
    records = stored_records(call("s"))
    async with engine.begin() as connection:
        await begin(connection, PROJECTOR, NOON)

    async def apply(projection: Projection) -> bool:
        try:
            async with engine.begin() as connection:
                await projection.apply(connection, records, {0: Fence(seq=0)})
        except CheckpointMoved:
            return False
        return True

    assert sorted(await asyncio.gather(apply(first), apply(second))) == [False, True]
    async with engine.connect() as connection:
        found = await read_checkpoint(connection, PROJECTOR)
        assert found is not None
        assert found.seq == len(records)
        count = await connection.execute(text("select count(*) from event_log"))
        assert count.scalar_one() == len(records)


async def test_a_fold_of_many_sessions_in_one_batch(engine: AsyncEngine) -> None:
    names = [f"s{number}" for number in range(500)]
    records = stored_records([webhook(name, events_of(name)[0]) for name in names])
    projection = Projection(PROJECTOR, sessions_cached_max=100)
    async with engine.begin() as connection:
        await begin(connection, PROJECTOR, NOON)
        applied = await projection.apply(connection, records, {0: Fence(seq=0)})
    projection.keep(applied)
    assert applied.copied == 500
    # Most of them are no longer cached: they are read again.
    more = stored_records([webhook(name, events_of(name)[6]) for name in names], after_seq=500)
    async with engine.begin() as connection:
        applied = await projection.apply(connection, more, {0: Fence(seq=500)})
    views = await stored_views(engine)
    assert len(views["legs"]) == 500
    assert {row["state"] for row in views["legs"]} == {"ended"}
    assert columns_of(SESSIONS.table, session_view(applied.folded[0])) in views["sessions"]


async def test_a_checkpoint_set_back_changes_nothing(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    await publish(log, interleaved([call("a"), call("b")]))
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)
    before = await stored_views(engine)
    async with engine.begin() as connection:
        await connection.execute(text("update checkpoint set seq = 3"))
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)
    assert await stored_views(engine) == before


async def test_emptied_views_are_filled_again_from_the_log(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    await publish(log, interleaved([call("a"), call("b")]))
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)
    async with engine.begin() as connection:
        await connection.execute(text("truncate sessions, legs, commands"))
        await connection.execute(text("update checkpoint set seq = 0"))
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)
    assert await stored_views(engine) == await cold_views(log, ["a", "b"])


async def test_standby_takes_over_when_the_active_one_stops(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    first, second = Projector(client, engine), Projector(client, engine)
    async with projecting(second):
        async with projecting(first):
            await publish(log, call("a"))
            await caught_up(client, engine)
            assert first.progress.active != second.progress.active
        await publish(log, call("b"))
        await caught_up(client, engine)
    assert await stored_views(engine) == await cold_views(log, ["a", "b"])
