"""A connection that is closed for good is told of; one that may come back is not."""

import asyncio
import contextlib
import gc
import weakref
from functools import partial

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from offhook.cli.embedded.nats_server import NatsServer
from offhook.errors import LogUnavailable
from offhook.jetstream.client import connection
from offhook.jetstream.client.connection import (
    client_options,
    close,
    connect,
    unread,
    until_refused,
    when_reconnected,
)
from offhook.process.ending import end

LOOK_S = 0.02
TIMEOUT_S = 60.0


async def looks(client: Client, ending: asyncio.Event, within_s: float = LOOK_S * 20) -> None:
    """Look at it that long. Raises LogUnavailable if it is told, else TimeoutError."""
    async with asyncio.timeout(within_s):
        await until_refused(client, "worker", ending, LOOK_S)


async def test_a_connection_that_was_closed_is_told_unless_we_are_ending() -> None:
    ending = asyncio.Event()
    with NatsServer() as nats:
        client = await connect(nats.url, "test")
        with pytest.raises(TimeoutError):
            await looks(client, ending)
        await client.close()
        with pytest.raises(LogUnavailable, match="refuses this worker"):
            await looks(client, ending, TIMEOUT_S)
        ending.set()
        with pytest.raises(TimeoutError):
            await looks(client, ending)


@pytest.mark.filterwarnings("error")  # a connection that is only forgotten is one
async def test_a_server_that_says_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    is_left = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # until the other side closes
        is_left.set()
        writer.close()

    monkeypatch.setattr(connection, "FIRST_CONNECTION_S", 0.2)
    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as silent:
        url = f"nats://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
        with pytest.raises(LogUnavailable, match="no NATS server answers"):
            await connect(url, "test")
        async with asyncio.timeout(TIMEOUT_S):
            await is_left.wait()


async def test_a_first_connection_that_drops_a_cancellation_is_given_up_even_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """nats-py may, on Python 3.11, and then retries forever."""
    begun, dropped = asyncio.Event(), asyncio.Event()

    async def retries() -> Client:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            dropped.set()
        await asyncio.Event().wait()
        return Client()

    monkeypatch.setattr(connection, "FIRST_CONNECTION_S", 0.01)
    monkeypatch.setattr(connection, "end", partial(end, again_s=0.01))
    async with asyncio.timeout(TIMEOUT_S):
        with pytest.raises(LogUnavailable, match="no NATS server answers at nats://x"):
            await connection.first_connection("nats://x", retries())
        assert dropped.is_set()
        begun.clear()
        dropped.clear()
        monkeypatch.setattr(connection, "FIRST_CONNECTION_S", TIMEOUT_S)
        connecting = asyncio.create_task(connection.first_connection("nats://x", retries()))
        await begun.wait()
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
    assert dropped.is_set()


async def test_a_connection_that_was_made_when_it_was_cancelled_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun = asyncio.Event()
    # However long it takes to connect: one more cancellation would end that.
    monkeypatch.setattr(connection, "end", partial(end, again_s=TIMEOUT_S))

    async def made() -> Client:
        begun.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        clients.append(await connect(nats.url, "test"))
        return clients[0]

    clients: list[Client] = []
    with NatsServer() as nats:
        connecting = asyncio.create_task(connection.first_connection(nats.url, made()))
        await begun.wait()
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
    assert clients[0].is_closed


INFO = b'INFO {"version": "2.15.1", "proto": 1, "headers": true, "max_payload": 1048576}\r\n'


@pytest.mark.filterwarnings("error")  # a connection that is only forgotten is one
async def test_a_server_that_does_not_greet_is_left_before_each_attempt_to_reconnect() -> None:
    left: asyncio.Queue[None] = asyncio.Queue()
    is_in = asyncio.Event()

    async def greet_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if not is_in.is_set():
                writer.write(INFO)
                while await reader.readline() != b"PING\r\n":
                    pass
                writer.write(b"PONG\r\n")
                await is_in.wait()
            else:
                writer.write(b"-ERR 'no more of you'\r\n")
                await reader.read()  # until the other side closes
                left.put_nowait(None)
        finally:
            writer.close()

    async with await asyncio.start_server(greet_once, "127.0.0.1", 0) as server:
        client = await connect(f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}", "test")
        is_in.set()
        async with asyncio.timeout(TIMEOUT_S):
            await left.get()
            await left.get()
        await close(client)


