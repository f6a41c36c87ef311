"""A connection that is closed for good is told of; one that may come back is not."""

import asyncio

from nats.aio.client import Client

from cli.servers import NatsServer
from offhook.errors import LogUnavailable
from offhook.jetstream.connection import close, connect, until_refused

LOOK_S = 0.02
LOOKS = 20
TIMEOUT_S = 60.0


async def is_told(client: Client, ending: asyncio.Event) -> bool:
    """Whether some looks find that the connection was refused."""
    try:
        async with asyncio.timeout(LOOK_S * LOOKS):
            await until_refused(client, "worker", ending, LOOK_S)
    except LogUnavailable:
        return True
    except TimeoutError:
        pass
    return False


async def test_a_connection_that_was_closed_is_told_unless_we_are_ending() -> None:
    ending = asyncio.Event()
    with NatsServer() as nats:
        client = await connect(nats.url, "test")
        assert not await is_told(client, ending)
        await client.close()
        assert await is_told(client, ending)
        ending.set()
        assert not await is_told(client, ending)


async def test_a_server_that_is_only_away_is_not_told() -> None:
    with NatsServer() as nats:
        client = await connect(nats.url, "test")
        await asyncio.to_thread(nats.stop)
        assert not await is_told(client, asyncio.Event())
        await asyncio.to_thread(nats.start)
        async with asyncio.timeout(TIMEOUT_S):
            while not client.is_connected:  # noqa: ASYNC110
                await asyncio.sleep(LOOK_S)
        await close(client)
