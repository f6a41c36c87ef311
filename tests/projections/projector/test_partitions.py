"""Several projector processes over a log of four partitions: shared out, killed, frozen, woken."""

import asyncio
import os
import random
import signal
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from nats.aio.client import Client
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.cli.embedded.nats_server import NatsServer
from offhook.codec.facts import Encoded
from offhook.errors import CheckpointMoved
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.lookup import StreamLookup
from offhook.jetstream.stream import PROJECTOR
from offhook.jetstream.subjects import partition_for
from offhook.position import position_of
from offhook.projections.projector.batch import Projection
from offhook.projections.projector.checkpoint import Fence, begin
from offhook.projections.projector.lag import LagWatch
from offhook.projections.projector.project import Projector
from offhook.projections.views.database.engine import driver_of
from offhook.projections.views.progress.checkpoint import reached, read_checkpoints
from tests.projections.projector.projector_process import process
from tests.projections.projector.records import stored_records
from tests.projections.story import (
    NOON,
    TIMEOUT_S,
    Entry,
    blocked,
    call,
    cold_views,
    interleaved,
    projecting,
    publish,
    stored_views,
)

PARTITIONS = 4

KILLS = int(os.environ.get("OFFHOOK_TEST_KILLS", "3"))
"""How many times a process of two is killed at random; 50 for a longer look."""

SESSIONS = int(os.environ.get("OFFHOOK_TEST_SESSIONS", "25"))
"""Random sessions whose state is compared after each record; 1,000 for a longer look."""


@pytest.fixture
def partitions() -> int:
    return PARTITIONS


