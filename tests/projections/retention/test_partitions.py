"""A log of four partitions: sessions of each are archived and erased."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from nats.aio.client import Client
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.cli.embedded.nats_server import NatsServer
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.lookup import StreamLookup
from offhook.jetstream.stream import PROJECTOR, stream_of
from offhook.jetstream.subjects import partition_for
from offhook.projections.projector.project import Projector
from offhook.projections.retention.erase import Eraser
from offhook.projections.retention.targets import find_target
from offhook.projections.views.past.timeline import read_timeline
from offhook.projections.views.progress.checkpoint import reached, read_checkpoints
from tests.projections.rebuild.versions import built
from tests.projections.retention.settled_calls import archive, late, rows_in, settle
from tests.projections.story import TIMEOUT_S, call, projecting

PARTITIONS = 4
NAMES = [f"call-number-{number}" for number in range(12)]


@pytest.fixture
def partitions() -> int:
    return PARTITIONS


async def test_sessions_of_every_partition_are_archived_and_erased(
    client: Client,
    log: JetStreamLog,
    engine: AsyncEngine,
    own_nats_server: NatsServer,
    tmp_path: Path,
) -> None:
    assert {partition_for(name, PARTITIONS) for name in NAMES} == set(range(PARTITIONS))
    for name in NAMES:
        await settle(log, call(name))
    await _project(client, engine)
    assert all(await _messages(client))
    timelines = [await _timeline(engine, name) for name in NAMES]

    done = await archive(client, engine, tmp_path)
    assert done.sessions == len(NAMES), done.kept
    assert await _messages(client) == [0] * PARTITIONS
    assert await rows_in(engine, "event_log") == 0
    assert [await _timeline(engine, name) for name in NAMES] == timelines

    erased, kept = NAMES[::2], NAMES[1::2]
    await settle(log, [late(name) for name in erased])  # in the log again
    await _project(client, engine)
    assert sum(await _messages(client)) == 2 * len(erased)
    async with engine.connect() as connection:
        target = await find_target(connection, erased, [], [], datetime(2027, 1, 31, tzinfo=UTC))
    stores = [own_nats_server.directory / "store"]
    proof = await Eraser(client, engine, stores=stores).erase(target)
    assert (proof.sessions, proof.messages, proof.proof.found) == (6, 2 * len(erased), 0)
    assert await _messages(client) == [0] * PARTITIONS
    assert await rows_in(engine, "archived_sessions") == len(kept)
    assert [await _timeline(engine, name) for name in kept] == timelines[1::2]
    assert (await built(engine)).identical


async def _project(client: Client, engine: AsyncEngine) -> None:
    ends = await StreamLookup(client, partitions=PARTITIONS).last_positions()
    async with projecting(Projector(client, engine)), asyncio.timeout(TIMEOUT_S):
        while True:
            async with engine.connect() as connection:
                checkpoints = await read_checkpoints(connection, PROJECTOR)
            if all(reached(checkpoints, at) >= end for at, end in enumerate(ends)):
                return
            await asyncio.sleep(0.02)


async def _messages(client: Client) -> list[int]:
    """How many each partition has."""
    return [
        (await client.jetstream().stream_info(stream_of(partition, PARTITIONS))).state.messages
        for partition in range(PARTITIONS)
    ]


async def _timeline(engine: AsyncEngine, session_id: str) -> object:
    async with engine.connect() as connection:
        return (await read_timeline(connection, session_id)).entries
