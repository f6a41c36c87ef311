"""Which kind of command gets the next permit when several wait. Pure.

    hangup, reject   first
    answer           when none of those waits; after seven permits of others in any case
    the rest         likewise, after those
    dial             when nothing else waits

So a long flood of hangups leaves no caller ringing, and no live call without its commands.
"""

from collections.abc import Collection

from offhook.workers.sending.urgency import ANSWERS, REST

SHARE = 8
"""One permit in this many goes to a kind that would otherwise always be passed over."""


class Fairness:
    """Kinds are urgencies (`urgency_of`)."""

    def __init__(self) -> None:
        self._passed_over = {ANSWERS: 0, REST: 0}  # permits in a row, while it waited

    def in_order(self, waiting: Collection[int]) -> list[int]:
        """The kinds that wait, in the order in which they are offered the permit."""
        due = [
            kind
            for kind, times in self._passed_over.items()
            if kind in waiting and times >= SHARE - 1
        ]
        return due + sorted(set(waiting) - set(due))

    def granted(self, given: int, waiting: Collection[int]) -> None:
        """Note which kind got a permit, and which kinds waited for it."""
        for kind, times in self._passed_over.items():
            if kind == given or kind not in waiting:
                self._passed_over[kind] = 0
            elif given < kind:
                self._passed_over[kind] = times + 1
