"""How many commands a worker may send now: its part of what the whole fleet may. Pure.

    limit      at most, for the fleet                           counts
    dials      OFFHOOK_DIALS_PER_S, over any 5 s                dials
    commands   OFFHOOK_COMMANDS_PER_S, if set, in any second    every command
    carrier    x-ratelimit-limit, if the carrier tells it       every command

A place is taken before a command is sent, and is free again one window after its answer came: so
the carrier never sees more than the limit arrive within a window, however long requests take on
their way. What the carrier says goes before: 429, or nothing remaining, closes until its reset, but
not for longer than CLOSED_MAX_S: one odd header must not stop every call.

The parts of a fleet add up to the limit. A part that shrinks does so at once, one that grows waits
until what the others gave up has run out; a worker that joins is the one moment of overshoot, by
its own part at most, and for one window.
"""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from offhook.telnyx.outcomes import RESET_MAX_S

DIALS_WINDOW_S = 5.0
"""The carrier averages dials per second over so long. Source: its `dials-per-second-limit` page."""

COMMANDS_WINDOW_S = 1.0

REPORT_S = 1.0
"""How often each worker tells the others how it stands."""

SETTLED_S = 1.5
"""So long after a change every worker goes by it."""

MEMBER_S = 3.5
"""A worker that was not heard of for so long is gone."""

CARRIER_LIMIT_S = 60.0
"""A limit that no answer has mentioned for so long is forgotten when commands wait for it."""

INFERRED_MAX_S = 5.0
"""So long the end of a call is held up by a limit that is read out of headers."""

Closed = Literal["ends", "rest", "dials"]
"""What a 429 closes: the first two, or dials alone. A dial is of the rest too."""

CLOSED_MAX_S: Mapping[Closed, float] = {"ends": 5.0, "rest": 15.0, "dials": DIALS_WINDOW_S}
"""So long a 429 closes at most, whatever its header says: another one does no harm.

A call that should end goes on meanwhile, so its end is tried soon; the rest, so that what waits can
still be sent before it is given up. Dials count with the carrier for no longer than its window."""

COUNT_MAX = 100_000
"""A higher limit of the carrier's is none that a fleet would reach."""

ENDS, ANSWERS, REST, LAST = range(4)
_URGENCY = {"hangup": ENDS, "reject": ENDS, "answer": ANSWERS, "dial": LAST}


def urgency_of(operation: str) -> int:
    """0 goes first: ending a call, then answering one, then the rest, and a new call last."""
    return _URGENCY.get(operation, REST)


@dataclass(frozen=True, kw_only=True)
class Limit:
    """At most `count` within any `window_s`."""

    count: int
    window_s: float


Name = Literal["dials", "commands", "carrier"]


def limits_of(*, dials_per_s: float, commands_per_s: float) -> dict[Name, Limit]:
    """The limits that are set; a rate of 0 is none."""
    limits: dict[Name, Limit] = {}
    if dials_per_s:
        limits["dials"] = _limit_of(dials_per_s, DIALS_WINDOW_S)
    if commands_per_s:
        limits["commands"] = _limit_of(commands_per_s, COMMANDS_WINDOW_S)
    return limits


def _limit_of(per_s: float, window_s: float) -> Limit:
    """A rate as a limit. Less than one in a window is one in a longer window."""
    count = int(per_s * window_s + 1e-9)
    if count >= 1:
        return Limit(count=count, window_s=window_s)
    return Limit(count=1, window_s=1 / per_s)


def part_of(limit: Limit, worker: str, fleet: Mapping[str, bool]) -> Limit:
    """The worker's part of a fleet's limit. `fleet` says of each worker whether it is pressed.

    One for each; half of the rest in equal parts, so that a worker at rest can send at once; the
    other half among those whose commands wait. Every worker works out the same parts.
    """
    assert worker in fleet
    workers = sorted(fleet)
    if len(workers) > limit.count:  # less than one each: longer windows
        return Limit(count=1, window_s=limit.window_s * len(workers) / limit.count)
    pressed = [each for each in workers if fleet[each]] or workers
    rest = limit.count - len(workers)
    for_pressed = rest // 2
    own = 1 + _share(rest - for_pressed, workers, worker)
    if worker in pressed:
        own += _share(for_pressed, pressed[::-1], worker)
    return Limit(count=own, window_s=limit.window_s)


def _share(count: int, workers: Sequence[str], worker: str) -> int:
    """An equal share in whole numbers; the first ones get what is left over."""
    each, over = divmod(count, len(workers))
    return each + (workers.index(worker) < over)


def _can_be_meant(carrier: Limit) -> bool:
    return 1 <= carrier.count <= COUNT_MAX and COMMANDS_WINDOW_S <= carrier.window_s <= RESET_MAX_S


