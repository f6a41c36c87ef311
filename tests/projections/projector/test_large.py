"""Many of the largest records in a row: more than a client, or a statement, holds at once."""

import pytest
from nats.aio.client import Client
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from offhook.events import UnknownEvent
from offhook.jetstream.log import JetStreamLog
from offhook.projections.projector.project import Projector
from tests.projections.story import caught_up, projecting, publish, webhook

TEXT = "x" * 6_000_000
HELD_BYTES_MAX = 128 * 1024 * 1024
"""What nats-py holds of a subscription; the server holds half of it for a connection."""

RECORDS = HELD_BYTES_MAX // len(TEXT) + 1


@pytest.mark.usefixtures("patient_projector")
async def test_many_of_the_largest_records_in_a_row_are_projected(
    client: Client, log: JetStreamLog, engine: AsyncEngine
) -> None:
    for number in range(RECORDS):
        said = UnknownEvent(event_type="call.said", event_id=str(number), payload={"text": TEXT})
        await publish(log, [webhook(f"s{number}", said)])
    async with projecting(Projector(client, engine)) as projector:
        await caught_up(client, engine)
        assert projector.progress.restarts == 0
    async with engine.connect() as connection:
        found = await connection.execute(text("select count(*), max(length(body)) from event_log"))
        count, longest = found.one()
    assert (count, longest > len(TEXT)) == (RECORDS, True)
