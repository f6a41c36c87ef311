"""Positions across partitions: what a write returns, and what a read waits for and says."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx
import pytest
from nats.aio.client import Client
from telnyx import AsyncTelnyx

from offhook.api.errors import ErrorAnswer
from offhook.api.freshness import Views
from offhook.cli.embedded.postgres_server import PostgresServer
from offhook.jetstream.lookup import StreamLookup
from offhook.position import partition_of, position_of
from offhook.projections.views.database.engine import Engine, open_database
from offhook.projections.views.progress.waiting import PositionWatch
from tests.api.stack import FRIEND, OURS, READER, Stack
from tests.projections.partitioned import PartitionedLog, project
from tests.projections.story import call

PAIRS = int(os.environ.get("OFFHOOK_TEST_WRITE_READ_PAIRS", "30"))
"""10,000 for a longer look."""

AT_ONCE = 4


class Lookup(StreamLookup):
    """Nothing waits, but in partition 2: for ten seconds."""

    async def stored_after(self, position: int) -> datetime | None:
        return datetime(2026, 11, 22, 11, 59, 50, tzinfo=UTC) if position >> 47 == 2 else None


@pytest.fixture
async def engine(postgres_server: PostgresServer, migrated: str) -> AsyncIterator[Engine]:
    url = postgres_server.create_database(f"api_{secrets.token_hex(4)}", template=migrated)
    engine = open_database(url)
    yield engine
    await engine.dispose()


async def test_a_reply_says_how_far_the_partitions_are_that_it_is_about(engine: Engine) -> None:
    log = PartitionedLog(of={"s": 1, "t": 2})
    log.append(*call("s")[:3], *call("t")[:2])
    async with engine.connect() as connection:
        await project(connection, log)
    noon = datetime(2026, 11, 22, 12, tzinfo=UTC)
    async with PositionWatch(engine) as watch:
        views = Views(engine, watch, Lookup(Client()), lambda: noon, partitions=4)
        last = position_of(1, 3)
        async with views.snapshot(last, 5.0) as snapshot:
            pass
        whole = snapshot.meta
        assert list(whole.checkpoints) == [0, last, position_of(2, 2), position_of(3, 0)]
        assert (whole.as_of_seq, whole.lag_ms) == (None, 10_000)
        # Their partitions by the rule of the log.
        for session_id, partition in (("t", 0), ("s5", 1), ("s0", 2), ("s", 3)):
            meta = snapshot.meta_of(session_id)
            assert meta.as_of_seq == whole.checkpoints[partition], session_id
            assert meta.lag_ms == (10_000 if partition == 2 else 0)
        for missing, status in ((last + 1, 504), (position_of(4, 1), 422)):
            with pytest.raises(ErrorAnswer) as raised:
                async with views.snapshot(missing, 0.05):
                    pass
            assert raised.value.status == status
        # Another partition that is further on says nothing about this one.
        log.append(*call("t")[2:])
        async with engine.connect() as connection:
            await project(connection, log)
        async with views.snapshot(position_of(2, len(call("t"))), 5.0):
            pass
        with pytest.raises(ErrorAnswer):
            async with views.snapshot(last + 1, 0.05):
                pass


async def test_what_is_written_is_read_with_its_position(stack: Stack, sdk: AsyncTelnyx) -> None:
    """A command's answer and its webhooks: no read with their position is older than they are."""
    ids = await stack.ring()
    session_id, leg = ids["call_session_id"], ids["call_control_id"]
    await stack.session(session_id)
    await sdk.calls.actions.answer(leg)
    numbers = iter(range(PAIRS))
    partitions = set()

    async def write_and_read(http: httpx.AsyncClient) -> None:
        for number in numbers:
            said = await sdk.calls.with_raw_response.dial(to=FRIEND, from_=OURS, connection_id="1")
            position = int(said.headers["offhook-position"])
            command_id = said.headers["offhook-command-id"]
            query = {"min_seq": position, "timeout_s": 10}
            while (  # the views of a busy machine may be further behind
                found := await http.get(f"/commands/{command_id}", params=query)
            ).status_code == 504:
                pass
            reply = found.json()
            assert reply["data"]["status"] == "succeeded", (number, reply)
            assert reply["data"]["last_seq"] == position
            assert reply["meta"]["as_of_seq"] >= position
            partitions.add(partition_of(position))

    async with stack.http(READER) as http, asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(write_and_read(http))
    assert len(partitions) > 1
