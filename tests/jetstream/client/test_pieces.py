"""Much that arrives at once is taken in pieces, and is the same."""

import asyncio
from types import SimpleNamespace

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from offhook.cli.embedded.nats_server import NatsServer
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.client.pieces import PIECE_BYTES, receive_in_pieces

COUNT = 50
TIMEOUT_S = 60.0


class Parser:
    """Notes the pieces."""

    def __init__(self) -> None:
        self.taken: list[bytes | str] = []

    async def parse(self, data: bytes = b"") -> None:
        self.taken.append(data)


async def test_others_run_between_two_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter(range(1_000_000))  # each slice is over at once
    clock = SimpleNamespace(perf_counter=lambda: float(next(seconds)))
    monkeypatch.setattr("offhook.process.slices.time", clock)
    client, parser = Client(), Parser()
    client._ps = parser  # type: ignore[assignment]
    receive_in_pieces(client)
    asyncio.get_running_loop().call_soon(parser.taken.append, "others")
    first, second = b"x" * PIECE_BYTES, b"y" * 10
    await client._ps.parse(first + second)
    assert parser.taken == [first, "others", second]


async def test_messages_that_are_cut_anywhere_arrive_whole(nats_server: NatsServer) -> None:
    client = await connect(nats_server.url, "test")
    receive_in_pieces(client)
    arrived: list[bytes] = []

    async def arrive(message: Msg) -> None:
        arrived.append(message.data)

    await client.subscribe("pieces", cb=arrive)
    sent = [bytes([number]) * (number * 997) for number in range(COUNT)]
    for body in sent:
        await client.publish("pieces", body, headers={"Length": str(len(body))})
    await client.flush()
    async with asyncio.timeout(TIMEOUT_S):
        while len(arrived) < COUNT:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    assert arrived == sent
    await close(client)
