"""The command `offhook migrate`."""

import asyncio

from offhook.cli.options import ReadyFile, console, settings_of_command


def migrate(ready_file: ReadyFile = None) -> None:
    """Migrate the database to the newest revision. Running it again changes nothing."""
    from offhook.cli.embedded.prepare import migrate_database

    asyncio.run(migrate_database(settings_of_command(ready_file)))
    console.print("database: migrated")
