"""The log in memory and on JetStream, in one stream and in several: one test is for all of them."""

import uuid
from collections.abc import AsyncIterator, Iterator

import pytest

from offhook.cli.embedded.nats_server import NatsServer
from offhook.codec.webhooks import wire_body
from offhook.events import (
    CallAnswered,
    Decided,
)
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.log import EventLog, JetStreamLog
from offhook.jetstream.provisioning.provision import provision
from offhook.jetstream.subjects import partition_for
from tests.memory_log import MemoryLog


@pytest.fixture(scope="module", params=[0, 1, 4], ids=["memory", "jetstream", "partitions"])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[int, NatsServer | None]]:
    if not request.param:
        yield 0, None
        return
    with NatsServer() as server:
        yield request.param, server


@pytest.fixture
async def log(server: tuple[int, NatsServer | None]) -> AsyncIterator[EventLog]:
    partitions, nats = server
    if nats is None:
        yield MemoryLog()
        return
    client = await connect(nats.url, "test")
    await provision(client, [nats.monitor_url], partitions=partitions)
    yield JetStreamLog(client)
    await close(client)


def new_session() -> str:
    """In the last of four partitions, where a position is not the stream sequence."""
    while partition_for(session := str(uuid.uuid4()), 4) != 3:
        pass
    return session


def answered(event_id: str) -> bytes:
    return wire_body(CallAnswered(event_id=event_id, call_control_id="v3:a"))


def decided(session: str, cause_seq: int, worker: str = "w1") -> Decided:
    return Decided(
        cause_seq=cause_seq, cause_id="e", flow="f", flow_version="1", worker=worker, lease_s=3
    )
