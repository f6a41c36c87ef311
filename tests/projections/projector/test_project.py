"""The projector on real servers: the views are always the fold of the log."""

import asyncio
import contextlib
import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from nats.aio.client import Client
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.carrier_events import BY_TYPE
from offhook.cli.embedded.nats_server import NatsServer
from offhook.codec.facts import Encoded
from offhook.errors import CheckpointMoved, LogMissing, LogReplaced
from offhook.events import CallHangup, CallInitiated, UnknownEvent
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.provisioning.provision import provision
from offhook.jetstream.stream import PROJECTOR, STREAM, stream_config
from offhook.projections.projector import batch, statements
from offhook.projections.projector.batch import Projection
from offhook.projections.projector.checkpoint import Fence, begin
from offhook.projections.projector.deliveries import Deliveries
from offhook.projections.projector.project import Projector
from offhook.projections.projector.statements import (
    LONG_CHARS,
    Move,
    Statement,
    write_statement,
)
from offhook.projections.views.checkpoint import read_checkpoint
from offhook.projections.views.registry import Rows
from offhook.projections.views.sessions import SESSIONS, session_view
from offhook.projections.views.stored.event_log import StoredRecord, read_stored
from offhook.projections.views.view import columns_of
from tests.example_events import example_event
from tests.projections.story import (
    NOON,
    TIMEOUT_S,
    Entry,
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


async def test_a_session_that_cannot_be_read_is_parked_and_the_others_go_on(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    unheard = Encoded(type="Unheard", version=1, fact_id="", body=b"{}")
    poison = Entry(session_id="poison", side="out", encoded=unheard)
    alone = Entry(session_id="alone", side="out", encoded=unheard)
    await publish(log, interleaved([[*call("poison")[:3], poison], call("well")]))
    await publish(log, [alone])
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)
        assert await _parked(engine) == {"poison": 1, "alone": 1}
        await publish(log, call("poison")[3:])
        await caught_up(client, engine)
    parked = await _parked(engine)
    assert parked["poison"] > 1
    views = await stored_views(engine)
    assert [row for row in views["sessions"] if row["session_id"] == "well"] == (
        await cold_views(log, ["well"])
    )["sessions"]
    assert [row["status"] for row in views["sessions"] if row["session_id"] == "alone"] == ["empty"]
    async with engine.connect() as connection:
        kept = await connection.execute(text("select count(*) from event_log"))
        assert kept.scalar_one() == await last_seq(client)


async def test_a_session_that_can_be_read_again_is_healed_at_the_next_start(
    client: Client, log: JetStreamLog, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folded: object, after_seq: int = 0) -> object:
        raise ZeroDivisionError("a fold with a mistake in it")

    await publish(log, call("s"))
    with monkeypatch.context() as patched:
        patched.setattr("offhook.projections.projector.batch.rows_of", refuse)
        async with projecting(Projector(client, engine)):
            await caught_up(client, engine)
        assert await _parked(engine) == {"s": 1}
    async with projecting(Projector(client, engine)) as projector:
        async with asyncio.timeout(TIMEOUT_S):
            while not projector.progress.active:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert await _parked(engine) == {}
    assert await stored_views(engine) == await cold_views(log, ["s"])


async def test_values_that_postgres_refuses_park_only_their_session(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    # Random, or the index would store it compressed.
    long_id = "".join(uuid4().hex for _ in range(300))
    event = UnknownEvent(
        event_type="call.odd", event_id="\0" + long_id, call_control_id=long_id, occurred_at=NOON
    )
    null = UnknownEvent(
        event_type="call.odd", event_id="nul", call_control_id="a\0b", occurred_at=NOON
    )
    await publish(log, [webhook("odd", event), webhook("nul", null), *call("well")])
    async with projecting(Projector(client, engine)) as projector:
        await caught_up(client, engine)
        assert projector.progress.restarts == 0
    assert await _parked(engine) == {"odd": 1}
    views = await stored_views(engine)
    assert {row["session_id"] for row in views["sessions"]} == {"odd", "nul", "well"}
    assert "a�b" in {row["call_control_id"] for row in views["legs"]}


@pytest.mark.parametrize("long_chars", [LONG_CHARS, 1_000_000], ids=["suspected", "in halves"])
async def test_sessions_that_postgres_refuses_are_found_among_many_and_again_later(
    client: Client,
    log: JetStreamLog,
    engine: AsyncEngine,
    monkeypatch: pytest.MonkeyPatch,
    long_chars: int,
) -> None:
    monkeypatch.setattr(statements, "LONG_CHARS", long_chars)

    def odd(number: int, event_id: str) -> Entry:
        long_id = "".join(uuid4().hex for _ in range(300))
        event = UnknownEvent(
            event_type="call.odd", event_id=event_id, call_control_id=long_id, occurred_at=NOON
        )
        return webhook(f"odd-{number}", event)

    entries = []
    for number in range(3):
        entries += [*call(f"well-{number}"), odd(number, f"first-{number}")]
    await publish(log, entries)
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)
        assert await _parked(engine) == dict.fromkeys(("odd-0", "odd-1", "odd-2"), 1)
        await publish(log, [*call("later"), odd(1, "second"), *call("last")])
        await caught_up(client, engine)
    assert await _parked(engine) == {"odd-0": 1, "odd-1": 2, "odd-2": 1}
    views = await stored_views(engine)
    healthy = {"well-0", "well-1", "well-2", "later", "last"}
    assert {row["session_id"] for row in views["legs"]} == healthy


async def test_rows_with_a_long_text_are_written_apart_from_the_others_at_once(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others wait for each attempt. Not all long texts are refused: an index compresses them."""
    odd, long = "".join(uuid4().hex for _ in range(300)), "x" * 9_600
    legs_of = {"odd": odd, "long": long} | {f"s{number}": "leg" for number in range(8)}
    webhooks = [
        webhook(name, UnknownEvent(event_type="call.odd", event_id=name, call_control_id=leg))
        for name, leg in legs_of.items()
    ]
    written: list[int] = []

    def counted(several: Sequence[Rows], name: str, moves: Sequence[Move]) -> Statement:
        written.append(len(several))
        return write_statement(several, name, moves)

    monkeypatch.setattr(batch, "write_statement", counted)
    async with engine.begin() as connection:
        await begin(connection, PROJECTOR, NOON)
        applied = await Projection(PROJECTOR).apply(
            connection, _stored(webhooks), {0: Fence(seq=0)}
        )
    assert written == [8, 1, 1]
    assert applied.parked.keys() == (await _parked(engine)).keys() == {"odd"}
    legs = {row["session_id"] for row in (await stored_views(engine))["legs"]}
    assert legs == legs_of.keys() - {"odd"}


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
    assert await _parked(engine) == {}
    views = await stored_views(engine)
    assert views == await cold_views(log, ["plain", "odd"])
    [row] = [row for row in views["legs"] if row["session_id"] == "odd"]
    assert (row["cost"], row["currency"], row["dtmf"]) == (Decimal("-0.00400"), "USD", "�")


async def test_of_two_projectors_at_one_checkpoint_one_is_rolled_back(
    client: Client, engine: AsyncEngine
) -> None:
    first, second = Projection(PROJECTOR), Projection(PROJECTOR)
    records = _stored(call("s"))
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
    records = _stored([webhook(name, events_of(name)[0]) for name in names])
    projection = Projection(PROJECTOR, sessions_cached_max=100)
    async with engine.begin() as connection:
        await begin(connection, PROJECTOR, NOON)
        applied = await projection.apply(connection, records, {0: Fence(seq=0)})
    projection.keep(applied)
    assert applied.copied == 500
    # Most of them are no longer cached: they are read again.
    more = _stored([webhook(name, events_of(name)[6]) for name in names], after_seq=500)
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


async def test_consumer_deleted_and_provisioned_again(
    client: Client,
    log: JetStreamLog,
    engine: AsyncEngine,
    own_nats_server: NatsServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("offhook.projections.projector.project.CHECK_AFTER_IDLE_S", 0.5)
    async with projecting(Projector(client, engine)) as projector:
        await publish(log, call("a"))
        await caught_up(client, engine)
        await client.jetstream().delete_consumer(STREAM, PROJECTOR)
        await publish(log, call("b"))
        async with asyncio.timeout(TIMEOUT_S):
            while "offhook provision" not in projector.progress.trouble:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await provision(client, [own_nats_server.monitor_url])
        await caught_up(client, engine)
    assert await stored_views(engine) == await cold_views(log, ["a", "b"])


async def test_a_missing_consumer_is_told_at_once(client: Client) -> None:
    await client.jetstream().delete_consumer(STREAM, PROJECTOR)
    with pytest.raises(LogMissing, match="no consumer projector: run `offhook provision`"):
        await Deliveries.open(client, PROJECTOR, 0)


async def test_consumer_reset_by_somebody_else(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    async with projecting(Projector(client, engine)) as projector:
        await publish(log, call("a"))
        await caught_up(client, engine)
        await client.jetstream().reset_consumer(STREAM, PROJECTOR, seq=1)
        await publish(log, call("b"))
        await caught_up(client, engine)
        assert projector.progress.restarts >= 1
    assert await stored_views(engine) == await cold_views(log, ["a", "b"])


async def test_deliveries_taken_by_another_client_are_fetched_again(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    thief = await client.jetstream().pull_subscribe_bind(consumer=PROJECTOR, stream=STREAM)
    async with projecting(Projector(client, engine)):
        for name in ("a", "b", "c"):
            stealing = asyncio.create_task(thief.fetch(3, timeout=0.5))
            await publish(log, call(name))
            with contextlib.suppress(TimeoutError):
                await stealing
        await thief.unsubscribe()
        await publish(log, call("d"))
        await caught_up(client, engine)
    assert await stored_views(engine) == await cold_views(log, ["a", "b", "c", "d"])


async def test_another_stream_of_the_same_name_is_refused(
    client: Client, log: JetStreamLog, engine: AsyncEngine, own_nats_server: NatsServer
) -> None:
    await publish(log, call("a"))
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)
    await client.jetstream().delete_stream(STREAM)
    await provision(client, [own_nats_server.monitor_url])
    with pytest.raises(LogReplaced, match="was created at"):
        await Projector(client, engine).run(asyncio.Event())


async def test_a_log_that_lost_records_is_refused(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    await publish(log, call("a"))
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)
    async with engine.begin() as connection:
        await connection.execute(text("update checkpoint set seq = seq + 1"))
    with pytest.raises(LogReplaced, match="views are at"):
        await Projector(client, engine).run(asyncio.Event())


async def test_a_purged_record_leaves_a_hole_that_stops_nothing(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    assert stream_config(1).deny_delete is not True
    await publish(log, call("a"))
    await client.jetstream().delete_msg(STREAM, 4)
    async with projecting(Projector(client, engine)) as projector:
        await caught_up(client, engine)
        assert projector.progress.restarts == 0
    assert await stored_views(engine) == await cold_views(log, ["a"])


def _stored(entries: list[Entry], after_seq: int = 0) -> list[StoredRecord]:
    return [
        read_stored(
            seq=seq,
            session_id=entry.session_id,
            side=entry.side,
            type=entry.encoded.type,
            version=entry.encoded.version,
            stored_at=NOON,
            body=entry.encoded.body,
        )
        for seq, entry in enumerate(entries, start=after_seq + 1)
    ]


async def _parked(engine: AsyncEngine) -> dict[str, int]:
    async with engine.connect() as connection:
        found = await connection.execute(text("select session_id, attempts from parked_sessions"))
        return {row.session_id: row.attempts for row in found}
