"""Counts what is repeated, so that the first is reported at once and the others as a number."""

from dataclasses import dataclass


@dataclass
class RepeatCount:
    """The count of one kind of event. The first `reported_max` are to be reported one by one."""

    reported_max: int = 1
    total: int = 0
    _unreported: int = 0

    def add(self) -> bool:
        """Count one. True if it is to be reported at once."""
        self.total += 1
        if self.total <= self.reported_max:
            return True
        self._unreported += 1
        return False

    def take(self) -> int:
        """How many were not reported one by one since this was last called."""
        taken, self._unreported = self._unreported, 0
        return taken