async def test_a_server_that_is_away_is_not_logged_at_every_attempt(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A role that was started before NATS wrote the same line twenty times before it ended."""
    on_error = client_options("nats://user:secret@127.0.0.1:4222", "worker")["error_cb"]
    for _ in range(20):
        await on_error(ConnectionRefusedError(111, "Connection refused"))
    await on_error(NatsError("permissions violation for publish to a"))
    await on_error(NatsError("permissions violation for publish to b"))
    refused, *denied = [vars(each) for each in caplog.records if each.message == "nats error"]
    assert refused["servers"] == "nats://127.0.0.1:4222"
    assert [each["error"][-3] for each in denied] == ["a", "b"]


async def test_a_server_that_is_only_away_is_not_told() -> None:
    with NatsServer() as nats:
        client = await connect(nats.url, "test")
        await asyncio.to_thread(nats.stop)
        with pytest.raises(TimeoutError):
            await looks(client, asyncio.Event())
        await asyncio.to_thread(nats.start)
        async with asyncio.timeout(TIMEOUT_S):
            while not client.is_connected:  # noqa: ASYNC110
                await asyncio.sleep(LOOK_S)
        await close(client)


async def test_a_closed_connection_is_not_kept_by_what_waits_for_its_reconnection() -> None:
    with NatsServer() as nats:
        client = await connect(nats.url, "test")
        when_reconnected(client, lambda client=client: None)  # type: ignore[misc]
        await close(client)
        kept = weakref.ref(client)
        del client
        await asyncio.sleep(0)
        gc.collect()
        assert kept() is None


async def test_what_comes_while_nothing_is_read_is_read_at_once_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Many small messages woke the projector for each of them."""
    reads, received = 0, asyncio.Queue[bytes]()
    feed_data = asyncio.StreamReader.feed_data

    def counted(self: asyncio.StreamReader, data: bytes) -> None:
        nonlocal reads
        reads += self is reader
        feed_data(self, data)

    async def take(message: Msg) -> None:
        received.put_nowait(message.data)

    with NatsServer() as nats:
        client, other = await connect(nats.url, "test"), await connect(nats.url, "other")
        reader = client._transport._io_reader  # type: ignore[union-attr]
        await client.subscribe("news", cb=take)
        # Not a flush: nats-py writes its PING before the subscription that still waits.
        await client.publish("news", b"subscribed")
        async with asyncio.timeout(TIMEOUT_S):
            assert await received.get() == b"subscribed"
        monkeypatch.setattr(asyncio.StreamReader, "feed_data", counted)
        with unread(client):
            for number in range(100):
                await other.publish("news", b"%d" % number)
                await other.flush()
            assert received.empty()
            assert reads == 0
        async with asyncio.timeout(TIMEOUT_S):
            found = [await received.get() for _ in range(100)]
        assert found == [b"%d" % number for number in range(100)]
        assert reads < 50
        await close(client)
        await close(other)


async def test_a_connection_that_is_closed_while_nothing_is_read_stays_closed() -> None:
    with NatsServer() as nats:
        client = await connect(nats.url, "test")
        with unread(client):
            await client.close()
        with unread(client):
            assert client.is_closed


async def test_a_server_that_ends_while_nothing_is_read_is_connected_to_again() -> None:
    with NatsServer() as nats:
        client, reconnected = await connect(nats.url, "test"), asyncio.Event()
        when_reconnected(client, reconnected.set)
        with unread(client):
            await asyncio.to_thread(nats.stop)
            await asyncio.to_thread(nats.start)
        async with asyncio.timeout(TIMEOUT_S):
            await reconnected.wait()
        await close(client)
