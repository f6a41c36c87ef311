"""`offhook rebuild` as an operator runs it, and as a machine room kills it."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from nats.aio.client import Client
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from offhook.cli.embedded.nats_server import NatsServer
from offhook.cli.embedded.postgres_server import PostgresServer
from offhook.jetstream.connection import close, connect
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.stream import consumer_configs, stream_config
from offhook.projections.projector.project import Projector
from offhook.projections.projector.rebuild import RebuildProgress, rebuild
from offhook.projections.views.database import open_database
from offhook.settings import Settings, environment_from
from tests.projections.story import (
    call,
    caught_up,
    projecting,
    publish,
    stored_views,
)

TIMEOUT_S = 60
ROOT = Path(__file__).parents[3]


@pytest.fixture
def quick_nats() -> Iterator[NatsServer]:
    """It may lose acknowledged writes, and takes them ten times faster: nothing crashes it here."""
    with NatsServer(sync_always=False) as server:
        yield server


@pytest.fixture
def settings(quick_nats: NatsServer, postgres_server: PostgresServer, migrated: str) -> Settings:
    url = postgres_server.create_database(f"rebuild_{uuid4().hex}", template=migrated)
    return Settings(
        nats_url=quick_nats.url, nats_monitor_urls=(quick_nats.monitor_url,), postgres_url=url
    )


@pytest.fixture
async def client(quick_nats: NatsServer) -> AsyncIterator[Client]:
    client = await connect(quick_nats.url, "test")
    await client.jetstream().add_stream(stream_config(1))
    for config in consumer_configs():
        await client.jetstream().add_consumer("CALLS", config)
    yield client
    await close(client)


@pytest.fixture
async def engine(settings: Settings) -> AsyncIterator[AsyncEngine]:
    engine = open_database(settings.postgres_url)
    yield engine
    await engine.dispose()


async def test_killed_three_times_it_goes_on_and_the_views_are_identical(
    client: Client, engine: AsyncEngine, settings: Settings
) -> None:
    events = await _projected(client, engine, calls=770)
    assert events >= 10_000
    before = await stored_views(engine)
    with pytest.raises(InterruptedError):  # with nothing done yet, but a checkpoint to hold
        await rebuild(client, engine, on_progress=_interrupted_at_once)
    reached: list[int] = []
    for share in (0.15, 0.4, 0.7):
        reached.append(await _killed_at(int(share * events), engine, settings))
        assert await stored_views(engine) == before
    assert reached[0] < reached[1] < reached[2] < events

    with _rebuild(settings) as process:
        output = await _output_of(process)
    assert process.returncode == 0, output
    resumed = re.search(r"Resumed after seq ([\d,]+)\.", output)
    assert resumed, output
    assert reached[2] <= int(resumed[1].replace(",", "")) < events
    assert re.search(r"[\d,]+ events folded in [\d.]+ s, [\d,]+ events/s", output)
    assert f"views at seq {events:,}: identical before and after" in output
    assert await stored_views(engine) == before


async def test_killed_between_writing_and_committing_the_old_views_stay(
    client: Client, engine: AsyncEngine, settings: Settings
) -> None:
    events = await _projected(client, engine, calls=10)
    right = await stored_views(engine)
    async with engine.begin() as connection:
        await connection.execute(text("update legs set state = 'unseen' where session_id = 's3'"))
    tampered = await stored_views(engine)
    with pytest.raises(InterruptedError):
        await rebuild(client, engine, on_progress=_interrupted)
    # It ends by dropping its tables: whoever reads one of them catches it with all else done.
    async with engine.connect() as holding:
        await holding.execute(text("select * from public_rebuild.parked_sessions"))
        with _rebuild(settings):
            await _blocked(engine, "drop schema%")
            assert await stored_views(engine) == tampered  # readers are not held up by it
        await holding.rollback()
    assert await stored_views(engine) == tampered

    with _rebuild(settings) as process:
        output = await _output_of(process)
    assert process.returncode == 0, output
    assert f"Resumed after seq {events}." in output
    assert re.search(r"legs .* differed: 2 rows removed, 2 written", output)
    assert "they differed and were repaired" in output
    assert await stored_views(engine) == right


async def test_views_that_were_never_filled_end_it_with_one_line(
    client: Client, settings: Settings
) -> None:
    with _rebuild(settings) as process:
        output = await _output_of(process)
    assert process.returncode == 1
    assert output.startswith("offhook: the views are empty: start `offhook projector`")


async def test_it_finds_the_log_and_the_views_by_the_ready_file(
    client: Client, engine: AsyncEngine, settings: Settings, tmp_path: Path
) -> None:
    await _projected(client, engine, calls=2)
    path = tmp_path / "ready.json"
    addresses = {"nats": settings.nats_url, "postgres": settings.postgres_url}
    path.write_text(json.dumps(addresses))
    nowhere = replace(settings, nats_url="nats://127.0.0.1:9", postgres_url="postgresql://h:9/d")
    with _rebuild(nowhere, OFFHOOK_READY_FILE=str(path)) as process:
        output = await _output_of(process)
    assert process.returncode == 0, output
    assert "legs" in output


@contextmanager
def _rebuild(settings: Settings, **variables: str) -> Iterator["subprocess.Popen[str]"]:
    """The command; kill -9 if it still runs at the end of the block."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OFFHOOK_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "offhook", "rebuild"],
        cwd=ROOT,
        env={**kept, **environment_from(settings), "COLUMNS": "110", **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


async def _output_of(process: "subprocess.Popen[str]") -> str:
    output, _ = await asyncio.to_thread(process.communicate, timeout=TIMEOUT_S)
    return output


async def _projected(client: Client, engine: AsyncEngine, *, calls: int) -> int:
    """Fill the log and the views; the number of records."""
    log = JetStreamLog(client)
    stories = [call(f"s{number}") for number in range(calls)]
    await asyncio.gather(*(publish(log, story) for story in stories))
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)
    return sum(len(story) for story in stories)


