"""Compressed streams are refused, and rewritten: the same records, at the same place and time."""

import asyncio
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.js.api import ConsumerInfo, StoreCompression, StreamInfo

from offhook.cli.embedded.nats_server import NatsServer
from offhook.codec.facts import encoded_webhook
from offhook.errors import LogUnsafe
from offhook.events import Record
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.provisioning.provision import REWRITE, provision, require_provisioned
from offhook.jetstream.provisioning.rewrite import rewrite
from offhook.jetstream.stream import (
    SNAPSHOTS,
    STREAM,
    TIMERS,
    WORKER,
    WORKER_TIMERS,
    wanted_streams,
)
from offhook.jetstream.timetable import JetStreamTimetable, alarm_from
from offhook.projections.projector.deliveries import require_same_stream
from tests.jetstream.fetched import fetched
from tests.jetstream.provisioning.interrupted import Killed, Killing, through_elections
from tests.nats_cluster import NatsCluster

SESSIONS = 12
PATIENCE_S = 60.0


class Stored:
    """Two streams as an older Offhook made them, with what is in them."""

    def __init__(self, client: Client, monitor_urls: list[str], replicas: int) -> None:
        self.client = client
        self._monitor_urls = monitor_urls
        self._replicas = replicas
        self.records: list[Record] = []
        self.created_at = datetime.now(UTC)
        self.due = "s-due"

    async def make(self) -> None:
        js = self.client.jetstream(timeout=PATIENCE_S)
        for wanted, consumers in wanted_streams(self._replicas, 1):
            assert wanted.name is not None
            stream = wanted.evolve(compression=StoreCompression.S2)
            await through_elections(partial(js.add_stream, stream))
            for config in consumers:
                await through_elections(partial(js.add_consumer, wanted.name, config))
        log, timetable = JetStreamLog(self.client), JetStreamTimetable(self.client)
        for number in range(SESSIONS):
            for side in range(2):
                fact = encoded_webhook(b'{"a": 1}' * 50, f"e{number}-{side}")
                await log.append(f"s{number}", "in", fact, timeout_s=PATIENCE_S)
        now = datetime.now(UTC)
        later = partial(timetable.set, due_at=now + timedelta(hours=1), decided_seq=1)
        await through_elections(partial(later, "s1", "later"))
        for session in ("s-acknowledged", self.due):
            at_once = partial(timetable.set, due_at=now, decided_seq=2)
            await through_elections(partial(at_once, session, "now"))
            alarms = await js.pull_subscribe_bind(WORKER_TIMERS, stream=TIMERS)
            [fired] = await fetched(alarms, 1)
            if session == "s-acknowledged":
                await fired.ack_sync(PATIENCE_S)
        # The worker has settled half of them; a record in between and the last one were erased.
        records = await js.pull_subscribe_bind(WORKER, stream=STREAM)
        for message in await fetched(records, SESSIONS):
            await message.ack_sync(PATIENCE_S)
        await js.delete_msg(STREAM, 3)
        await js.delete_msg(STREAM, SESSIONS * 2)
        async with asyncio.timeout(PATIENCE_S):  # a replica erases them a little later
            while len(self.records) != SESSIONS * 2 - 2:
                self.records = await self.read()
        self.created_at = await self.same_stream(None)

    async def read(self) -> list[Record]:
        log = JetStreamLog(self.client)
        found = [await log.read(f"s{number}") for number in range(SESSIONS)]
        return [record for session in found for record in session]

    async def same_stream(self, created_at: datetime | None) -> datetime:
        """What the projector asks before it goes on behind its checkpoint."""
        return await through_elections(
            lambda: require_same_stream(self.client, SESSIONS * 2, created_at)
        )

    async def consumer(self, stream: str, name: str) -> ConsumerInfo:
        js = self.client.jetstream(timeout=PATIENCE_S)
        return await through_elections(lambda: js.consumer_info(stream, name))

    async def rewrite(self, say: Callable[[str], None]) -> bool:
        return await rewrite(self.client, self._monitor_urls, self._replicas, say)

    async def require_moved(self) -> None:
        js = self.client.jetstream(timeout=PATIENCE_S)
        setup = self.client, self._monitor_urls
        await through_elections(lambda: provision(*setup, self._replicas))
        await through_elections(lambda: require_provisioned(*setup, WORKER))
        assert await self.read() == self.records
        # The projector goes on behind its checkpoint, though that record was erased.
        await self.same_stream(self.created_at)
        new = encoded_webhook(b"{}", "new")
        log = JetStreamLog(self.client)
        appended = await log.append("s1", "in", new, timeout_s=PATIENCE_S)
        assert appended.seq > SESSIONS * 2
        waiting = SESSIONS - 1 + 1  # what it had not settled, and the new one
        async with asyncio.timeout(PATIENCE_S):  # on a cluster the count follows a little later
            while (await self.consumer(STREAM, WORKER)).num_pending != waiting:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        alarms = await js.pull_subscribe_bind(WORKER_TIMERS, stream=TIMERS)
        [fired] = await fetched(alarms, 1)
        rang = alarm_from(fired, 1)
        assert rang is not None
        assert rang.session_id == self.due
        rest = await self.consumer(TIMERS, WORKER_TIMERS)
        assert (rest.num_pending, rest.num_ack_pending) == (0, 1), "another one rings"
        later = partial(js.get_last_msg, TIMERS, "timers.set.s1.later")
        assert (await through_elections(later)).headers
        names = {info.config.name for info in await through_elections(js.streams_info)}
        assert names == {STREAM, TIMERS, SNAPSHOTS}


