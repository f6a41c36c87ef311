"""A session that cannot be folded or stored is parked, and the others go on."""

import asyncio
import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from nats.aio.client import Client
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.codec.facts import Encoded
from offhook.events import CallAnswered, CallHangup, CallInitiated, UnknownEvent
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.stream import PROJECTOR
from offhook.projections.projector import writing
from offhook.projections.projector.batch import Projection
from offhook.projections.projector.checkpoint import Fence, begin
from offhook.projections.projector.project import Projector
from offhook.projections.projector.statements import Move, Statement, write_statement
from offhook.projections.views import registry
from offhook.projections.views.analytics.subjects.webhooks import Sums
from offhook.projections.views.fold import folded_from
from offhook.projections.views.legs import LEGS
from offhook.projections.views.registry import INDEXED_CHARS_SURE, Rows, rows_of
from offhook.projections.views.view import columns_of
from tests.projections.projector.records import attempts_by_session, stored_records
from tests.projections.story import (
    NOON,
    TIMEOUT_S,
    Entry,
    call,
    caught_up,
    cold_views,
    interleaved,
    last_seq,
    projecting,
    publish,
    stored_views,
    webhook,
)


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
        assert await attempts_by_session(engine) == {"poison": 1, "alone": 1}
        await publish(log, call("poison")[3:])
        await caught_up(client, engine)
    parked = await attempts_by_session(engine)
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
        patched.setattr("offhook.projections.projector.folding.rows_of", refuse)
        async with projecting(Projector(client, engine)):
            await caught_up(client, engine)
        # So often as its records came in several batches.
        assert (await attempts_by_session(engine)).keys() == {"s"}
    async with projecting(Projector(client, engine)) as projector:
        async with asyncio.timeout(TIMEOUT_S):
            while not projector.progress.active:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert await attempts_by_session(engine) == {}
    assert await stored_views(engine) == await cold_views(log, ["s"])


@pytest.mark.usefixtures("patient_projector")
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
    assert await attempts_by_session(engine) == {"odd": 1}
    views = await stored_views(engine)
    assert {row["session_id"] for row in views["sessions"]} == {"odd", "nul", "well"}
    assert "a�b" in {row["call_control_id"] for row in views["legs"]}


@pytest.mark.parametrize(
    "sure_chars", [INDEXED_CHARS_SURE, 1_000_000], ids=["suspected", "in halves"]
)
async def test_sessions_that_postgres_refuses_are_found_among_many_and_again_later(
    client: Client,
    log: JetStreamLog,
    engine: AsyncEngine,
    monkeypatch: pytest.MonkeyPatch,
    sure_chars: int,
) -> None:
    monkeypatch.setattr(registry, "INDEXED_CHARS_SURE", sure_chars)

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
        assert await attempts_by_session(engine) == dict.fromkeys(("odd-0", "odd-1", "odd-2"), 1)
        await publish(log, [*call("later"), odd(1, "second"), *call("last")])
        await caught_up(client, engine)
    assert await attempts_by_session(engine) == {"odd-0": 1, "odd-1": 2, "odd-2": 1}
    views = await stored_views(engine)
    healthy = {"well-0", "well-1", "well-2", "later", "last"}
    assert {row["session_id"] for row in views["legs"]} == healthy
    # Counted once, although the batch was rolled back and applied again.
    webhooks = sum(entry.side == "in" for entry in [*entries, *call("later"), *call("last")]) + 1
    async with engine.connect() as connection:
        counted = "select sum(total) from webhook_sums where name = 'received'"
        assert (await connection.execute(text(counted))).scalar_one() == webhooks


