"""A projector process killed in the middle of its work leaves no trace in the views."""

import asyncio
import random
import signal

import pytest
from nats.aio.client import Client
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.cli.embedded.nats_server import NatsServer
from offhook.jetstream.log import JetStreamLog
from offhook.projections.projector import batch
from offhook.projections.projector.batch import Applied, Projection
from offhook.projections.projector.project import Projector
from tests.projections.projector.projector_process import process
from tests.projections.story import (
    TIMEOUT_S,
    blocked,
    call,
    caught_up,
    checkpoint_seq,
    cold_views,
    interleaved,
    projecting,
    publish,
    stored_views,
)

every_way = pytest.mark.parametrize("plain_in_a_row_min", [0, 1_000])
"""Each batch is tried in one statement, or none is."""


@every_way
async def test_killed_between_writing_and_committing(
    client: Client,
    log: JetStreamLog,
    engine: AsyncEngine,
    own_nats_server: NatsServer,
    database_url: str,
    plain_in_a_row_min: int,
) -> None:
    names = [f"s{number}" for number in range(12)]
    entries = interleaved([call(name) for name in names])
    third = len(entries) // 3
    await publish(log, entries[:1])
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)
    for part in (entries[1:third], entries[third : 2 * third]):
        await publish(log, part)
        before = await checkpoint_seq(engine)
        # The statement that writes the views moves the checkpoint: whoever holds its row catches
        # the projector in the middle of it, with nothing committed.
        async with engine.connect() as holding:
            await holding.execute(text("select seq from checkpoint for update"))
            with process(own_nats_server, database_url, plain_in_a_row_min):
                await blocked(engine, "checkpoint as c")
            # Or Postgres would complete the statement, and may commit it, before it notices.
            await holding.execute(_END_BLOCKED, {"timeout_ms": int(TIMEOUT_S * 1000)})
            await holding.rollback()
        assert await checkpoint_seq(engine) == before
    await publish(log, entries[2 * third :])
    with process(own_nats_server, database_url, plain_in_a_row_min) as last:
        await caught_up(client, engine)
        last.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(last.wait, TIMEOUT_S) == 0
    assert await stored_views(engine) == await cold_views(log, names)


@every_way
async def test_killed_at_random_again_and_again(
    client: Client,
    log: JetStreamLog,
    engine: AsyncEngine,
    own_nats_server: NatsServer,
    database_url: str,
    plain_in_a_row_min: int,
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    chance = random.Random(seed)
    names = [f"s{number}" for number in range(60)]
    publishing = asyncio.create_task(publish(log, interleaved([call(name) for name in names])))
    for _ in range(5):
        before = await checkpoint_seq(engine)
        with process(own_nats_server, database_url, plain_in_a_row_min):
            await _moved_from(engine, before, publishing)
            await asyncio.sleep(chance.random() * 0.1)
    await publishing
    with process(own_nats_server, database_url, plain_in_a_row_min):
        await caught_up(client, engine)
    assert await stored_views(engine) == await cold_views(log, names)


async def test_the_servers_killed_under_a_projector(
    client: Client, log: JetStreamLog, engine: AsyncEngine, own_nats_server: NatsServer
) -> None:
    async with projecting(Projector(client, engine)) as projector:
        await publish(log, call("a"))
        await caught_up(client, engine)
        own_nats_server.kill()
        own_nats_server.start()
        await publish(log, call("b"))
        await caught_up(client, engine)
        async with engine.connect() as connection:
            await connection.execute(
                text(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where datname = current_database() and pid <> pg_backend_pid()"
                )
            )
        await publish(log, call("c"))
        await caught_up(client, engine)
        assert projector.progress.restarts >= 1
    assert await stored_views(engine) == await cold_views(log, ["a", "b", "c"])


@every_way
async def test_a_commit_whose_answer_was_lost(
    client: Client,
    log: JetStreamLog,
    engine: AsyncEngine,
    monkeypatch: pytest.MonkeyPatch,
    plain_in_a_row_min: int,
) -> None:
    monkeypatch.setattr(batch, "PLAIN_IN_A_ROW_MIN", plain_in_a_row_min)
    kept = Projection.keep
    lost = 0

    def lose_some(self: Projection, applied: Applied) -> None:
        nonlocal lost
        if applied.copied and applied.positions[0] % 2 == 0:
            lost += 1
            raise OSError("the connection broke after the commit")
        kept(self, applied)

    monkeypatch.setattr(Projection, "keep", lose_some)
    async with projecting(Projector(client, engine)):
        for entry in call("s"):
            await publish(log, [entry])
            await caught_up(client, engine)
    assert lost > 0
    assert await stored_views(engine) == await cold_views(log, ["s"])


_END_BLOCKED = text(
    "select pg_terminate_backend(pid, :timeout_ms) from pg_stat_activity"
    " where datname = current_database() and wait_event_type = 'Lock'"
    " and query like '%checkpoint as c%' and pid <> pg_backend_pid()"
)


async def _moved_from(engine: AsyncEngine, seq: int, publishing: "asyncio.Task[None]") -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not publishing.done() and await checkpoint_seq(engine) == seq:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
