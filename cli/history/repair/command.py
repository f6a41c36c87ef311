"""The command `offhook repair`: compares event_log with the log, and copies what is missing."""

import asyncio

from offhook.cli.options import ReadyFile, console, settings_of_command


def repair(ready_file: ReadyFile = None) -> None:
    """Compare event_log with the log, and copy missing and altered records again.

    The services may keep running. If it is interrupted, run it again.
    """
    from offhook.cli.history.repair.run import run_repair

    asyncio.run(run_repair(console, settings_of_command(ready_file)))
