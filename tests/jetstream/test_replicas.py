"""Nodes of the log are killed while it is written to: every copy is whole again each time.

NODE_KILLS is how many nodes are killed in turn; 24 take some minutes.
"""

import asyncio
import contextlib
import json
import os
import random
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

from nats.aio.client import Client

from offhook.codec.facts import encoded_webhook
from offhook.codec.webhooks import wire_body
from offhook.errors import LogUnavailable
from offhook.events import CallAnswered
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.client.inbox import Inbox
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.message import ID_HEADER
from offhook.jetstream.stream import STREAM
from offhook.jetstream.subjects import ALL_CALLS
from tests.nats_cluster import NatsCluster, Node

KILLS = int(os.environ.get("NODE_KILLS", "3"))
WRITERS = 8
WRITTEN_S = 1.0  # before a node is killed
DOWN_S = 0.5
WHOLE_TIMEOUT_S = 180.0


class Load:
    """Writers that never pause. What was acknowledged is to be found again on each copy."""

    def __init__(self, client: Client) -> None:
        self._log = JetStreamLog(client)
        self.acknowledged: dict[str, int] = {}
        self.refused: Counter[str] = Counter()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(WRITERS):
                group.create_task(self._write())

    async def _write(self) -> None:
        while True:
            event_id = str(uuid.uuid4())
            said = CallAnswered(
                event_id=event_id, call_control_id="v3:" + random.randbytes(200).hex()
            )
            encoded = encoded_webhook(wire_body(said), event_id)
            try:
                appended = await self._log.append(event_id, "in", encoded, timeout_s=20)
            except LogUnavailable as error:
                self.refused[str(error)[-80:]] += 1
            else:
                self.acknowledged[event_id] = appended.seq


async def test_a_killed_node_comes_back_with_a_whole_copy(tmp_path: Path) -> None:
    with NatsCluster(tmp_path) as cluster:
        client = await connect(cluster.url, "test")
        await cluster.provision(client)
        load = Load(client)
        for number in range(KILLS):
            node = cluster.nodes[number % len(cluster.nodes)]
            writing = asyncio.create_task(load.run())
            await asyncio.sleep(WRITTEN_S)
            await asyncio.to_thread(node.kill)
            await asyncio.sleep(DOWN_S)
            await asyncio.to_thread(node.start)
            await asyncio.sleep(DOWN_S)
            writing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await writing
            took_s = await _whole(client, cluster)
            print(  # noqa: T201
                f"kill {number + 1}: {node.name}, all copies whole after {took_s:.1f} s; "
                f"{len(load.acknowledged)} acknowledged, {load.refused.total()} refused"
            )
        await close(client)
        copies = [await _everything(node) for node in cluster.nodes]
        for node, copy in zip(cluster.nodes, copies, strict=True):
            lost = load.acknowledged.items() - copy.items()
            assert not lost, f"{len(lost)} of {len(load.acknowledged)} are not on {node.name}"
        assert copies[0] == copies[1] == copies[2]


async def _whole(client: Client, cluster: NatsCluster) -> float:
    """Until every copy is current and equal; the seconds that took."""
    began = time.monotonic()
    while True:
        copies: list[dict[str, Any]] = []
        try:
            info = await client.jetstream().stream_info(STREAM)
            peers = info.cluster.replicas if info.cluster else None
            copies = [await asyncio.to_thread(node.copy_of, STREAM) for node in cluster.nodes]
            current = all(each.current and not each.lag for each in peers or [])
            facts = {_facts(copy) for copy in copies}
            if peers and len(peers) == 2 and current and len(facts) == 1:
                return time.monotonic() - began
        except Exception as error:
            copies.append({"error": repr(error)})
        late = time.monotonic() - began > WHOLE_TIMEOUT_S
        assert not late, json.dumps(copies) + "".join(
            f"\n{node.name}: {node.last_lines}" for node in cluster.nodes
        )
        await asyncio.sleep(0.1)


def _facts(copy: dict[str, Any]) -> str:
    return json.dumps(
        {key: copy.get(key) for key in ("messages", "bytes", "first_seq", "last_seq")}
    )


async def _everything(node: Node) -> dict[str, int]:
    """Every record of this node's own copy, which answers the clients that are connected to it."""
    client = await connect(node.url, "test")
    inbox, found, after = Inbox(client), dict[str, int](), 0
    while True:
        ask = {"seq": after + 1, "batch": 1000, "next_by_subj": ALL_CALLS}
        async with inbox.answers(f"$JS.API.DIRECT.GET.{STREAM}", json.dumps(ask).encode()) as queue:
            while "Status" not in (headers := (await queue.get()).headers or {}):
                after = int(headers["Nats-Sequence"])
                found[headers[ID_HEADER]] = after
        if headers.get("Nats-Num-Pending", "0") == "0":
            await close(client)
            return found
