"""The stream of snapshots: the latest of each session, in memory, and done without if need be."""

import os
from collections.abc import AsyncIterator, Iterator

import pytest
from nats.aio.client import Client

from offhook.cli.embedded.nats_server import NatsServer
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.provisioning.provision import provision
from offhook.jetstream.retention import Retention
from offhook.jetstream.snapshots import JetStreamSnapshots
from offhook.jetstream.stream import SNAPSHOT_BYTES_MAX, SNAPSHOTS


@pytest.fixture(scope="module")
def server() -> Iterator[NatsServer]:
    with NatsServer() as server:
        yield server


@pytest.fixture
async def client(server: NatsServer) -> AsyncIterator[Client]:
    client = await connect(server.url, "test")
    await provision(client, [server.monitor_url])
    yield client
    await close(client)


async def test_the_latest_of_each_session_is_kept_and_none_is_on_the_disk(
    client: Client, server: NatsServer
) -> None:
    store, body = JetStreamSnapshots(client), os.urandom(300_000)
    assert await store.read("s1") is None
    await store.write("s1", b"the first one of s1")
    await store.write("s2", b"of s2")
    await store.write("s1", body)
    assert await store.read("s1") == body
    assert await store.read("s2") == b"of s2"
    info = await client.jetstream().stream_info(SNAPSHOTS)
    assert info.state.messages == 2
    files = [each for each in (server.directory / "store").rglob("*") if each.is_file()]
    assert files
    contents = [each.read_bytes() for each in files]
    assert not [each for each in contents if b"of s2" in each or body[:64] in each]
    assert not [each for each in contents if b"snapshots.s1" in each]

    await Retention(client).delete_snapshot("s1")
    assert await store.read("s1") is None
    assert await store.read("s2") == b"of s2"
    await Retention(client).delete_snapshot("s1")


async def test_what_a_worker_stores_after_the_deletion_is_refused(client: Client) -> None:
    worker, another = JetStreamSnapshots(client), JetStreamSnapshots(client)
    assert await worker.write("erased", b"first")
    assert await another.write("erased", b"second")
    assert await worker.write("erased", b"third")
    await Retention(client).delete_snapshot("erased")
    for store in (worker, another, JetStreamSnapshots(client)):
        assert not await store.write("erased", b"late")
        assert await store.read("erased") is None
    assert await Retention(client).count_snapshots(["erased"]) == 0

    await Retention(client).delete_snapshot("never-stored")
    assert not await worker.write("never-stored", b"the first one")
    assert await worker.write("another", b"of another session")


async def test_one_that_is_too_large_is_not_stored(client: Client) -> None:
    store = JetStreamSnapshots(client)
    await store.write("large", b"small")
    assert not await store.write("large", os.urandom(SNAPSHOT_BYTES_MAX + 1))
    assert await store.read("large") == b"small"
    await store.write("large", os.urandom(SNAPSHOT_BYTES_MAX - 2048))
    found = await store.read("large")
    assert found is not None
    assert len(found) == SNAPSHOT_BYTES_MAX - 2048


async def test_without_the_stream_there_are_no_snapshots_until_it_is_provisioned(
    client: Client, server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    js = client.jetstream()
    await js.delete_stream(SNAPSHOTS)
    store = JetStreamSnapshots(client)
    assert await store.read("s1") is None
    await store.write("s1", b"body")  # it does not ask again so soon
    await JetStreamSnapshots(client).write("s1", b"body")
    await Retention(client).delete_snapshot("s1")
    await provision(client, [server.monitor_url])
    assert await store.read("s1") is None
    monkeypatch.setattr("offhook.jetstream.snapshots.AWAY_S", 0.0)
    store = JetStreamSnapshots(client)
    await store.write("s1", b"body")
    assert await store.read("s1") == b"body"
