"""Many acknowledgements in one command, on a real server."""

import asyncio

import pytest
from nats.aio.msg import Msg
from nats.errors import ConnectionClosedError

from offhook.cli.embedded.nats_server import NatsServer
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.consuming.acknowledge import acknowledge_all
from offhook.jetstream.consuming.pull import Pull
from offhook.jetstream.provisioning.provision import provision
from offhook.jetstream.stream import STREAM, WORKER
from offhook.jetstream.subjects import subject_of

TIMEOUT_S = 60.0


async def test_each_is_acknowledged_and_a_closed_client_raises() -> None:
    with NatsServer() as server:
        client = await connect(server.url, "test")
        await provision(client, [server.monitor_url])
        for name in ("a", "b", "c"):
            await client.jetstream().publish(subject_of(name, "in"), name.encode())
        pull = await Pull.open(client, STREAM, WORKER, batch_max=8)
        messages: list[Msg] = []
        async with asyncio.timeout(TIMEOUT_S):
            while len(messages) < 3:
                messages += await pull.next(1.0)
        await acknowledge_all(client, messages[:2])
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                info = await client.jetstream().consumer_info(STREAM, WORKER)
                if info.ack_floor is not None and info.ack_floor.stream_seq == 2:
                    break
                await asyncio.sleep(0.01)
        assert info.num_ack_pending == 1
        await pull.close()
        await close(client)
        with pytest.raises(ConnectionClosedError):
            await acknowledge_all(client, messages)