async def test_a_compressed_stream_is_refused_and_its_rewrite_named(tmp_path: Path) -> None:
    with NatsServer(tmp_path) as server:
        client = await connect(server.url, "provision")
        stored = Stored(client, [server.monitor_url], 1)
        await stored.make()
        for refusing in (
            provision(client, [server.monitor_url]),
            require_provisioned(client, [server.monitor_url], WORKER),
        ):
            with pytest.raises(LogUnsafe, match=r"CALLS is compressed.*--rewrite-compressed"):
                await refusing
        await close(client)


async def test_a_rewrite_keeps_records_consumers_and_alarms(tmp_path: Path) -> None:
    with NatsServer(tmp_path) as server:
        client = await connect(server.url, "provision")
        stored = Stored(client, [server.monitor_url], 1)
        await stored.make()
        said: list[str] = []
        assert await stored.rewrite(said.append)
        await stored.require_moved()
        assert not await stored.rewrite(said.append)
        await close(client)


async def test_a_rewrite_of_replicas(tmp_path: Path) -> None:
    with NatsCluster(tmp_path) as cluster:
        client = await connect(cluster.url, "provision")
        stored = Stored(client, cluster.monitor_urls, 3)
        await stored.make()
        await through_elections(lambda: stored.rewrite(lambda line: None))
        await stored.require_moved()
        await close(client)


@pytest.mark.parametrize("first", [1, 2, 3])
async def test_a_rewrite_continues_wherever_it_was_killed(tmp_path: Path, first: int) -> None:
    """Killed after so many changes, then after one more, and so on until one reaches the end."""
    with NatsServer(tmp_path) as server:
        client = await connect(server.url, "provision")
        stored = Stored(client, [server.monitor_url], 1)
        await stored.make()
        kills = 0
        for changes in itertools.count(first):
            with pytest.MonkeyPatch.context() as patched:
                Killing(patched, changes)
                try:
                    await stored.rewrite(lambda line: None)
                except Killed:
                    kills += 1
                else:
                    break
        await stored.require_moved()
        await close(client)
    assert kills >= 3


async def test_nothing_is_rewritten_while_a_role_is_connected(tmp_path: Path) -> None:
    with NatsServer(tmp_path) as server:
        client = await connect(server.url, "provision")
        stored = Stored(client, [server.monitor_url], 1)
        await stored.make()
        worker = await connect(server.url, "worker")
        with pytest.raises(LogUnsafe, match="offhook-worker still connected"):
            await stored.rewrite(lambda line: None)
        await close(worker)
        assert await stored.read() == stored.records
        assert REWRITE not in str([each.config.name for each in await _streams(client)])
        await close(client)


async def _streams(client: Client) -> list[StreamInfo]:
    return await client.jetstream().streams_info()
