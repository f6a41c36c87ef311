"""How many commands a worker may send now: its part of what the whole fleet may. Pure.

    limit      at most, for the fleet                           counts
    dials      OFFHOOK_DIALS_PER_S, over any 5 s                dials
    commands   OFFHOOK_COMMANDS_PER_S, if set, in any second    every command
    carrier    x-ratelimit-limit, if the carrier sends it       every command

What the carrier says takes precedence: after a 429, or if nothing remains, nothing is sent until
the reset, but for at most CLOSED_MAX_S: one wrong header must not stop every call.

The parts of a fleet add up to the limit. A part shrinks at once, and grows only when what the
others gave up has left their windows. Only when a worker joins can the fleet exceed the limit: by
at most that worker's part, for one window.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from offhook.telnyx.outcomes import RESET_MAX_S
from offhook.workers.sending.rates import (
    COMMANDS_WINDOW_S,
    DIALS_WINDOW_S,
    LimitName,
    Rate,
    Window,
    part_of,
)
from offhook.workers.sending.urgency import ENDS, urgency_of

REPORT_S = 1.0
"""How often each worker reports to the others."""

MEMBER_S = 3.5
"""A worker that has not reported for this long is gone."""

CARRIER_LIMIT_S = 60.0
"""A limit that no answer has mentioned for this long is forgotten when commands wait for it."""

INFERRED_MAX_S = 5.0
"""The longest that a limit inferred from headers may delay the end of a call."""

Closed = Literal["ends", "rest", "dials"]
"""What a 429 closes: "ends" and "rest", or only "dials". A dial also belongs to "rest"."""

CLOSED_MAX_S: Mapping[Closed, float] = {"ends": 5.0, "rest": 15.0, "dials": DIALS_WINDOW_S}
"""The longest that a 429 closes, whatever its header says: another one does no harm.

Ends reopen soonest, because a call that should end goes on meanwhile. The rest reopens early enough
that waiting commands are sent before their deadline. The carrier counts a dial only within its
window."""

COUNT_MAX = 100_000
"""A carrier's limit above this is not believed: no fleet would reach it."""


def _is_credible(carrier: Rate) -> bool:
    return 1 <= carrier.count <= COUNT_MAX and COMMANDS_WINDOW_S <= carrier.window_s <= RESET_MAX_S


@dataclass(frozen=True, kw_only=True)
class FleetReport:
    """What a worker reports to the others each second, and at once when the carrier says 429.

    It has ages and remaining seconds, not times, because clocks differ between machines. A worker
    reports only what the carrier answered to itself: remaining seconds grow late by the time that
    a report takes, and passing them on would add that up.
    """

    worker: str
    is_pressed: bool = False  # commands have waited in the last second or two
    is_leaving: bool = False
    closed_s: float = 0.0  # how long the carrier accepts no command
    ends_closed_s: float = 0.0  # how long it accepts no hangup or reject
    dials_closed_s: float = 0.0
    carrier: Rate | None = None
    carrier_age_s: float = 0.0  # since an answer mentioned it


@dataclass(kw_only=True)
class _Member:
    is_pressed: bool
    reported_at: float


