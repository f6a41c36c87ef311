"""`offhook archive` in forty days: what is stored now is old enough then."""

from datetime import UTC, datetime, timedelta

import offhook.cli.history.archive as command
from offhook.cli.main import main


class _Later(datetime):
    """Its `now` is forty days ahead."""

    @classmethod
    def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
        return datetime.now(UTC) + timedelta(days=40)


if __name__ == "__main__":
    vars(command)["datetime"] = _Later
    main()
