"""What the tests of ingress share."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from nats.aio.client import Client

from offhook.cli.embedded.nats_server import NatsServer
from offhook.jetstream.client.connection import close, connect
from tests.ingress.stand import (
    KEY,
    OLD_KEY,
    PATIENT_LOG_TIMEOUT_S,
    Ingress,
    provisioned,
    running_ingress,
    settings_on,
)


@pytest.fixture(scope="module")
def ingress(nats_server: NatsServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ingress]:
    asyncio.run(provisioned(nats_server))
    log_path: Path = tmp_path_factory.mktemp("ingress") / "log"
    settings = settings_on(nats_server, OLD_KEY, KEY)
    with running_ingress(settings, log_path, PATIENT_LOG_TIMEOUT_S) as running:
        yield running


@pytest.fixture
async def nats_client(nats_server: NatsServer) -> AsyncIterator[Client]:
    client = await connect(nats_server.url, "test")
    yield client
    await close(client)


@pytest.fixture
async def http(ingress: Ingress) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=ingress.url, trust_env=False, timeout=60) as client:
        yield client
