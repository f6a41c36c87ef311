"""A migration's revisions as lines: what each does, and how far a long one is."""

import time
from collections.abc import Callable

from offhook.projections.views.schema.migrate import Migrating
from offhook.wording.durations import duration

PRINT_EVERY_S = 2.0


class RevisionLines:
    """Reports a migration: one line for each revision, and now and then one for its parts."""

    def __init__(
        self,
        say: Callable[[str], None],
        *,
        with_parts: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.revision = ""
        self._say = say
        self._with_parts = with_parts
        self._clock = clock
        self._began = self._said = 0.0

    def __call__(self, at: Migrating) -> None:
        now = self._clock()
        if at.revision != self.revision:
            self.revision = at.revision
            self._began = self._said = now
            self._say(f"{at.revision}: {at.title}")
        if self._with_parts and at.part and now - self._said >= PRINT_EVERY_S:
            self._said = now
            assert at.parts is not None
            left_s = (now - self._began) * (at.parts - at.part) / at.part
            self._say(f"{at.revision}: {at.part} of {at.parts} parts, {duration(left_s)} left")
