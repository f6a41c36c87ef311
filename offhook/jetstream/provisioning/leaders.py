"""Spreading the leaders of the partitions over the nodes of a cluster.

All appends of a stream go through its leader, and a flush of its disk. The server elects any node:
three streams may well have the same one, which then does the work of all.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import StreamInfo

from offhook.errors import LogUnavailable, words_of
from offhook.jetstream.partitions import API_TIMEOUT_S
from offhook.jetstream.stream import streams_of


@dataclass(frozen=True, kw_only=True)
class Led:
    """A stream's leader, and the nodes that could lead it now: the leader, and current replicas."""

    leader: str
    able: Sequence[str]


def moves(led: Mapping[str, Led]) -> dict[str, str]:
    """The new leader of each stream that is to have another one.

    After them no node leads more than its share of the streams, as far as replicas are current.
    """
    nodes = {node for each in led.values() for node in each.able}
    share = -(-len(led) // len(nodes)) if nodes else 0
    counts = Counter(each.leader for each in led.values())
    found: dict[str, str] = {}
    for stream, each in led.items():
        if not each.leader:
            continue  # its nodes elect one
        to = min(each.able, key=lambda node: (counts[node], node))
        if counts[each.leader] > share and counts[to] < share:
            counts[each.leader] -= 1
            counts[to] += 1
            found[stream] = to
    return found


async def spread_leaders(client: Client, partitions: int) -> dict[str, str]:
    """Spread them, and return the new leader of each stream that is to have another one.

    For as long as an election takes, some 20 ms, such a stream accepts nothing and appends are
    retried. Raises LogUnavailable.
    """
    streams = streams_of(partitions)
    try:
        wanted = moves(await _read(client, streams))
        for stream, node in wanted.items():
            await client.request(
                f"$JS.API.STREAM.LEADER.STEPDOWN.{stream}",
                json.dumps({"placement": {"preferred": node}}).encode(),
                timeout=API_TIMEOUT_S,
            )
    except (NatsError, TimeoutError) as error:
        raise LogUnavailable(f"leaders cannot be moved: {words_of(error)}") from error
    return wanted


async def _read(client: Client, streams: Sequence[str]) -> dict[str, Led]:
    js = client.jetstream(timeout=API_TIMEOUT_S)
    infos = await asyncio.gather(*(js.stream_info(stream) for stream in streams))
    return {str(info.config.name): _led(info) for info in infos}


def _led(info: StreamInfo) -> Led:
    """Without replicas it is led by the one node that has it."""
    leader = (info.cluster.leader if info.cluster else None) or ""
    replicas = (info.cluster.replicas if info.cluster else None) or []
    able = [each.name or "" for each in replicas if each.current and not each.offline]
    return Led(leader=leader, able=[each for each in (leader, *able) if each])