class RateLimits:
    """A worker's part of every limit. `now` is always seconds of the same monotonic clock."""

    def __init__(self, worker: str, limits: Mapping[LimitName, Rate], now: float) -> None:
        self._worker = worker
        self._limits = dict(limits)
        self._windows = {name: Window(limit, now) for name, limit in self._limits.items()}
        self._carrier_at = float("-inf")
        self._closed_until: dict[Closed, float] = dict.fromkeys(CLOSED_MAX_S, float("-inf"))
        self._own_closed_until = dict(self._closed_until)  # as far as the carrier told this worker
        self._pressed_at = float("-inf")
        self._is_pressed = False  # as reported
        self._fleet: dict[str, _Member] = {}

    # -------------------------------------------------------------- places

    def take(self, operation: str, now: float) -> tuple[Window, ...] | None:
        """A place in each window that counts the operation; None if one is full or closed."""
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
        """When there will be a place if no other command takes it; None if open answers decide."""
        times = [max(now, self.closed_until(operation))]
        for window in self._windows_of(operation):
            window_s_max = self._window_s_max(operation, window)
            at = window.free_at(self._wanted(operation, window, now), now, window_s_max)
            if at is None:
                return None
            times.append(at)
        return max(times)

    def closed_until(self, operation: str) -> float:
        """When the carrier accepts this operation again; in the past if it does now."""
        closed = self._closed_until
        if operation == "dial":
            return max(closed["rest"], closed["dials"])
        return closed["ends" if urgency_of(operation) == ENDS else "rest"]

    def left(self, now: float) -> dict[LimitName, int]:
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

    def close(self, closed_s: Mapping[Closed, float], now: float) -> None:
        """Send no command of these kinds for so many seconds, at most CLOSED_MAX_S."""
        self._close(self._own_closed_until, closed_s, now)
        self._close(self._closed_until, closed_s, now)

    def _close(
        self, closed_until: dict[Closed, float], closed_s: Mapping[Closed, float], now: float
    ) -> None:
        for kind, seconds in closed_s.items():
            until = now + min(seconds, CLOSED_MAX_S[kind])
            closed_until[kind] = max(closed_until[kind], until)

    def learn(self, count: int, reset_s: float, now: float) -> None:
        """An answer stated the carrier's limit, and the seconds until its count resets.

        The carrier does not state its window; the longest reset seen is the best estimate.
        """
        known = self._limits.get("carrier")
        window_s = max(reset_s, COMMANDS_WINDOW_S)
        if known is not None and known.count == count:
            window_s = max(window_s, known.window_s)
        limit = Rate(count=count, window_s=window_s)
        if _is_credible(limit):
            self._carrier_at = now
            self._set_carrier(limit, now)

    def _set_carrier(self, limit: Rate, now: float) -> None:
        if self._limits.get("carrier") == limit:
            return
        self._limits["carrier"] = limit
        part = self._part_of(limit)
        if "carrier" in self._windows:
            self._windows["carrier"].resize(part, now)
        else:
            self._windows["carrier"] = Window(part, now)

    # -------------------------------------------------------------- the fleet

    def report(self, now: float, *, is_leaving: bool = False) -> FleetReport:
        """The report for the other workers. From now on this worker uses the same values."""
        self._is_pressed = now - self._pressed_at <= 2 * REPORT_S
        self._share_out(now)
        carrier = self._limits.get("carrier")
        return FleetReport(
            worker=self._worker,
            is_pressed=self._is_pressed,
            is_leaving=is_leaving,
            closed_s=max(0.0, self._own_closed_until["rest"] - now),
            ends_closed_s=max(0.0, self._own_closed_until["ends"] - now),
            dials_closed_s=max(0.0, self._own_closed_until["dials"] - now),
            carrier=carrier,
            carrier_age_s=now - self._carrier_at if carrier else 0.0,
        )

    def add_report(self, report: FleetReport, now: float) -> bool:
        """Add another worker's report. True if that worker is new, and so needs our report."""
        if report.worker == self._worker:
            return False
        is_new = report.worker not in self._fleet and not report.is_leaving
        if report.is_leaving:
            self._fleet.pop(report.worker, None)
        else:
            self._fleet[report.worker] = _Member(is_pressed=report.is_pressed, reported_at=now)
        closed_s: dict[Closed, float] = {
            "ends": report.ends_closed_s,
            "rest": report.closed_s,
            "dials": report.dials_closed_s,
        }
        self._close(self._closed_until, closed_s, now)
        mentioned_at = now - max(0.0, report.carrier_age_s)
        carrier = report.carrier
        if carrier is not None and _is_credible(carrier) and mentioned_at > self._carrier_at:
            self._carrier_at = mentioned_at
            self._set_carrier(carrier, now)
        self._share_out(now)
        return is_new

    def keep_members(self, now: float) -> None:
        """Keep all members: without a connection, the others' silence means nothing.

        Otherwise every worker would take over the others' parts, and all would send at once.
        """
        for member in self._fleet.values():
            member.reported_at = now

    def _share_out(self, now: float) -> None:
        for worker, member in list(self._fleet.items()):
            if now - member.reported_at > MEMBER_S:
                del self._fleet[worker]
        # A limit that lets nothing through can never be corrected by an answer.
        is_pressed = now - self._pressed_at <= 2 * REPORT_S
        if "carrier" in self._limits and is_pressed and now - self._carrier_at > CARRIER_LIMIT_S:
            del self._limits["carrier"], self._windows["carrier"]
        for name, window in self._windows.items():
            window.resize(self._part_of(self._limits[name]), now)

    def _part_of(self, limit: Rate) -> Rate:
        others = {worker: member.is_pressed for worker, member in self._fleet.items()}
        return part_of(limit, self._worker, {**others, self._worker: self._is_pressed})
