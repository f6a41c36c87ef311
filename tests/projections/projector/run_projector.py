"""A projector in a process of its own, to be killed: run_projector.py NATS_URL POSTGRES_URL."""

import asyncio
import signal
import sys

from offhook.jetstream.client.connection import close, connect
from offhook.projections.projector.project import Projector
from offhook.projections.views.database import open_database


async def main(nats_url: str, postgres_url: str) -> None:
    client = await connect(nats_url, "projector")
    engine = open_database(postgres_url)
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    await Projector(client, engine).run(stopping)
    await close(client)
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
