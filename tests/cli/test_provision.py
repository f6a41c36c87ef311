"""`offhook provision --repartition`: the log is moved, the views are emptied, or it refuses."""

import asyncio
import itertools
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from nats.aio.client import Client
from sqlalchemy import select, text

from offhook.cli.embedded.nats_server import NatsServer
from offhook.cli.embedded.postgres_server import PostgresServer
from offhook.cli.embedded.prepare import prepare
from offhook.codec.facts import Encoded, encoded_webhook
from offhook.codec.webhooks import wire_body
from offhook.events import CallAnswered
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.partitions import partitions_of
from offhook.jetstream.provisioning.provision import provision
from offhook.jetstream.stream import PROJECTOR
from offhook.jetstream.subjects import partition_for
from offhook.position import position_of
from offhook.projections.projector.lag import LagWatch
from offhook.projections.projector.project import Projector
from offhook.projections.views.database.engine import Engine, open_database
from offhook.projections.views.registry import VIEWS
from offhook.projections.views.stored.event_log import event_log
from offhook.settings import Settings, environment_from
from tests import forked
from tests.jetstream.provisioning.interrupted import Killed, Killing
from tests.projections.retention.settled_calls import archive, settled_calls
from tests.projections.story import (
    TIMEOUT_S,
    call,
    caught_up,
    dial_of,
    interleaved,
    projecting,
    publish,
    queued,
)

RECORDS = 6


def webhook(event_id: str) -> Encoded:
    return encoded_webhook(
        wire_body(CallAnswered(event_id=event_id, call_control_id="v3:a")), event_id
    )


@pytest.fixture
def settings(postgres_server: PostgresServer, migrated: str) -> Iterator[Settings]:
    with NatsServer() as server:
        yield Settings(
            nats_url=server.url,
            nats_monitor_urls=(server.monitor_url,),
            postgres_url=postgres_server.create_database(
                f"repartition_{uuid4().hex}", template=migrated
            ),
            partitions=4,
        )


def run_provision(settings: Settings, *options: str) -> "subprocess.CompletedProcess[str]":
    return run_offhook(settings, "provision", *options)


def run_offhook(settings: Settings, *words: str) -> "subprocess.CompletedProcess[str]":
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OFFHOOK_")}
    return forked.offhook(*words, env={**clean, **environment_from(settings)})


async def fill(settings: Settings) -> None:
    """One stream, and views that have all of it."""
    client = await connect(settings.nats_url, "test")
    engine = open_database(settings.postgres_url)
    await provision(client, settings.nats_monitor_urls, partitions=1)
    log = JetStreamLog(client)
    for number in range(RECORDS):
        await log.append(f"s{number}", "in", webhook(f"e{number}"))
    stopping = asyncio.Event()

    def stop_at_the_end(progress: object) -> None:
        if getattr(progress, "records", 0) >= RECORDS:
            stopping.set()

    await Projector(client, engine, on_batch=stop_at_the_end).run(stopping)
    await engine.dispose()
    await close(client)


async def count(settings: Settings, table: str) -> int:
    engine = open_database(settings.postgres_url)
    async with engine.connect() as connection:
        found = int(await connection.scalar(text(f"select count(*) from {table}")) or 0)
    await engine.dispose()
    return found


async def test_the_log_is_moved_and_the_views_are_emptied(settings: Settings) -> None:
    await fill(settings)
    assert await count(settings, "sessions") == RECORDS
    refused = run_provision(settings)
    assert refused.returncode != 0
    assert "OFFHOOK_PARTITIONS is 4, but the log has 1" in refused.stderr
    assert "offhook provision --repartition" in refused.stderr
    moved = run_provision(settings, "--repartition")
    assert moved.returncode == 0, moved.stderr
    assert "streams CALLS_0 to CALLS_3 and TIMERS and their consumers" in moved.stdout
    for table in ("sessions", "event_log", "checkpoint"):
        assert await count(settings, table) == 0
    assert run_provision(settings, "--repartition").returncode == 0


async def test_views_with_more_than_the_log_has_are_not_emptied(settings: Settings) -> None:
    await fill(settings)
    client = await connect(settings.nats_url, "test")
    await client.jetstream().delete_msg("CALLS", 3)
    await close(client)
    refused = run_provision(settings, "--repartition")
    assert refused.returncode != 0
    said = " ".join(refused.stderr.split())
    assert "the views have 1 records, and 1 sessions that begin with one" in said
    assert await count(settings, "sessions") == RECORDS


async def test_what_starts_the_servers_itself_moves_the_log_too(settings: Settings) -> None:
    await fill(settings)
    said: list[str] = []
    await asyncio.to_thread(prepare, settings, is_alone=True, say=said.append)
    assert any("CALLS: moved to CALLS_0, CALLS_1, CALLS_2, CALLS_3" in line for line in said)
    assert await count(settings, "event_log") == 0
    said.clear()
    await asyncio.to_thread(prepare, settings, is_alone=True, say=said.append)
    assert said == []