async def test_one_batch_moves_all_the_partitions_that_it_has_records_of(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    names = [f"s{number}" for number in range(20)]
    assert {partition_for(name, PARTITIONS) for name in names} == set(range(PARTITIONS))
    await publish(log, interleaved([call(name) for name in names]))
    async with projecting(Projector(client, engine)) as projector:
        await _caught_up(client, engine)
        async with asyncio.timeout(TIMEOUT_S):  # it counts after the commit
            while set(projector.progress.partitions) != set(range(PARTITIONS)):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert projector.progress.batches < len(names) * len(call("s")) / PARTITIONS
    assert await stored_views(engine) == await cold_views(log, names)


async def test_processes_share_out_the_partitions_and_take_over_from_the_dead_and_the_frozen(
    client: Client,
    log: JetStreamLog,
    engine: AsyncEngine,
    own_nats_server: NatsServer,
    database_url: str,
) -> None:
    names = [f"s{number}" for number in range(24)]
    entries = interleaved([call(name) for name in names])
    third = len(entries) // 3
    with (
        process(own_nats_server, database_url),
        process(own_nats_server, database_url) as killed,
        process(own_nats_server, database_url) as frozen,
        process(own_nats_server, database_url),
    ):
        await _shared_out(engine, [1, 1, 1, 1])
        await publish(log, entries[:third])
        await _caught_up(client, engine)
        killed.kill()
        await publish(log, entries[third : 2 * third])
        await _caught_up(client, engine)
        await _shared_out(engine, [1, 1, 2])
        frozen.send_signal(signal.SIGSTOP)
        await publish(log, entries[2 * third :])
        await _caught_up(client, engine)
        await _shared_out(engine, [2, 2])
        frozen.send_signal(signal.SIGCONT)
        await publish(log, call("after"))
        await _caught_up(client, engine)
        await _shared_out(engine, [1, 1, 2])
    assert await stored_views(engine) == await cold_views(log, [*names, "after"])


@pytest.mark.parametrize("plain_in_a_row_min", [0, 1_000])
async def test_an_open_transaction_of_a_frozen_process_blocks_nobody(
    client: Client,
    log: JetStreamLog,
    engine: AsyncEngine,
    own_nats_server: NatsServer,
    database_url: str,
    plain_in_a_row_min: int,
) -> None:
    names = [f"s{number}" for number in range(12)]
    await publish(log, interleaved([call(name) for name in names]))
    async with engine.connect() as connection:
        for partition in range(PARTITIONS):
            await begin(connection, PROJECTOR, await _created_at(client, partition), partition)
        await connection.commit()
        # Whoever has this row keeps the process in its transaction, its statement sent.
        await connection.execute(text("select seq from checkpoint for update"))
        with process(own_nats_server, database_url, plain_in_a_row_min) as frozen:
            await blocked(engine, "checkpoint as c")
            frozen.send_signal(signal.SIGSTOP)
            await connection.rollback()
            with process(own_nats_server, database_url):
                await _caught_up(client, engine)
                assert await stored_views(engine) == await cold_views(log, names)
                frozen.send_signal(signal.SIGCONT)
                await publish(log, call("after"))
                await _caught_up(client, engine)
                await _shared_out(engine, [2, 2])
    assert await stored_views(engine) == await cold_views(log, [*names, "after"])


async def test_a_partition_that_comes_back_is_opened_at_once_whatever_its_faults_were(
    engine: AsyncEngine,
) -> None:
    projector = Projector(Client(), engine, partitions=PARTITIONS)
    for _ in range(7):
        projector._pause(1, CheckpointMoved("refused", {1}))
    async with engine.connect() as connection:
        await projector._follow(connection, await driver_of(connection))
    assert not projector._paused_until
    assert not projector._pauses


async def test_one_of_two_is_killed_at_random_again_and_again(
    client: Client,
    log: JetStreamLog,
    engine: AsyncEngine,
    own_nats_server: NatsServer,
    database_url: str,
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    chance = random.Random(seed)
    names = [f"s{number}" for number in range(20 * KILLS)]
    publishing = asyncio.create_task(publish(log, interleaved([call(name) for name in names])))
    with process(own_nats_server, database_url):
        for _ in range(KILLS):
            with process(own_nats_server, database_url, plain_in_a_row_min=0):
                await asyncio.sleep(1 + chance.random())
        await publishing
        await _caught_up(client, engine)
    assert await stored_views(engine) == await cold_views(log, names)


async def test_two_with_the_same_records_in_another_order_do_not_end_in_a_deadlock(
    engine: AsyncEngine,
) -> None:
    """As one that was frozen in its batch, and the one that took its partitions over."""
    batches = {
        partition: stored_records(call(f"s{partition}"), after_seq=position_of(partition, 0))
        for partition in (0, 1)
    }
    fences = {partition: Fence(seq=position_of(partition, 0)) for partition in (0, 1)}
    async with engine.begin() as connection:
        for partition in (0, 1):
            await begin(connection, PROJECTOR, NOON, partition)

    async def apply(*order: int) -> None:
        records = [each for partition in order for each in batches[partition]]
        async with engine.begin() as connection:
            await Projection(PROJECTOR).apply(connection, records, fences)

    async with engine.connect() as holding:
        # Whoever has this row keeps the first one in the midst of its copy.
        await holding.execute(
            text(
                "insert into event_log (seq, session_id, side, type, version, stored_at, body)"
                " values (:seq, '', '', '', 1, now(), '')"
            ),
            {"seq": batches[1][1].seq},
        )
        first = asyncio.create_task(apply(1, 0))
        await blocked(engine, "with copied as")
        second = asyncio.create_task(apply(0, 1))
        await blocked(engine, "with copied as", count=2)
        await holding.rollback()
        await first
        with pytest.raises(CheckpointMoved):
            await second
    views = await stored_views(engine)
    assert [row["session_id"] for row in views["sessions"]] == ["s0", "s1"]


async def test_state_at_every_position_of_random_sessions_equals_a_cold_fold(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    chance = random.Random(seed)
    names = [f"s{number}" for number in range(SESSIONS)]
    calls = []
    for name in names:
        entries = call(name)
        chance.shuffle(entries)
        calls.append([*entries, *chance.sample(entries, 2)])
    # One record of each session at a time: after each the views are compared as they are.
    async with projecting(Projector(client, engine)):
        for at in range(max(map(len, calls))):
            await publish(log, [entries[at] for entries in calls if at < len(entries)])
            await _caught_up(client, engine)
            assert await stored_views(engine) == await cold_views(log, names), f"record {at}"


@pytest.mark.usefixtures("patient_projector")
async def test_a_parked_session_harms_no_other_and_is_healed_when_its_partition_is_opened(
    client: Client, log: JetStreamLog, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"s{number}" for number in range(12)]
    poison = Encoded(type="Unheard", version=1, fact_id="", body=b"{}")
    entries = interleaved(
        [
            [*call(name), Entry(session_id=name, side="out", encoded=poison)]
            if name in names[:3]
            else call(name)
            for name in names
        ]
    )
    await publish(log, entries)
    async with projecting(Projector(client, engine)) as projector:
        await _caught_up(client, engine)
        assert projector.progress.restarts == 0
    views = await stored_views(engine)
    cold = await cold_views(log, names[3:])
    for table, rows in views.items():
        assert [row for row in rows if row["session_id"] not in names[:3]] == cold[table]
    async with engine.begin() as connection:
        parked = await connection.execute(text("select session_id from parked_sessions"))
        assert sorted(parked.scalars()) == names[:3]


async def test_lag_is_measured_without_a_projector(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    watch = LagWatch(client, engine, PROJECTOR, lambda: datetime.now(UTC))
    await publish(log, call("s0"))
    partition = partition_for("s0", PARTITIONS)
    lags = await watch.measure()
    assert {key: lag.records for key, lag in lags.items()} == {
        key: len(call("s0")) * (key == partition) for key in range(PARTITIONS)
    }
    assert lags[partition].age_s > 0
    watch._moved_at[partition] -= 60
    assert f"partition {partition} has not moved for" in watch.trouble()
    async with projecting(Projector(client, engine)):
        await _caught_up(client, engine)
    assert not any(lag.records or lag.age_s for lag in (await watch.measure()).values())
    assert watch.trouble() == ""


async def _created_at(client: Client, partition: int) -> datetime:
    from offhook.jetstream.provisioning.provision import created_at
    from offhook.jetstream.stream import stream_of

    return created_at(await client.jetstream().stream_info(stream_of(partition, PARTITIONS)))


async def _caught_up(client: Client, engine: AsyncEngine) -> None:
    """Wait until each checkpoint is at the end of its partition."""
    ends = await StreamLookup(client, partitions=PARTITIONS).last_positions()
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            async with engine.connect() as connection:
                checkpoints = await read_checkpoints(connection, PROJECTOR)
            if all(reached(checkpoints, at) >= end for at, end in enumerate(ends)):
                return
            await asyncio.sleep(0.02)


async def _shared_out(engine: AsyncEngine, wanted: list[int]) -> None:
    """Wait until the partitions are held by so many projectors, each so many."""
    asked = text(
        "select count(*) from projector_leases join projectors on projector_id = holder"
        " where expires_at > clock_timestamp() group by holder"
    )
    found: list[int] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(TIMEOUT_S):
            while found != wanted:
                async with engine.connect() as connection:
                    found = sorted((await connection.execute(asked)).scalars())
                await asyncio.sleep(0.05)
    assert found == wanted