class Window:
    """A worker's places in one limit. Times are seconds of one monotonic clock."""

    def __init__(self, part: Limit, now: float) -> None:
        self._window_s = part.window_s
        self._parts: deque[tuple[float, int]] = deque([(now, part.count)])  # since when, how many
        self._under_way = 0
        self._answered: deque[float] = deque()

    def resize(self, part: Limit, now: float) -> None:
        self._window_s = part.window_s
        if part.count != self._parts[-1][1]:
            self._parts.append((now, part.count))

    def count(self, now: float) -> int:
        """The least of the parts since the others' places of that time can still be taken."""
        since = now - self._window_s - SETTLED_S
        while len(self._parts) > 1 and self._parts[1][0] <= since:
            self._parts.popleft()
        return min(count for _, count in self._parts)

    def reserve(self, now: float) -> int:
        """So many places no dial may take: a call that is up must not wait for new ones."""
        count = self.count(now)
        return max(1, count // 8) if count > 1 else 0

    def free(self, now: float, window_s_max: float = math.inf) -> int:
        return self.count(now) - self._under_way - len(self._counted(now, window_s_max))

    def free_at(self, wanted: int, now: float, window_s_max: float = math.inf) -> float | None:
        """When so many will be free if no more are taken; None if that hangs on open answers."""
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
        self._under_way += 1

    def give_back(self, now: float, *, sent: bool) -> None:
        """Its answer came; or nothing was sent, and the place is free at once."""
        self._under_way -= 1
        if sent:
            self._answered.append(now)


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a worker tells the others each second, and at once when the carrier says 429.

    Ages and times to go instead of times: clocks differ between machines. What is closed is
    told by whom the carrier told it: a time to go grows on its way by as long as that takes, and in
    a fleet that passed it on it would do so again and again.
    """

    worker: str
    is_pressed: bool = False  # commands have waited in the last second or two
    is_leaving: bool = False
    closed_s: float = 0.0  # how long the carrier takes no command any more
    ends_closed_s: float = 0.0  # how long none that ends a call
    dials_closed_s: float = 0.0
    carrier: Limit | None = None
    carrier_age_s: float = 0.0  # since an answer mentioned it


@dataclass(kw_only=True)
class _Member:
    is_pressed: bool
    heard_at: float


class RateLimits:
    """A worker's part of every limit. `now` is always seconds of the same monotonic clock."""

    def __init__(self, worker: str, limits: Mapping[Name, Limit], now: float) -> None:
        self._worker = worker
        self._limits = dict(limits)
        self._windows = {name: Window(limit, now) for name, limit in self._limits.items()}
        self._carrier_at = float("-inf")
        self._closed_until: dict[Closed, float] = dict.fromkeys(CLOSED_MAX_S, float("-inf"))
        self._told_until = dict(self._closed_until)  # as far as the carrier told us ourselves
        self._pressed_at = float("-inf")
        self._is_pressed = False  # as the others were told
        self._fleet: dict[str, _Member] = {}

    # -------------------------------------------------------------- places

    def take(self, operation: str, now: float) -> tuple[Window, ...] | None:
        """A place in every window that counts the operation; None if one has none, or is closed."""
        windows = self._windows_of(operation)
        if self.closed_until(operation) > now or any(
            window.free(now, self._window_s_max(operation, window))
            < self._wanted(operation, window, now)
            for window in windows
        ):
            self._pressed_at = now
            return None
        for window in windows:
            window.take()
        return windows

    def free_at(self, operation: str, now: float) -> float | None:
        """When there will be a place, if nobody else takes it; None if open answers decide that."""
        times = [max(now, self.closed_until(operation))]
        for window in self._windows_of(operation):
            window_s_max = self._window_s_max(operation, window)
            at = window.free_at(self._wanted(operation, window, now), now, window_s_max)
            if at is None:
                return None
            times.append(at)
        return max(times)

    def closed_until(self, operation: str) -> float:
        """When the carrier takes this operation again; in the past if it does."""
        closed = self._closed_until
        if operation == "dial":
            return max(closed["rest"], closed["dials"])
        return closed["ends" if urgency_of(operation) == ENDS else "rest"]

    def left(self, now: float) -> dict[Name, int]:
        """Free places by limit."""
        return {name: max(0, window.free(now)) for name, window in self._windows.items()}

    def _windows_of(self, operation: str) -> tuple[Window, ...]:
        return tuple(
            window
            for name, window in self._windows.items()
            if name != "dials" or operation == "dial"
        )

    def _window_s_max(self, operation: str, window: Window) -> float:
        """How far back a window counts for the operation.

        The carrier's is inferred: if it is meant otherwise than we read it, the end of a call must
        still be tried.
        """
        if urgency_of(operation) == ENDS and window is self._windows.get("carrier"):
            return INFERRED_MAX_S
        return math.inf

    def _wanted(self, operation: str, window: Window, now: float) -> int:
        spared = operation == "dial" and window is not self._windows.get("dials")
        return 1 + (window.reserve(now) if spared else 0)

    # -------------------------------------------------------------- what the carrier says

    def close(self, told_s: Mapping[Closed, float], now: float) -> None:
        """The carrier told us: no command of these kinds for so long, within CLOSED_MAX_S."""
        self._close(self._told_until, told_s, now)
        self._close(self._closed_until, told_s, now)

    def _close(
        self, closed_until: dict[Closed, float], told_s: Mapping[Closed, float], now: float
    ) -> None:
        for kind, seconds in told_s.items():
            until = now + min(seconds, CLOSED_MAX_S[kind])
            closed_until[kind] = max(closed_until[kind], until)

    def learn(self, count: int, reset_s: float, now: float) -> None:
        """An answer mentioned its limit, and the seconds until it counts anew.

        How long it counts is not said; the longest time to go that was seen comes closest.
        """
        known = self._limits.get("carrier")
        window_s = max(reset_s, COMMANDS_WINDOW_S)
        if known is not None and known.count == count:
            window_s = max(window_s, known.window_s)
        limit = Limit(count=count, window_s=window_s)
        if _can_be_meant(limit):
            self._carrier_at = now
            self._set_carrier(limit, now)

    def _set_carrier(self, limit: Limit, now: float) -> None:
        if self._limits.get("carrier") == limit:
            return
        self._limits["carrier"] = limit
        part = self._part_of(limit)
        if "carrier" in self._windows:
            self._windows["carrier"].resize(part, now)
        else:
            self._windows["carrier"] = Window(part, now)

    # -------------------------------------------------------------- the fleet

    def report(self, now: float, *, is_leaving: bool = False) -> Report:
        """What the others are to know. From here on we go by it ourselves."""
        self._is_pressed = now - self._pressed_at <= 2 * REPORT_S
        self._share_out(now)
        carrier = self._limits.get("carrier")
        return Report(
            worker=self._worker,
            is_pressed=self._is_pressed,
            is_leaving=is_leaving,
            closed_s=max(0.0, self._told_until["rest"] - now),
            ends_closed_s=max(0.0, self._told_until["ends"] - now),
            dials_closed_s=max(0.0, self._told_until["dials"] - now),
            carrier=carrier,
            carrier_age_s=now - self._carrier_at if carrier else 0.0,
        )

    def hear(self, report: Report, now: float) -> bool:
        """Take in another worker's report. True if it was not known: it wants to know of us."""
        if report.worker == self._worker:
            return False
        is_new = report.worker not in self._fleet and not report.is_leaving
        if report.is_leaving:
            self._fleet.pop(report.worker, None)
        else:
            self._fleet[report.worker] = _Member(is_pressed=report.is_pressed, heard_at=now)
        told_s: dict[Closed, float] = {
            "ends": report.ends_closed_s,
            "rest": report.closed_s,
            "dials": report.dials_closed_s,
        }
        self._close(self._closed_until, told_s, now)
        told_at = now - max(0.0, report.carrier_age_s)
        carrier = report.carrier
        if carrier is not None and _can_be_meant(carrier) and told_at > self._carrier_at:
            self._carrier_at = told_at
            self._set_carrier(carrier, now)
        self._share_out(now)
        return is_new

    def hear_nobody(self, now: float) -> None:
        """Without a connection silence says nothing: nobody is gone for it.

        Or every worker would take the others' parts, and all of them begin again at once.
        """
        for member in self._fleet.values():
            member.heard_at = now

    def _share_out(self, now: float) -> None:
        for worker, member in list(self._fleet.items()):
            if now - member.heard_at > MEMBER_S:
                del self._fleet[worker]
        # Where it lets nothing through, no answer can correct it; at rest it may well stay.
        is_pressed = now - self._pressed_at <= 2 * REPORT_S
        if "carrier" in self._limits and is_pressed and now - self._carrier_at > CARRIER_LIMIT_S:
            del self._limits["carrier"], self._windows["carrier"]
        for name, window in self._windows.items():
            window.resize(self._part_of(self._limits[name]), now)

    def _part_of(self, limit: Limit) -> Limit:
        others = {worker: member.is_pressed for worker, member in self._fleet.items()}
        return part_of(limit, self._worker, {**others, self._worker: self._is_pressed})
