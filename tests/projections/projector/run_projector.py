"""A projector in a process of its own, to be killed."""

import asyncio
import signal

from offhook.jetstream.client.connection import close, connect
from offhook.projections.projector import batch
from offhook.projections.projector.project import Projector
from offhook.projections.views.database.engine import open_database


def run(nats_url: str, postgres_url: str, plain_in_a_row_min: str) -> None:
    """In the new process: project until SIGTERM."""
    batch.PLAIN_IN_A_ROW_MIN = int(plain_in_a_row_min)
    asyncio.run(_run(nats_url, postgres_url))


async def _run(nats_url: str, postgres_url: str) -> None:
    client = await connect(nats_url, "projector")
    engine = open_database(postgres_url)
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    await Projector(client, engine).run(stopping)
    await close(client)
    await engine.dispose()
