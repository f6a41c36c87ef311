"""What must be done once before the services start: provision the log, migrate the database."""

import asyncio
from pathlib import Path

from offhook.jetstream.connection import close, connect
from offhook.jetstream.stream import provision
from offhook.settings import Settings
from projections.schema import migrate


def prepare(settings: Settings) -> None:
    """Both steps. Doing them again changes nothing."""
    asyncio.run(provision_log(settings))
    asyncio.run(migrate_database(settings))


async def provision_log(settings: Settings) -> None:
    """Make stream and consumers. Raises LogUnsafe for a server without sync_interval: always."""
    client = await connect(settings.nats_url, "provision")
    try:
        await provision(client, settings.nats_monitor_urls, settings.stream_replicas)
    finally:
        await close(client)


async def migrate_database(settings: Settings) -> None:
    """Bring the database to the newest revision."""
    await migrate(settings.postgres_url, migrations_folder())


def migrations_folder() -> Path:
    """Beside this file in an installed package, at the root of a checkout."""
    here = Path(__file__).resolve().parent
    packaged = here / "migrations"
    return packaged if packaged.is_dir() else here.parent / "migrations"