async def test_what_starts_the_servers_itself_goes_on_with_a_move_that_was_killed(
    settings: Settings,
) -> None:
    """Killed after one change of the log, then after four, and so on until one reaches the end."""
    await fill(settings)
    kills, said = 0, list[str]()
    for changes in itertools.count(1, 3):
        with pytest.MonkeyPatch.context() as patched:
            Killing(patched, changes)
            try:
                await asyncio.to_thread(prepare, settings, is_alone=True, say=said.append)
            except Killed:
                kills += 1
            else:
                break
    assert kills >= 3
    client = await connect(settings.nats_url, "test")
    log = JetStreamLog(client)
    assert await partitions_of(client) == 4
    for number in range(RECORDS):
        assert [each.seq > 0 for each in await log.read(f"s{number}")] == [True]
    await close(client)


async def test_a_log_of_which_sessions_were_archived_gets_there_by_export_and_import(
    settings: Settings, postgres_server: PostgresServer, migrated: str, tmp_path: Path
) -> None:
    client = await connect(settings.nats_url, "test")
    engine = open_database(settings.postgres_url)
    await provision(client, settings.nats_monitor_urls, partitions=1)
    log, names = JetStreamLog(client), ["s0", "s1", "s2"]
    await settled_calls(client, log, engine, names[:2])
    assert (await archive(client, engine, tmp_path / "archive")).sessions == 2
    await settled_calls(client, log, engine, names[2:])
    before = await _views_and_log(engine)
    await close(client)
    await engine.dispose()
    refused = await asyncio.to_thread(run_provision, settings, "--repartition")
    assert refused.returncode == 1
    said = " ".join(refused.stderr.split())
    assert "2 sessions are archived" in said
    assert "`offhook export -o calls.jsonl.zst`" in said

    file = str(tmp_path / "calls.jsonl.zst")
    with NatsServer() as server:
        new = replace(
            settings,
            nats_url=server.url,
            nats_monitor_urls=(server.monitor_url,),
            postgres_url=postgres_server.create_database(f"r_{uuid4().hex}", template=migrated),
        )
        for at, words in (
            (settings, ("export", "-o", file)),
            (new, ("provision",)),
            (new, ("import", file)),
        ):
            done = await asyncio.to_thread(run_offhook, at, *words)
            assert done.returncode == 0, done.stderr
        client, engine = await connect(new.nats_url, "test"), open_database(new.postgres_url)
        async with projecting(Projector(client, engine)):
            await _all_projected(client, engine)
        after = await _views_and_log(engine)
        await close(client)
        await engine.dispose()
    assert {
        (row["session_id"], row["status"], row["leg_count"], row["started_at"], row["ended_at"])
        for row in after["sessions"]
    } == {
        (row["session_id"], row["status"], row["leg_count"], row["started_at"], row["ended_at"])
        for row in before["sessions"]
    }
    for table in ("legs", "commands", "queue_visits"):
        assert len(after[table]) == len(before[table]) > 0


async def _all_projected(client: Client, engine: Engine) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        watch = LagWatch(client, engine, PROJECTOR, lambda: datetime.now(UTC))
        while any(lag.records for lag in (await watch.measure()).values()):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_views_folded_again_are_the_same_but_for_their_positions(settings: Settings) -> None:
    names = [f"s{number}" for number in range(12)]
    entries = interleaved([[*call(name), *queued(name)] for name in names])
    entries += dial_of("s0", "s1")
    client = await connect(settings.nats_url, "test")
    engine = open_database(settings.postgres_url)
    await provision(client, settings.nats_monitor_urls, partitions=1)
    log = JetStreamLog(client)
    # An event that is delivered again later, and the records that have no event id.
    await publish(log, [*entries, *call("s2"), *call("s3")[:1]])
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)
    before = await _views_and_log(engine)
    await close(client)
    moved = await asyncio.to_thread(run_provision, settings, "--repartition")
    assert moved.returncode == 0, moved.stderr
    client = await connect(settings.nats_url, "test")
    async with projecting(Projector(client, engine)):
        await _all_projected(client, engine)
    await close(client)
    assert await _views_and_log(engine) == {
        table: sorted((_moved(row) for row in rows), key=repr) for table, rows in before.items()
    }
    await engine.dispose()


def _moved(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row with each sequence as a position in the session's partition of four."""
    partition = partition_for(row["session_id"], 4)
    return {
        name: position_of(partition, value)
        if (name == "seq" or name.endswith("_seq")) and value is not None
        else value
        for name, value in row.items()
    }


async def _views_and_log(engine: Engine) -> dict[str, list[Mapping[str, Any]]]:
    async with engine.connect() as connection:
        found: dict[str, list[Mapping[str, Any]]] = {}
        for table in (*(view.table for view in VIEWS), event_log):
            # A decision's fact id has the position of its cause in it.
            columns = [column for column in table.columns if column.name != "fact_id"]
            rows = await connection.execute(select(*columns))
            found[table.name] = sorted((dict(row._mapping) for row in rows), key=repr)
        return found
