"""The projector, when its consumer or stream is lost, replaced or changed by somebody else."""

import asyncio
import contextlib

import pytest
from nats.aio.client import Client
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.cli.embedded.nats_server import NatsServer
from offhook.errors import LogMissing, LogReplaced
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.provisioning.provision import provision
from offhook.jetstream.stream import PROJECTOR, STREAM, stream_config
from offhook.projections.projector.deliveries import Deliveries
from offhook.projections.projector.project import Projector
from tests.projections.story import (
    TIMEOUT_S,
    call,
    caught_up,
    cold_views,
    projecting,
    publish,
    stored_views,
)


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


@pytest.mark.usefixtures("patient_projector")
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
