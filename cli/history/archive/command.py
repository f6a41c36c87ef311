"""The command `offhook archive`: old sessions leave the log for compressed files."""

import asyncio
import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from offhook.cli.options import ReadyFile, console, settings_of_command
from offhook.errors import HistoryUnreadable, OperatorFault, words_of
from offhook.settings import Settings


def archive(
    *,
    to: Annotated[
        str,
        typer.Option(
            envvar="OFFHOOK_ARCHIVE_TO",
            metavar="PATH",
            help="A directory, or any URL that fsspec supports, such as s3://BUCKET/offhook.",
        ),
    ],
    older_than: Annotated[
        str,
        typer.Option(
            envvar="OFFHOOK_ARCHIVE_OLDER_THAN",
            metavar="AGE",
            help="Archive sessions whose last record is older: 30d, 36h; at least 1d.",
        ),
    ] = "30d",
    every: Annotated[
        str | None,
        typer.Option(
            envvar="OFFHOOK_ARCHIVE_EVERY",
            metavar="TIME",
            help="Keep running, and archive at this interval: 1d, 6h.",
        ),
    ] = None,
    ready_file: ReadyFile = None,
) -> None:
    """Move sessions that ended long ago from the log into compressed files that stay readable.

    If interrupted, the next run finishes what this one began.
    """
    settings = settings_of_command(ready_file)
    age = duration("--older-than", older_than)
    _archive(settings, _root(to), age, every)


def _archive(settings: Settings, root: str, age: timedelta, every: str | None) -> None:
    """Once; or at an interval, and then a run that fails does not end the command."""
    pause = None if every is None else duration("--every", every)
    from offhook.cli.history.archive.run import FAULTS, require_old_enough, run_archive
    from offhook.history.files import require_supported

    require_old_enough(age)
    require_supported(root)
    while True:
        try:
            asyncio.run(run_archive(console, settings, root, age, datetime.now(UTC)))
        except FAULTS as error:
            why = words_of(getattr(error, "orig", None) or error)
            if pause is None:
                raise OperatorFault(f"{why}. Run `offhook archive` again to continue") from error
            console.print(f"failed: {why}; retrying in {every}", markup=False, soft_wrap=True)
        except (OperatorFault, HistoryUnreadable) as error:
            # A rebuild that is at work, or a segment that is out of reach, may not be so next time.
            if pause is None:
                raise
            console.print(f"failed: {error}; retrying in {every}", markup=False, soft_wrap=True)
        if pause is None:
            return
        time.sleep(pause.total_seconds())


def duration(option: str, text: str) -> timedelta:
    """The time that 30d, 36h or 15m is. Raises OperatorFault."""
    found = re.fullmatch(r"(\d{1,5})(d|h|m)", text.strip())
    if found is None:
        raise OperatorFault(f"{option} is {text!r}; expected a number and d, h or m, such as 30d")
    unit = {"d": "days", "h": "hours", "m": "minutes"}[found[2]]
    return timedelta(**{unit: int(found[1])})


def _root(to: str) -> str:
    """A path as every process finds it."""
    return to if "://" in to else str(Path(to).expanduser().resolve())
