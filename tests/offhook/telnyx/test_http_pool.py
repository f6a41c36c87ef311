"""Connections to the carrier: kept, bounded, and never left half used."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import pytest

from offhook.events import IssuedCommand
from offhook.telnyx import client
from offhook.telnyx.client import Carrier
from offhook.telnyx.http_pool import HttpPool
from offhook.telnyx.outcomes import Accepted, NoAnswer

DIAL = IssuedCommand(
    command_id="c-1",
    operation="dial",
    parameters={"to": "+12025550123", "from": "+12025550199", "connection_id": "1"},
)
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
TIMEOUT_S = 60.0


@dataclass
class Server:
    """Keeps connections open. Answers while `answers` is set."""

    port: int = 0
    requests: list[bytes] = field(default_factory=list)  # their first lines
    connections: list[asyncio.StreamWriter] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)
    answers: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split()[0]))
                self.requests.append(head.partition(b"\r\n")[0])
                self.came.set()
                await self.answers.wait()
                writer.write(ANSWER)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v2"

    async def has(self, requests: int) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            while len(self.requests) < requests:
                self.came.clear()
                await self.came.wait()


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    served = Server()
    served.answers.set()
    listener = await asyncio.start_server(served.serve, "127.0.0.1", 0)
    served.port = listener.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        listener.close()
        for connection in served.connections:
            connection.close()


async def test_a_connection_serves_one_request_after_another() -> None:
    async with serving() as server, Carrier(base_url=server.url, key="K", timeout_s=60) as telnyx:
        for _ in range(3):
            assert isinstance(await telnyx.send(DIAL), Accepted)
        assert (len(server.requests), len(server.connections)) == (3, 1)


async def test_after_a_burst_requests_use_one_of_its_connections() -> None:
    async with serving() as server, Carrier(base_url=server.url, key="K", timeout_s=60) as telnyx:
        server.answers.clear()
        burst = [asyncio.create_task(telnyx.send(DIAL)) for _ in range(8)]
        await server.has(requests=8)
        server.answers.set()
        await asyncio.gather(*burst)
        for _ in range(8):
            await telnyx.send(DIAL)
        assert (len(server.requests), len(server.connections)) == (16, 8)


async def test_a_connection_that_the_carrier_closed_is_replaced_and_nothing_is_sent_twice() -> None:
    async with serving() as server, Carrier(base_url=server.url, key="K", timeout_s=60) as telnyx:
        await telnyx.send(DIAL)
        server.connections[0].close()
        await server.connections[0].wait_closed()
        await asyncio.sleep(0.1)  # until the end of it has come to this side
        assert isinstance(await telnyx.send(DIAL), Accepted)
        assert (len(server.requests), len(server.connections)) == (2, 2)


async def test_a_connection_that_is_lost_under_a_request_may_have_carried_it() -> None:
    async with serving() as server, Carrier(base_url=server.url, key="K", timeout_s=60) as telnyx:
        await telnyx.send(DIAL)
        server.answers.clear()
        sending = asyncio.create_task(telnyx.send(DIAL))
        await server.has(requests=2)
        server.connections[0].close()
        outcome = await sending
        assert isinstance(outcome, NoAnswer)
        assert outcome.maybe_taken
        server.answers.set()
        assert isinstance(await telnyx.send(DIAL), Accepted)
        assert len(server.requests) == 3


async def test_a_request_that_gets_no_connection_in_time_is_certainly_not_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "CONNECTIONS_MAX", 2)
    async with serving() as server, Carrier(base_url=server.url, key="K", timeout_s=6) as telnyx:
        server.answers.clear()
        outcomes = await asyncio.gather(*(telnyx.send(DIAL) for _ in range(3)))
        assert outcomes[2] == NoAnswer(
            detail="PoolTimeout: all 2 connections were in use for 3 s", maybe_taken=False
        )
        assert len(server.requests) == 2
        server.answers.set()
        for _ in range(4):
            assert isinstance(await telnyx.send(DIAL), Accepted)


async def test_the_environments_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with serving() as server:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.port}")
        base_url = "http://carrier.example/v2"
        async with Carrier(base_url=base_url, key="K", timeout_s=60) as telnyx:
            assert isinstance(await telnyx.send(DIAL), Accepted)
    assert server.requests == [b"POST http://carrier.example/v2/calls HTTP/1.1"]


def opened() -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200)))


async def test_the_connections_that_are_not_needed_any_more_are_closed() -> None:
    pool = HttpPool(opened, clients_max=3, idle_s=0.05)
    async with pool.client(1) as first:
        async with pool.client(1) as second:
            pass
        await asyncio.sleep(0.1)
    assert (first.is_closed, second.is_closed) == (False, True)
    async with pool.client(1) as again:
        assert again is first


async def test_closing_the_pool_closes_a_client_in_use_after_its_request() -> None:
    pool = HttpPool(opened, clients_max=2, idle_s=60)
    async with pool.client(1) as busy:
        async with pool.client(1) as idle:
            pass
        await pool.aclose()
        assert (busy.is_closed, idle.is_closed) == (False, True)
    assert busy.is_closed
