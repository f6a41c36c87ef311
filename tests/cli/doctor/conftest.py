"""One prepared system for all tests of the doctor; each makes something in it wrong."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import msgspec
import pytest

from offhook.cli.embedded.nats_server import NatsServer
from offhook.cli.embedded.postgres_server import PostgresServer
from offhook.cli.embedded.prepare import prepare
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.subjects import LIMITS
from offhook.settings import Settings
from offhook.workers.sending.rate_limits import FleetReport
from tests.cli.carrier import KEY, Carrier, carrier
from tests.cli.doctor.checks import PATIENCE_S, PUBLIC_KEY


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have whatever answers waited for, however busy the machine is."""
    for name in (
        "cli.doctor.carrier.TIMEOUT_S",
        "cli.doctor.log.MONITOR_TIMEOUT_S",
        "cli.doctor.log.TIMEOUT_S",
        "cli.doctor.roles.TIMEOUT_S",
        "cli.doctor.work.LISTEN_S",
        "cli.doctor.work.TIMEOUT_S",
        "projections.views.database.engine.CONNECT_TIMEOUT_S",
    ):
        monkeypatch.setattr(f"offhook.{name}", PATIENCE_S)


@pytest.fixture(scope="package")
def at_carrier() -> Iterator[Carrier]:
    with carrier() as running:
        yield running


@pytest.fixture(scope="package")
def own_nats() -> Iterator[NatsServer]:
    with NatsServer() as server:
        yield server


@pytest.fixture(scope="package")
def prepared(
    at_carrier: Carrier, own_nats: NatsServer, postgres_server: PostgresServer
) -> Iterator[Settings]:
    """A deployment where all is good; the carrier has application 12."""
    settings = Settings(
        nats_url=own_nats.url,
        nats_monitor_urls=(own_nats.monitor_url,),
        partitions=1,
        postgres_url=postgres_server.create_database(f"doctor_{uuid4().hex}"),
        public_keys=(PUBLIC_KEY,),
        carrier_url=at_carrier.url,
        carrier_key=KEY,
    )
    prepare(settings)
    with _reporting(own_nats.url):
        yield settings


@contextmanager
def _reporting(nats_url: str) -> Iterator[None]:
    """As if a worker ran: what the workers tell each other, more often than they do."""
    stopping = threading.Event()

    async def report() -> None:
        client = await connect(nats_url, "test")
        while not stopping.is_set():
            await client.publish(LIMITS, msgspec.json.encode(FleetReport(worker="w1")))
            await asyncio.sleep(0.05)
        await close(client)

    thread = threading.Thread(target=lambda: asyncio.run(report()))
    thread.start()
    yield
    stopping.set()
    thread.join()


@pytest.fixture
def good(prepared: Settings, at_carrier: Carrier) -> Settings:
    at_carrier.reset(desk12={})
    return prepared
