"""Messages that no Offhook wrote: they are copied, and keep nothing else from being projected."""

import random
import string

import pytest
from nats.aio.client import Client
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.subjects import slot_of
from offhook.projections.projector.project import Projector
from tests.projections.story import call, caught_up, cold_views, projecting, publish, stored_views

LONG = "".join(random.Random(1).choices(string.ascii_letters, k=3_500))
"""Longer than an index entry of Postgres, and not to be compressed."""


@pytest.mark.parametrize("name", ["a\0b", "a.b.>", LONG], ids=["nul", "tokens", "long"])
@pytest.mark.parametrize("kind", ["WebhookReceived", "Decided\0"], ids=["webhook", "nul"])
async def test_a_subject_of_no_session_stops_nothing(
    client: Client, log: JetStreamLog, engine: AsyncEngine, name: str, kind: str
) -> None:
    subject = f"calls.{slot_of(name)}.{name}.in"
    headers = {"Offhook-Type": kind, "Offhook-Version": "1"}
    await client.jetstream().publish(subject, b"{}", headers=headers)
    await publish(log, call("s"))
    async with projecting(Projector(client, engine)):
        await caught_up(client, engine)
    found = (await stored_views(engine))["sessions"]  # with one that is parked, if it has no type
    assert [each for each in found if each["session_id"] == "s"] == (await cold_views(log, ["s"]))[
        "sessions"
    ]
    async with engine.connect() as connection:
        copied = await connection.execute(text("select body from event_log where side = ''"))
        assert copied.scalars().all() == [b"{}"]