def _interrupted_at_once(_: RebuildProgress) -> None:
    raise InterruptedError


def _interrupted(progress: RebuildProgress) -> None:
    if progress.seq == progress.target_seq:
        raise InterruptedError


async def _killed_at(seq: int, engine: AsyncEngine, settings: Settings) -> int:
    """Kill the command amid a batch, once it is at `seq` or above; where the batch began.

    Each batch moves the checkpoint last, and waits for whoever holds it. Who asks for it meanwhile
    has it next: so it is let go for one batch at a time.
    """
    async with engine.connect() as one, engine.connect() as other:
        reached = await _hold_checkpoint(one)
        with _rebuild(settings) as process:
            await _blocked(engine, "%checkpoint%")
            while reached < seq:
                holding = asyncio.create_task(_hold_checkpoint(other))
                await _blocked(engine, "%checkpoint%", count=2)
                await one.rollback()
                reached, one, other = await holding, other, one
                await _blocked(engine, "%checkpoint%")
        assert process.returncode == -9
        await one.rollback()
    return reached


async def _hold_checkpoint(connection: AsyncConnection) -> int:
    """The position of the views that are being made, which stays until the transaction's end."""
    asked = text("select seq from public_rebuild.checkpoint for update")
    return int((await connection.execute(asked)).scalar_one())


async def _blocked(engine: AsyncEngine, query: str, count: int = 1) -> None:
    """Wait until so many such statements wait for a lock."""
    asked = text(
        "select count(*) from pg_stat_activity where datname = current_database()"
        " and wait_event_type = 'Lock' and query like :query"
    )
    async with asyncio.timeout(TIMEOUT_S), engine.connect() as connection:
        while (await connection.execute(asked, {"query": query})).scalar_one() < count:
            await connection.rollback()  # a transaction sees the same activity for ever
            await asyncio.sleep(0.02)
