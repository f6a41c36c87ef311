"""The JSON lines that the roles of a stack have logged since they were last read."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

READ_BYTES_MAX = 1024 * 1024
"""Read from one log at a time; the rest is read the next time."""


class RoleLogs:
    """The `*.log` files of a directory, from where they ended when this was created."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._positions = {path.stem: path.stat().st_size for path in directory.glob("*.log")}

    def new_lines(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Role and line, file by file. Lines that are not JSON objects are skipped."""
        for path in sorted(self._directory.glob("*.log")):
            position = self._positions.get(path.stem, 0)
            if path.stat().st_size <= position:
                continue
            with path.open("rb") as log:
                log.seek(position)
                read = log.read(READ_BYTES_MAX)
            whole, newline, _ = read.rpartition(b"\n")
            # A line longer than a whole read is skipped, or nothing after it would ever be read.
            taken = len(whole) + len(newline) or (len(read) if len(read) == READ_BYTES_MAX else 0)
            self._positions[path.stem] = position + taken
            for line in whole.splitlines():
                if (fields := _fields_of(line)) is not None:
                    yield path.stem, fields


def _fields_of(line: bytes) -> dict[str, Any] | None:
    try:
        fields = json.loads(line)
    except ValueError:
        return None
    return fields if isinstance(fields, dict) else None
