"""The command `offhook migrate`."""

from offhook.cli.options import ReadyFile, settings_of_command


def migrate(ready_file: ReadyFile = None) -> None:
    """Migrate the database to the newest revision. Running it again changes nothing.

    Prints each revision that it applies. All are applied at once: if it is killed, none is.
    """
    from offhook.cli.migrate.run import migrate_and_show

    migrate_and_show(settings_of_command(ready_file))
