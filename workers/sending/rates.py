"""A rate limit that several workers share: each one's part, and the places taken in it. Pure.

A place is taken before a command is sent, and is free again one window after its answer came: so
the carrier never sees more than the limit arrive within a window, however long requests take on
their way.
"""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

DIALS_WINDOW_S = 5.0
"""The carrier averages dials per second over this time. Source: its `dials-per-second-limit`
page."""

COMMANDS_WINDOW_S = 1.0

CHANGED_S = 1.5
"""How long after a change every worker uses the new parts."""

LimitName = Literal["dials", "commands", "carrier"]


@dataclass(frozen=True, kw_only=True)
class Rate:
    """At most `count` within any `window_s`."""

    count: int
    window_s: float


def rates_from(*, dials_per_s: float, commands_per_s: float) -> dict[LimitName, Rate]:
    """The limits that are set; 0 means no limit."""
    rates: dict[LimitName, Rate] = {}
    if dials_per_s:
        rates["dials"] = _rate_from(dials_per_s, DIALS_WINDOW_S)
    if commands_per_s:
        rates["commands"] = _rate_from(commands_per_s, COMMANDS_WINDOW_S)
    return rates


def _rate_from(per_s: float, window_s: float) -> Rate:
    """A rate below one per window becomes one per longer window."""
    count = int(per_s * window_s + 1e-9)
    if count >= 1:
        return Rate(count=count, window_s=window_s)
    return Rate(count=1, window_s=1 / per_s)


def part_of(limit: Rate, worker: str, fleet: Mapping[str, bool]) -> Rate:
    """The worker's part of a fleet's limit. `fleet` says of each worker whether it is pressed.

    One for each; half of the rest in equal parts, so that a worker at rest can send at once; the
    other half among those whose commands wait. Every worker works out the same parts.
    """
    assert worker in fleet
    workers = sorted(fleet)
    if len(workers) > limit.count:  # less than one each: longer windows
        return Rate(count=1, window_s=limit.window_s * len(workers) / limit.count)
    pressed = [each for each in workers if fleet[each]] or workers
    rest = limit.count - len(workers)
    for_pressed = rest // 2
    own = 1 + _share(rest - for_pressed, workers, worker)
    if worker in pressed:
        own += _share(for_pressed, pressed[::-1], worker)
    return Rate(count=own, window_s=limit.window_s)


def _share(count: int, workers: Sequence[str], worker: str) -> int:
    """An equal share in whole numbers; the first ones get what is left over."""
    each, over = divmod(count, len(workers))
    return each + (workers.index(worker) < over)


class Window:
    """A worker's places in one limit. Times are seconds of one monotonic clock."""

    def __init__(self, part: Rate, now: float) -> None:
        self._window_s = part.window_s
        self._parts: deque[tuple[float, int]] = deque([(now, part.count)])  # since when, how many
        self._in_flight = 0
        self._answered: deque[float] = deque()

    def resize(self, part: Rate, now: float) -> None:
        """Use another part from now on."""
        self._window_s = part.window_s
        if part.count != self._parts[-1][1]:
            self._parts.append((now, part.count))

    def count(self, now: float) -> int:
        """How many there are: the smallest part that other workers may still assume."""
        since = now - self._window_s - CHANGED_S
        while len(self._parts) > 1 and self._parts[1][0] <= since:
            self._parts.popleft()
        return min(count for _, count in self._parts)

    def reserve(self, now: float) -> int:
        """How many of them are closed to dials: a call that is up must not wait for new calls."""
        count = self.count(now)
        return max(1, count // 8) if count > 1 else 0

    def free(self, now: float, window_s_max: float = math.inf) -> int:
        """How many are free. Answers from longer than `window_s_max` ago do not count."""
        return self.count(now) - self._in_flight - len(self._counted(now, window_s_max))

    def free_at(self, wanted: int, now: float, window_s_max: float = math.inf) -> float | None:
        """When this many will be free if none is taken; None if that depends on open answers."""
        lacking = wanted - self.free(now, window_s_max)
        if lacking <= 0:
            return now
        counted = self._counted(now, window_s_max)
        if lacking > len(counted):
            return None
        return counted[lacking - 1] + min(self._window_s, window_s_max)

    def _counted(self, now: float, window_s_max: float) -> Sequence[float]:
        """When the answers came that still count."""
        while self._answered and self._answered[0] + self._window_s <= now:
            self._answered.popleft()
        if window_s_max >= self._window_s:
            return self._answered
        return [at for at in self._answered if at + window_s_max > now]

    def take(self) -> None:
        """Take a place for a command that is about to be sent."""
        self._in_flight += 1

    def give_back(self, now: float, *, sent: bool) -> None:
        """The answer came; or nothing was sent, and the place is free at once."""
        self._in_flight -= 1
        if sent:
            self._answered.append(now)
