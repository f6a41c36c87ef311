"""A deployment that cannot work is told at the start, by the right error and in plain words."""

import asyncio
import dataclasses
from collections.abc import Iterator

import pytest

from offhook.cli.embedded.nats_server import NatsServer
from offhook.errors import LogMissing, LogUnavailable, LogUnsafe, SettingInvalid
from offhook.ingress.app import run
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.stream import stream_config
from offhook.settings import Settings
from offhook.telnyx.signature import public_key_text
from tests.ingress.stand import KEY, provisioned, settings_on

START_MAX_S = 180.0


@pytest.fixture
def bare_server() -> Iterator[NatsServer]:
    """One where nothing was provisioned."""
    with NatsServer() as server:
        yield server


async def start(settings: Settings) -> None:
    async with asyncio.timeout(START_MAX_S):
        await run(settings)


async def test_without_a_public_key_it_does_not_start() -> None:
    with pytest.raises(SettingInvalid, match="OFFHOOK_PUBLIC_KEYS is not set; expected the base64"):
        await start(Settings())


@pytest.mark.parametrize("text", ["nonsense", "AAAA", "not base64!"])
async def test_with_a_key_that_is_none_it_does_not_start(
    nats_server: NatsServer, text: str
) -> None:
    settings = dataclasses.replace(settings_on(nats_server), public_keys=(text,))
    with pytest.raises(SettingInvalid, match=r"OFFHOOK_PUBLIC_KEYS: .* is not base64 of 32 bytes"):
        await start(settings)


async def test_without_a_stream_it_does_not_start(bare_server: NatsServer) -> None:
    with pytest.raises(LogMissing, match="stream CALLS does not exist: run `offhook provision`"):
        await start(settings_on(bare_server, KEY))


async def test_on_a_server_that_would_lose_writes_it_does_not_start() -> None:
    with NatsServer(sync_always=False) as unsafe:
        client = await connect(unsafe.url, "test")
        await client.jetstream().add_stream(stream_config(1))
        await close(client)
        with pytest.raises(LogUnsafe, match="set `sync_interval: always`"):
            await start(settings_on(unsafe))


async def test_with_nobody_at_the_address_it_does_not_start(free_port: int) -> None:
    url = f"nats://127.0.0.1:{free_port}"
    with pytest.raises(LogUnavailable, match=f"no NATS server answers at {url}"):
        await start(
            dataclasses.replace(Settings(), nats_url=url, public_keys=(public_key_text(KEY),))
        )


async def test_without_monitoring_it_does_not_start(
    nats_server: NatsServer, free_port: int
) -> None:
    await provisioned(nats_server)
    url = f"http://127.0.0.1:{free_port}"
    settings = dataclasses.replace(settings_on(nats_server), nats_monitor_urls=(url,))
    with pytest.raises(LogUnavailable, match=f"no NATS monitoring answers at {url}"):
        await start(settings)
