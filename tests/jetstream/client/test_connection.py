"""A connection that is closed for good is told of; one that may come back is not."""

import asyncio
import gc
import weakref

import pytest
from nats.aio.client import Client

from offhook.cli.embedded.nats_server import NatsServer
from offhook.errors import LogUnavailable
from offhook.jetstream.client.connection import close, connect, until_refused, when_reconnected

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