async def test_rows_with_a_long_text_are_written_apart_from_the_others_at_once(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others wait for each attempt. Not all long texts are refused: an index compresses them.

    A text that no index has may be long: a client_state often is.
    """
    odd, long = "".join(uuid4().hex for _ in range(300)), "x" * 9_600
    legs_of = {"odd": odd, "long": long} | {f"s{number}": "leg" for number in range(8)}
    webhooks = [
        webhook(
            name,
            UnknownEvent(
                event_type="call.odd", event_id=name, call_control_id=leg, client_state="A" * 4_000
            ),
        )
        for name, leg in legs_of.items()
    ]
    written: list[int] = []

    def counted(
        several: Sequence[Rows], name: str, moves: Sequence[Move] = (), sums: Sums | None = None
    ) -> Statement:
        written.append(len(several))
        return write_statement(several, name, moves, sums)

    monkeypatch.setattr(writing, "write_statement", counted)
    async with engine.begin() as connection:
        await begin(connection, PROJECTOR, NOON)
        applied = await Projection(PROJECTOR).apply(
            connection, stored_records(webhooks), {0: Fence(seq=0)}
        )
    assert written == [8, 1, 1]
    assert applied.parked.keys() == (await attempts_by_session(engine)).keys() == {"odd"}
    legs = {row["session_id"] for row in (await stored_views(engine))["legs"]}
    assert legs == legs_of.keys() - {"odd"}


async def test_a_text_that_is_too_long_is_tried_again_only_once_it_changes(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others wait for each attempt. The earliest event of a leg says its connection."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    chance = random.Random(seed)
    too_long = [chance.randbytes(3_000).hex() for _ in range(2)]
    moves_of = {f"s{number}": chance.sample(range(24), 12) for number in range(5)}
    entries = [
        webhook(
            name,
            UnknownEvent(
                event_type="call.odd",
                event_id=f"{name}-{second}",
                call_control_id=name,
                connection_id=chance.choice([*too_long, "short", None, None]),
                occurred_at=NOON + timedelta(seconds=second),
            ),
        )
        for place in range(12)
        for name, seconds in moves_of.items()
        for second in seconds[place : place + 1]
    ]
    records = stored_records(entries)
    tried: list[Rows] = []

    def seen(
        several: Sequence[Rows], name: str, moves: Sequence[Move] = (), sums: Sums | None = None
    ) -> Statement:
        tried.extend(several)
        return write_statement(several, name, moves, sums)

    monkeypatch.setattr(writing, "write_statement", seen)
    projection, at = Projection(PROJECTOR), 0
    refused: dict[str, str | None] = {}  # the connection with which each was refused last
    async with engine.connect() as connection:
        async with connection.begin():
            await begin(connection, PROJECTOR, NOON)
        while at < len(records):
            batch = records[at : at + chance.randint(1, 12)]
            fence = {0: Fence(seq=at)}
            if chance.random() < 0.2:  # what is rolled back leaves nothing behind in memory
                async with connection.begin() as lost:
                    await projection.apply(connection, batch, fence)
                    await lost.rollback()
            if chance.random() < 0.1:
                projection.forget()  # as when a partition is lost and taken again
                refused.clear()
            tried.clear()
            async with connection.begin():
                projection.keep(await projection.apply(connection, batch, fence))
            at += len(batch)
            parked = await attempts_by_session(engine)
            legs = {row["session_id"]: row for row in (await stored_views(engine))["legs"]}
            attempted = {row.session_id for rows in tried for row in rows["legs"]}
            for name in {record.session_id for record in batch}:
                folded = folded_from(
                    name,
                    [
                        each.record
                        for each in records[:at]
                        if each.session_id == name and each.record
                    ],
                )
                connection_id = folded.session.legs[name].connection_id
                assert (name in parked) == (connection_id in too_long)
                if name not in parked:
                    assert legs[name] == columns_of(LEGS.table, rows_of(folded)["legs"][0])
                    refused.pop(name, None)
                    continue
                assert (name in attempted) == (refused.get(name) != connection_id)
                refused[name] = connection_id


async def test_a_leg_that_does_not_fit_into_the_index_of_those_that_are_up_is_tried_once_it_ended(
    engine: AsyncEngine,
) -> None:
    ids: dict[str, Any] = {  # random, or the index would store them compressed; together too long
        "call_control_id": "".join(uuid4().hex for _ in range(48)),
        "connection_id": "".join(uuid4().hex for _ in range(48)),
    }
    entries = [
        webhook("s", CallInitiated(event_id="1", occurred_at=NOON, **ids)),
        webhook("s", CallAnswered(event_id="2", occurred_at=NOON, **ids)),
        webhook("s", CallHangup(event_id="3", occurred_at=NOON, **ids)),
    ]
    projection, states = Projection(PROJECTOR), []
    async with engine.connect() as connection:
        async with connection.begin():
            await begin(connection, PROJECTOR, NOON)
        for seq, record in enumerate(stored_records(entries)):
            async with connection.begin():
                applied = await projection.apply(connection, [record], {0: Fence(seq=seq)})
            projection.keep(applied)
            states.append(await attempts_by_session(engine))
    assert states == [{"s": 1}, {"s": 1}, {}]
    assert [row["state"] for row in (await stored_views(engine))["legs"]] == ["ended"]
