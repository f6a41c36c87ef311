"""What must be done once before the roles start: provision the log, migrate the database."""

import asyncio
from functools import partial
from pathlib import Path

import offhook
from offhook.cli.embedded.revisions import RevisionLines
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.partitions import is_moving
from offhook.jetstream.provisioning.copies import Say
from offhook.jetstream.provisioning.leaders import spread_leaders
from offhook.jetstream.provisioning.provision import provision, require_safe
from offhook.jetstream.provisioning.repartition import StoredSequences, repartition
from offhook.jetstream.provisioning.rewrite import rewrite
from offhook.jetstream.stream import PARTITIONS_DEFAULT
from offhook.projections.maintenance import empty_views, require_foldable_from
from offhook.projections.views.schema.migrate import Report, migrate
from offhook.settings import Settings

MIGRATIONS = Path(offhook.__file__).parent / "migrations"


def prepare(settings: Settings, *, is_alone: bool = False, say: Say = lambda line: None) -> None:
    """Both steps. Repeating them changes nothing.

    `is_alone`: no role is connected, so that an older log is rewritten, and one of a single stream
    is moved to as many partitions as the settings ask for.
    """

    def migrate_and_say() -> None:
        asyncio.run(
            migrate_database(
                settings,
                report=RevisionLines(lambda line: say(f"database: {line}")),
                warn=lambda warning: say(f"warning: {warning}"),
            )
        )

    if is_alone and settings.partitions > 1:
        migrate_and_say()  # the move looks at the views
        asyncio.run(repartition_log(settings, say, rewrite_compressed=True))
    asyncio.run(provision_log(settings, rewrite_compressed=is_alone, say=say))
    migrate_and_say()


async def provision_log(
    settings: Settings, *, rewrite_compressed: bool = False, say: Say = lambda line: None
) -> int:
    """Create the streams and consumers; returns the number of partitions.

    Raises SettingInvalid if the log has another one than the settings say, and LogUnsafe for a
    server or stream that is refused.

    `rewrite_compressed` first rewrites streams that an older Offhook compressed; every role must be
    stopped.
    """
    client = await connect(settings.nats_url, "provision")
    try:
        if rewrite_compressed:
            await require_safe(settings.nats_monitor_urls)
            await rewrite(client, settings.nats_monitor_urls, settings.stream_replicas, say)
        partitions = await provision(
            client,
            settings.nats_monitor_urls,
            settings.stream_replicas,
            settings.partitions,
            when_new=PARTITIONS_DEFAULT,
        )
        if settings.stream_replicas > 1:
            for stream, node in (await spread_leaders(client, partitions)).items():
                say(f"{stream}: now led by {node}")
        return partitions
    finally:
        await close(client)


async def repartition_log(
    settings: Settings, say: Say, *, rewrite_compressed: bool = False
) -> bool:
    """Move a log of one stream to the partitions of the settings, and empty the views.

    False if there is none. Every role must be stopped; a move that was killed continues. Raises
    OffhookError.
    """

    async def check_views(stored: StoredSequences) -> None:
        await require_foldable_from(
            settings.postgres_url,
            first_seq=stored.first,
            last_seq=stored.last,
            deleted=stored.deleted,
        )

    client = await connect(settings.nats_url, "provision")
    try:
        # Once a move has begun nothing is compressed.
        if rewrite_compressed and not await is_moving(client):
            await rewrite(client, settings.nats_monitor_urls, settings.stream_replicas, say)
        return await repartition(
            client,
            settings.nats_monitor_urls,
            settings.stream_replicas,
            settings.partitions or PARTITIONS_DEFAULT,
            check_views=check_views,
            empty_views=partial(empty_views, settings.postgres_url),
            say=say,
        )
    finally:
        await close(client)


async def migrate_database(settings: Settings, *, report: Report, warn: Say) -> None:
    """Migrate the database to the newest revision; `report` and `warn` are as of `migrate`."""
    await migrate(settings.postgres_url, MIGRATIONS, report=report, warn=warn)
