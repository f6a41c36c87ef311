"""Five calls in the views."""

import pytest
from nats.aio.client import Client
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.jetstream.log import JetStreamLog
from offhook.projections.projector.project import Projector
from tests.projections.story import (
    call,
    caught_up,
    last_seq,
    projecting,
    publish,
)


@pytest.fixture
async def projected(client: Client, log: JetStreamLog, engine: AsyncEngine) -> int:
    """The last seq, with calls s0 to s4 in the views; s4 is still up."""
    for number in range(4):
        await publish(log, call(f"s{number}"))
    await publish(log, call("s4")[:6])
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)
    return await last_seq(client)
