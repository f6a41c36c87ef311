"""Leaders are spread over the nodes: no node leads more than its share."""

import asyncio
from collections import Counter
from contextlib import suppress
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from nats.aio.client import Client
from nats.errors import Error as NatsError

from offhook.errors import LogUnavailable
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.provisioning.leaders import Led, moves, spread_leaders
from offhook.jetstream.stream import streams_of
from tests.nats_cluster import NatsCluster

NODES = ("n1", "n2", "n3")
PARTITIONS = 4
TIMEOUT_S = 180.0


@given(st.lists(st.sampled_from(NODES), min_size=1, max_size=64))
def test_no_node_leads_more_than_its_share(leaders: list[str]) -> None:
    led = {f"CALLS_{n}": Led(leader=each, able=NODES) for n, each in enumerate(leaders)}
    wanted = moves(led)
    after = Counter(wanted.get(stream, each.leader) for stream, each in led.items())
    assert max(after.values()) <= -(-len(leaders) // len(NODES))
    assert all(led[stream].leader != node for stream, node in wanted.items())
    moved = {
        stream: Led(leader=wanted.get(stream, led[stream].leader), able=NODES) for stream in led
    }
    assert moves(moved) == {}


def test_no_leader_goes_to_a_replica_that_is_not_current() -> None:
    led = {f"CALLS_{n}": Led(leader="n1", able=("n1", "n2")) for n in range(4)}
    assert Counter(moves(led).values()) == {"n2": 2}
    assert moves({"CALLS_0": Led(leader="", able=())}) == {}
    assert moves({name: Led(leader="n1", able=("n1",)) for name in "ab"}) == {}


async def test_provisioning_spreads_the_leaders(tmp_path: Path) -> None:
    with NatsCluster(tmp_path) as cluster:
        client = await connect(cluster.url, "test")
        try:
            await cluster.provision(client, PARTITIONS)
            for stream in streams_of(PARTITIONS):
                await _lead(client, stream, "n2")
            async with asyncio.timeout(TIMEOUT_S):
                found = await _spread(client)
        finally:
            await close(client)
        assert len(found) >= 2


async def _spread(client: Client) -> Counter[str]:
    """Spread the leaders until no node leads more than two; how many each leads."""
    while True:
        with suppress(LogUnavailable):  # a busy cluster elects
            await spread_leaders(client, PARTITIONS)
            found = Counter([await _leader(client, each) for each in streams_of(PARTITIONS)])
            if "" not in found and max(found.values()) <= 2:
                return found
            await asyncio.sleep(0.2)


async def _lead(client: Client, stream: str, node: str) -> None:
    """Have that node lead the stream."""
    ask = f'{{"placement": {{"preferred": "{node}"}}}}'.encode()
    async with asyncio.timeout(TIMEOUT_S):
        while await _leader(client, stream) != node:
            with suppress(NatsError):  # a stream that elects may not answer
                await client.request(f"$JS.API.STREAM.LEADER.STEPDOWN.{stream}", ask, timeout=5)
            await asyncio.sleep(0.3)


async def _leader(client: Client, stream: str) -> str:
    try:
        info = await client.jetstream().stream_info(stream)
    except NatsError:
        return ""  # a stream that elects may not answer
    return (info.cluster.leader if info.cluster else None) or ""
