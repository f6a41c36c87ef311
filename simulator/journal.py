"""What survives the simulator's process: the calls that are up, and the created applications.

A real carrier is never killed. This one may be: its calls are lost, and their hangup, which the
application waits for, is sent at the next start (`exchange`). A leg stays in the journal until its
hangup is delivered, or given up as any webhook is.

The 60 s memory of command_ids and the effects are not kept.
"""

import logging
import sqlite3
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from offhook.errors import SettingInvalid

StoredValue = TypeVar("StoredValue")
Table = Literal["legs", "applications"]

_log = logging.getLogger(__name__)


class Journal:
    """An SQLite file. It survives a kill -9 of this process, but not a power failure.

    Raises SettingInvalid for a path that cannot be used.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._db = sqlite3.connect(path, isolation_level=None)
            self._db.execute("pragma journal_mode = wal")
            self._db.execute("pragma synchronous = off")
            for table in ("legs", "applications"):
                self._db.execute(
                    f"create table if not exists {table} (id text primary key, body blob not null)"
                )
        except sqlite3.Error as error:
            raise SettingInvalid(
                f"OFFHOOK_SIMULATOR_JOURNAL is {str(path)!r}, which cannot be used: {error}; "
                "expected a path for an SQLite file"
            ) from None

    def keep(self, table: Table, key: str, value: Any) -> None:
        """Store a value; it replaces the one with the same key."""
        self._db.execute(
            f"insert into {table} values (?, ?) "
            "on conflict (id) do update set body = excluded.body",
            (key, msgspec.json.encode(value)),
        )

    def forget(self, table: Table, key: str) -> None:
        """Remove the value with this key, if there is one."""
        self._db.execute(f"delete from {table} where id = ?", (key,))

    def read(self, table: Table, kind: type[StoredValue]) -> list[StoredValue]:
        """All values, the oldest key first. A value that cannot be read is removed, and logged."""
        found = []
        for key, body in self._db.execute(
            f"select id, body from {table} order by rowid"
        ).fetchall():
            try:
                found.append(msgspec.json.decode(body, type=kind))
            except msgspec.ValidationError as error:
                # Written by another version of the simulator.
                _log.warning(
                    "removed a row of the journal that cannot be read",
                    extra={"id": key, "error": str(error)},
                )
                self.forget(table, key)
        return found

    def close(self) -> None:
        """Close the file."""
        self._db.close()
