"""The whole of Offhook as processes of its own: one stack around the simulator for these tests, and
one around a carrier that notes what it is asked.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from telnyx import AsyncTelnyx

from offhook.cli.embedded.nats_server import NatsServer
from offhook.cli.embedded.postgres_server import PostgresServer
from tests.api.recorder import Recorder, recording
from tests.api.stack import ADMIN, CARRIER_KEY, Stack, sdk_at, started


@pytest.fixture(scope="session")
def stack(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """A NATS server of its own: the stream has one name, and these tests fill it."""
    logs: Path = tmp_path_factory.mktemp("api-logs")
    with NatsServer() as nats, started(nats, postgres_server, logs) as running:
        yield running


@pytest.fixture(scope="session")
def recorder() -> Iterator[Recorder]:
    """The carrier of `recorded`."""
    with recording() as recorder:
        yield recorder


@pytest.fixture(scope="session")
def recorded(
    recorder: Recorder, postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """A stack whose carrier is the recorder."""
    logs: Path = tmp_path_factory.mktemp("recorded-logs")
    with (
        NatsServer() as nats,
        started(nats, postgres_server, logs, carrier_url=recorder.url) as running,
    ):
        yield running


@pytest.fixture
async def sdk(stack: Stack) -> AsyncIterator[AsyncTelnyx]:
    """The official SDK at the API."""
    async with sdk_at(f"{stack.api_url}/v2", ADMIN) as client:
        yield client


@pytest.fixture(params=["api", "carrier"])
async def either(request: pytest.FixtureRequest, stack: Stack) -> AsyncIterator[AsyncTelnyx]:
    """The official SDK at the API with the simulator behind it, and at the simulator itself."""
    url, key = (
        (stack.api_url, ADMIN) if request.param == "api" else (stack.simulator_url, CARRIER_KEY)
    )
    async with sdk_at(f"{url}/v2", key) as client:
        yield client
