"""Which command is sent next when there are more of them than the carrier takes.

    take ── a free place in every rate limit, and nothing as urgent waits ──▶ a permit, no waiting
      │ otherwise
      ▼
    queue by urgency ──▶ a permit when it is its turn (`sending/permits.py`)
      0 hangup, reject   1 answer   2 the rest   3 dial    (a share for 1 and 2: `fairness.py`)

A session that waits lends its slot to others: however many dials wait, the hangup of a live call
comes to the head of the queue, and gets the next permit there is. A command that delays news of
its own session is moved to the head of its kind, and its session is read again: a hangup does not
wait for it.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from offhook.telnyx.client import CONNECTIONS_MAX
from offhook.telnyx.outcomes import Accepted, Busy, Outcome, Refused
from offhook.workers.metrics import WorkerMetrics
from offhook.workers.sending.fairness import Fairness
from offhook.workers.sending.rate_limits import Closed, RateLimits
from offhook.workers.sending.rates import Window
from offhook.workers.sending.urgency import ANSWERS, DIALS, QUEUED_MAX, urgency_of

PAUSING_MAX = 1000
"""The most commands that may pause between two sends without a slot."""

NOTHING_LEFT_MAX_S = 5.0
"""The longest that commands wait because an answer other than a 429 says that nothing remains. We
may misread the header, so a hangup must still be tried."""

DIALS_IN_FLIGHT_MAX = CONNECTIONS_MAX * 7 // 8
"""The most connections that may wait for answers to dials. If the carrier is slow to answer those,
the rest are still free for calls that are up."""

Permit = tuple[Window, ...]
"""Permission to send one command: a place taken in each of these rate limits."""


class LendingSlots(Protocol):
    """What the queue needs of the worker's slots: see `intake/slots.py`."""

    def lend(self) -> None:
        """Give the slot to another session while the caller waits."""
        ...

    async def take_back(self) -> None:
        """Take a slot again after `lend`, without waiting."""
        ...

    def lent(self) -> AbstractAsyncContextManager[None]:
        """A context in which the slot is lent."""
        ...


@dataclass(eq=False, kw_only=True)
class QueuedCommand:
    """A command in the queue."""

    operation: str
    session_id: str
    sleep: Callable[[float], Awaitable[None]]
    granted: asyncio.Future[Permit] = field(default_factory=asyncio.Future)
    news: asyncio.Event = field(default_factory=asyncio.Event)  # for its session
    is_fetched: bool = False

    async def permit(self, within_s: float) -> Permit | None:
        """The permit; None if there is none within `within_s`, or as soon as there is news."""
        if not self.granted.done() and not self.news.is_set():
            pause = asyncio.ensure_future(self.sleep(within_s))
            news = asyncio.ensure_future(self.news.wait())
            either: list[asyncio.Future[Any]] = [self.granted, pause, news]
            try:
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            finally:
                pause.cancel()
                news.cancel()
        self.news.clear()
        self.is_fetched = self.granted.done()
        return self.granted.result() if self.is_fetched else None


