"""Which kind of command has the next turn when several wait. Pure.

    hangup, reject   first
    answer           when none of those waits; after seven turns of others in any case
    the rest         likewise, after those
    dial             when nothing else waits

So a flood of hangups that lasts leaves no caller ringing, and no live call without its commands.
"""

from collections.abc import Collection

from offhook.workers.sending.rate_limits import ANSWERS, REST

SHARE = 8
"""One turn in so many goes to a kind that is passed over all the time."""


class Order:
    """Kinds are urgencies (`offhook.workers.sending.rate_limits.urgency_of`)."""

    def __init__(self) -> None:
        self._passed_over = {ANSWERS: 0, REST: 0}  # turns in a row, while it waited

    def among(self, waiting: Collection[int]) -> list[int]:
        """The kinds that wait, in the order in which they are to be offered a turn."""
        due = [
            kind
            for kind, times in self._passed_over.items()
            if kind in waiting and times >= SHARE - 1
        ]
        return due + sorted(set(waiting) - set(due))

    def gave(self, given: int, waiting: Collection[int]) -> None:
        """Take note of whom a turn was given to, and of the kinds that waited for it."""
        for kind, times in self._passed_over.items():
            if kind == given or kind not in waiting:
                self._passed_over[kind] = 0
            elif given < kind:
                self._passed_over[kind] = times + 1
