"""Stores that run full, for real: readiness is red while appends fail, and says why."""

import asyncio
import time
from pathlib import Path

import pytest
from nats.aio.client import Client

from offhook.cli.embedded.nats_server import NatsServer
from offhook.codec.facts import encoded_webhook
from offhook.errors import LogUnavailable
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.health.log_health import LogHealth
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.provisioning.provision import provision
from offhook.jetstream.stream import STREAM, stream_config
from tests.jetstream.provisioning.interrupted import through_elections
from tests.nats_cluster import NatsCluster

TIMEOUT_S = 180.0
REFUSED_AFTER_S = 3.0
BODY = b"x" * 200_000
DEVICE = "/dev/full"
"""What is written to it fails as on a full disk; a block of the store that is not there yet is made
to point to it."""


class Role:
    """As much of a role as appends and readiness are."""

    def __init__(self, client: Client, monitor_urls: list[str]) -> None:
        self.health = LogHealth(client, monitor_urls)
        self.log = JetStreamLog(client, self.health.appends)
        self.appended = 0

    async def append(self, timeout_s: float = TIMEOUT_S) -> None:
        fact = encoded_webhook(BODY, f"e{self.appended + 1}")
        await self.log.append("s", "in", fact, timeout_s=timeout_s)
        self.appended += 1

    async def fill(self) -> str:
        """Append until it is refused, twice running; ready until then. What the refusal says."""
        assert await self.health.trouble() == ""
        refusals: list[str] = []
        for _ in range(100):
            try:
                await self.append(REFUSED_AFTER_S)
                refusals.clear()  # it was only slow
            except LogUnavailable as error:
                refusals.append(str(error))
                if len(refusals) == 2:
                    return refusals[-1]
        raise AssertionError("it never was full")

    async def recovered(self) -> None:
        """Appends work, what was acknowledged is there, and it is ready."""
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            try:
                await self.append(REFUSED_AFTER_S)
                break
            except LogUnavailable:
                assert time.monotonic() < deadline
        while trouble := await self.health.trouble():  # the servers may still elect
            assert time.monotonic() < deadline, trouble
            await asyncio.sleep(0.1)
        async with asyncio.timeout(TIMEOUT_S):  # a node of a cluster has the last a little later
            while len(await self.log.read("s")) < self.appended:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        assert len(await self.log.read("s")) == self.appended


def block(store: Path, stream: str, number: int) -> Path:
    return store / "store" / "jetstream" / "$G" / "streams" / stream / "msgs" / f"{number}.blk"


async def test_a_disk_that_is_full(tmp_path: Path) -> None:
    with NatsServer(tmp_path) as server:
        client = await connect(server.url, "test")
        await provision(client, [server.monitor_url])
        role = Role(client, [server.monitor_url])
        block(tmp_path, STREAM, 2).symlink_to(DEVICE)
        await role.fill()  # the server answers nothing; its health check knows why
        trouble = await role.health.trouble()
        assert "JetStream stream '$G > CALLS' write error" in trouble
        assert "free space on its disk, then restart it" in trouble
        with pytest.raises(LogUnavailable, match="CALLS' write error"):
            await role.append(REFUSED_AFTER_S)
        another = Role(client, [server.monitor_url])
        assert "write error" in await another.health.trouble()  # it appends nothing itself

        block(tmp_path, STREAM, 2).unlink()
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(server.start)
        await role.recovered()
        await close(client)


class _Small(NatsServer):
    """A server that may store so much."""

    store_bytes = 600_000

    def _config(self) -> str:
        limit = f"sync_interval: always\n max_file_store: {self.store_bytes}"
        return super()._config().replace("sync_interval: always", limit)


async def test_a_store_at_its_limit(tmp_path: Path) -> None:
    with _Small(tmp_path) as server:
        client = await connect(server.url, "test")
        await provision(client, [server.monitor_url])
        role = Role(client, [server.monitor_url])
        refusal = await role.fill()
        assert "NATS says: insufficient resources (code 503, err_code 10023)" in refusal
        idle = Role(client, [server.monitor_url])
        assert "of 600,000 bytes; give it more room" in await idle.health.trouble()

        server.store_bytes = 60_000_000
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(server.start)
        await role.recovered()
        assert await idle.health.trouble() == ""
        await close(client)


@pytest.mark.parametrize(
    ("limit", "said"),
    [({"max_msgs": 3}, "maximum messages exceeded"), ({"max_bytes": 500_000}, "maximum bytes")],
)
async def test_a_stream_at_its_limit(tmp_path: Path, limit: dict[str, int], said: str) -> None:
    with NatsServer(tmp_path) as server:
        client = await connect(server.url, "test")
        await provision(client, [server.monitor_url])
        js = client.jetstream()
        await js.update_stream(stream_config(1).evolve(**limit))
        role, idle = (Role(client, [server.monitor_url]) for _ in range(2))
        assert said in await role.fill()
        assert said in await role.health.trouble() or "CALLS is full" in await role.health.trouble()
        if "max_msgs" in limit:
            assert "stream CALLS is full: max_msgs 3 of 3" in await idle.health.trouble()
        await js.update_stream(stream_config(1))
        await role.recovered()
        await close(client)


async def test_nodes_of_a_cluster_whose_disks_are_full(tmp_path: Path) -> None:
    with NatsCluster(tmp_path) as cluster:
        client = await connect(cluster.url, "test")
        await cluster.provision(client)
        role = Role(client, cluster.monitor_urls)
        info = await through_elections(lambda: client.jetstream().stream_info(STREAM))
        assert info.cluster
        followers = [node for node in cluster.nodes if node.name != info.cluster.leader]
        await role.append()
        async with asyncio.timeout(TIMEOUT_S):
            while await role.health.trouble() or role.health.warnings():  # noqa: ASYNC110
                await asyncio.sleep(0.1)

        warning = await _warning_when_full(role, followers[0])
        assert warning.startswith("a node of the log is down: ")
        await role.append()

        await asyncio.to_thread(followers[1].kill)
        with pytest.raises(LogUnavailable):
            await role.append(REFUSED_AFTER_S)
        # Why differs with how much the servers have noticed; the one at fault is named anyway.
        await _until_trouble(role, f"NATS server at {followers[0].monitor_url}")

        await asyncio.to_thread(followers[0].stop)
        await asyncio.to_thread(_free, followers[0].directory)
        for node in followers:
            await asyncio.to_thread(node.start)
        await role.recovered()
        await close(client)


async def _warning_when_full(role: Role, node: NatsServer) -> str:
    """Append until that node takes no writes, as its disk is full. What readiness says of it."""
    await asyncio.to_thread(_fill, node.directory)
    for _ in range(200):
        await role.append()
        await role.health.trouble()
        for warning in role.health.warnings():  # there are none while nothing can be written
            if f"NATS server at {node.monitor_url}" in warning and "free space" in warning:
                return warning
    raise AssertionError("the node never noticed")


def _fill(store: Path) -> None:
    for folder in store.rglob("msgs"):
        last = max(int(each.stem) for each in folder.glob("*.blk"))
        (folder / f"{last + 1}.blk").symlink_to(DEVICE)


def _free(store: Path) -> None:
    for each in store.rglob("*.blk"):
        if each.is_symlink():
            each.unlink()


async def _until_trouble(role: Role, said: str) -> None:
    """Until the check itself finds that, apart from the failed appends of the role."""
    deadline = time.monotonic() + TIMEOUT_S
    while said not in role.health.condition.trouble:
        assert time.monotonic() < deadline, role.health.condition
        await role.health.trouble()
        await asyncio.sleep(0.1)
