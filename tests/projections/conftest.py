"""A log and a migrated database for each test, both on real servers."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from nats.aio.client import Client
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.cli.embedded.nats_server import NatsServer
from offhook.cli.embedded.postgres_server import PostgresServer
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.provisioning.provision import provision
from offhook.projections.views.database.engine import open_database
from tests.projections.story import TIMEOUT_S

MIGRATIONS = Path(__file__).parents[2] / "migrations"


@pytest.fixture(autouse=True)
def _patient(patient_log: None) -> None:
    """No test here is about a log that is away."""


@pytest.fixture
def migrations() -> Path:
    return MIGRATIONS


@pytest.fixture
def empty_database_url(postgres_server: PostgresServer) -> str:
    return postgres_server.create_database(f"projections_{uuid4().hex}")


@pytest.fixture
def database_url(postgres_server: PostgresServer, migrated: str) -> str:
    return postgres_server.create_database(f"projections_{uuid4().hex}", template=migrated)


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = open_database(database_url)
    yield engine
    await engine.dispose()


@pytest.fixture
def own_nats_server() -> Iterator[NatsServer]:
    """A server whose stream a test may delete; it starts in milliseconds."""
    with NatsServer() as server:
        yield server


@pytest.fixture
def partitions() -> int:
    """Of the log; a module with more than one has a fixture of its own."""
    return 1


@pytest.fixture
async def client(own_nats_server: NatsServer, partitions: int) -> AsyncIterator[Client]:
    client = await connect(own_nats_server.url, "test")
    await provision(client, [own_nats_server.monitor_url], partitions=partitions)
    yield client
    await close(client)


@pytest.fixture
def patient_projector(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a projector go on after a busy machine kept it, or a server, from working for seconds.

    It would count a restart otherwise, as it should.
    """
    for name in (
        "projector.project.IDLE_IN_TRANSACTION_S",
        "projector.leases.EXPIRES_S",
        "projector.deliveries.API_TIMEOUT_S",
        "projector.deliveries.ON_THE_WAY_S",
        "views.database.engine.CONNECT_TIMEOUT_S",
    ):
        monkeypatch.setattr(f"offhook.projections.{name}", TIMEOUT_S)


@pytest.fixture
def log(client: Client) -> JetStreamLog:
    return JetStreamLog(client)
