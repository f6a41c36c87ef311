"""`offhook archive` and `offhook erase` as forked processes, which a test can kill."""

import sys
from datetime import UTC, datetime, timedelta


class _Later(datetime):
    """Its `now` is forty days ahead."""

    @classmethod
    def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
        return datetime.now(UTC) + timedelta(days=40)


def archive_later(*words: str) -> None:
    """`offhook archive` in forty days: what is stored now is old enough then."""
    import offhook.cli.history.archive.command as command

    vars(command)["datetime"] = _Later
    run_offhook(*words)


def run_offhook(*words: str) -> None:
    """The command, in this process."""
    from offhook.cli.main import main

    sys.argv = ["offhook", *words]
    main()
