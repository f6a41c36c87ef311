"""The log of a stack that is busy, or was a moment ago."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from offhook.errors import LogUnavailable
from offhook.events import Record
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.log import JetStreamLog

TIMEOUT_S = 60.0


class PatientLog(JetStreamLog):
    """Asks again when an answer takes too long, as its readers in the product do."""

    async def read(
        self, session_id: str, *, in_after: int = 0, out_after: int = 0, limit: int | None = None
    ) -> Sequence[Record]:
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            try:
                return await super().read(
                    session_id, in_after=in_after, out_after=out_after, limit=limit
                )
            except LogUnavailable:
                if time.monotonic() > deadline:
                    raise


@asynccontextmanager
async def log_at(url: str) -> AsyncIterator[PatientLog]:
    """The log on the NATS server at `url`; the connection is closed whatever happens."""
    client = await connect(url, "test")
    try:
        yield PatientLog(client)
    finally:
        await close(client)