class CommandQueue:
    """One per process. `was_busy` is set at a 429 of the carrier: other workers should know."""

    def __init__(
        self,
        limits: RateLimits,
        slots: LendingSlots,
        metrics: WorkerMetrics,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._limits = limits
        self._slots = slots
        self._metrics = metrics
        self._clock = clock
        self._sleep = sleep
        self._queues: tuple[deque[QueuedCommand], ...] = tuple(deque() for _ in range(DIALS + 1))
        self._fairness = Fairness()
        self._alarm: asyncio.Task[None] | None = None
        self._alarm_at = 0.0
        self._pausing = 0
        self._in_flight = 0
        self.was_busy = asyncio.Event()

    # -------------------------------------------------------------- for a command

    def take(self, operation: str) -> Permit | None:
        """A permit at once, if one is free and no waiting command has precedence."""
        waiting = self._waiting()
        if not waiting:
            return self._permit(operation)
        urgency = urgency_of(operation)
        if urgency in waiting or self._fairness.in_order([*waiting, urgency])[0] != urgency:
            return None
        permit = self._permit(operation)
        if permit is not None:
            self._fairness.granted(urgency, waiting)
        return permit

    def give_back(self, permit: Permit, *, sent: bool) -> None:
        """The command was answered; or it was not sent, and the permit goes to the next one."""
        now = self._clock()
        self._in_flight -= 1
        for window in permit:
            window.give_back(now, sent=sent)
        self.grant()

    def is_full_for(self, operation: str) -> bool:
        """Whether so many commands wait already that this one may not."""
        return urgency_of(operation) > ANSWERS and self._count() >= QUEUED_MAX

    def closed_s(self, operation: str) -> float:
        """How long the carrier accepts no command of this kind, by its own answers."""
        return self._limits.closed_until(operation) - self._clock()

    def enter(self, operation: str, session_id: str) -> QueuedCommand:
        """Wait for a permit. Others may use the session's slot until `leave`."""
        queued = QueuedCommand(operation=operation, session_id=session_id, sleep=self._sleep)
        self._queues[urgency_of(operation)].append(queued)
        self._metrics.waiting.set(self._count())
        self.grant()
        self._slots.lend()
        return queued

    async def leave(self, queued: QueuedCommand) -> None:
        """Wait no longer. A permit that was granted but not fetched goes to the next command."""
        queue = self._queues[urgency_of(queued.operation)]
        if queued in queue:
            queue.remove(queued)
        elif not queued.is_fetched:
            self.give_back(queued.granted.result(), sent=False)
        self._metrics.waiting.set(self._count())
        await self._slots.take_back()

    async def pause(self, seconds: float) -> None:
        """Sleep between two sends. Others may use the slot, unless too many pause already.

        Otherwise a carrier that answers no dial would keep the hangup of another call waiting.
        """
        if self._pausing >= PAUSING_MAX:
            await self._sleep(seconds)
            return
        self._pausing += 1
        try:
            async with self._slots.lent():
                await self._sleep(seconds)
        finally:
            self._pausing -= 1

    def hurry(self, session_id: str) -> None:
        """There is news for a session: move its waiting command to the head of its kind."""
        for queue in self._queues:
            for queued in queue:
                if queued.session_id == session_id:
                    self.put_first(queued)
                    queued.news.set()
                    return

    def put_first(self, queued: QueuedCommand) -> None:
        """Move it to the head of its kind, if it still waits: it holds up its own session."""
        queue = self._queues[urgency_of(queued.operation)]
        if queued in queue:
            queue.remove(queued)
            queue.appendleft(queued)

    def learn(self, outcome: Outcome) -> None:
        """Apply what an answer says about the carrier's limits."""
        now = self._clock()
        match outcome:
            case Busy(retry_after_s=retry_after_s, dials_only=dials_only):
                self._metrics.busy.labels(of="dials" if dials_only else "commands").inc()
                closed: tuple[Closed, ...] = ("dials",) if dials_only else ("ends", "rest")
                self._limits.close(dict.fromkeys(closed, retry_after_s), now)
                self.was_busy.set()
            case Accepted(rate=rate) | Refused(rate=rate) if rate is not None:
                self._limits.learn(rate.limit, rate.reset_s, now)
                if rate.remaining == 0:
                    left_s = min(rate.reset_s, NOTHING_LEFT_MAX_S)
                    self._limits.close({"ends": left_s, "rest": left_s}, now)
            case _:
                pass

    # -------------------------------------------------------------- granting

    def grant(self) -> None:
        """Grant all free permits. Call this when something may have changed."""
        waiting = self._waiting()
        if not waiting:
            return
        while waiting and self._grant_next(waiting):
            waiting = self._waiting()
        self._set_alarm()

    def _grant_next(self, waiting: Sequence[int]) -> bool:
        """Grant the next permit, if there is one for any command that waits."""
        for urgency in self._fairness.in_order(waiting):
            queue = self._queues[urgency]
            if (permit := self._permit(queue[0].operation)) is not None:
                self._fairness.granted(urgency, waiting)
                queue.popleft().granted.set_result(permit)
                return True
        return False

    def _waiting(self) -> list[int]:
        """The urgencies of the commands that wait."""
        return [urgency for urgency, queue in enumerate(self._queues) if queue]

    def _permit(self, operation: str) -> Permit | None:
        if self._is_busy(operation):
            return None
        taken = self._limits.take(operation, self._clock())
        if taken is None:
            return None
        self._in_flight += 1
        return taken

    def _is_busy(self, operation: str) -> bool:
        """Whether so many are in flight that the next one must wait for an answer."""
        return self._in_flight >= (DIALS_IN_FLIGHT_MAX if operation == "dial" else CONNECTIONS_MAX)

    def _count(self) -> int:
        return sum(len(queue) for queue in self._queues)

    def _set_alarm(self) -> None:
        """Grant again when the next place in the rate limits is free."""
        now = self._clock()
        heads = [queue[0].operation for queue in self._queues if queue]
        times = [self._limits.free_at(head, now) for head in heads if not self._is_busy(head)]
        at = min((each for each in times if each is not None), default=None)
        if self._alarm is not None and not self._alarm.done():
            if at is not None and self._alarm_at <= at:
                return
            self._alarm.cancel()
        self._alarm = None
        if at is not None:
            self._alarm_at = at
            self._alarm = asyncio.create_task(self._grant_after(at - now))

    async def _grant_after(self, seconds: float) -> None:
        await self._sleep(seconds)
        self._alarm = None
        self.grant()
