"""Whose command is sent next when there are more of them than the carrier takes.

    take ── a place, and nobody as urgent waits ──▶ send      the usual way: no waiting, no await
      │ none
      ▼
    queue by urgency ── its turn ──▶ look again whether it is wanted ──▶ send
      0 hangup, reject   1 answer   2 the rest   3 dial    (a share for 1 and 2: `fairness.py`)

A session that waits lends its lane to others: however many dials wait, the hangup of a live call
comes to the head of the queue, and is sent with the next place there is. Whoever holds up its own
session's news is hurried to the head of its kind, and looks at them: a hangup does not wait for it.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self

from offhook.telnyx.client import CONNECTIONS_MAX
from offhook.telnyx.outcomes import Accepted, Busy, Outcome, Refused
from offhook.workers.metrics import WorkerMetrics
from offhook.workers.sending.fairness import Fairness
from offhook.workers.sending.rate_limits import Closed, RateLimits
from offhook.workers.sending.rates import Window
from offhook.workers.sending.urgency import ANSWERS, DIALS, QUEUED_MAX, urgency_of

PAUSING_MAX = 1000
"""The most commands that may pause between two tries without a slot."""

NOTHING_LEFT_MAX_S = 5.0
"""So long an answer that was no 429 may hold commands up by saying that nothing is left: if it is
meant otherwise than we read it, a hangup must still be tried."""

DIALS_IN_FLIGHT_MAX = CONNECTIONS_MAX * 7 // 8
"""So many of the connections may wait for answers to dials: a carrier that is slow to answer those,
or does not, leaves some to the calls that are up."""


class LendingSlots(Protocol):
    """What the queue needs of the worker's slots: a command that waits has none."""

    def lent(self) -> AbstractAsyncContextManager[None]: ...


class Permit:
    """Leave to send one command: a context manager around the sending."""

    def __init__(self, queue: "CommandQueue", taken: tuple[Window, ...]) -> None:
        self._queue = queue
        self._taken = taken
        self._sent = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._queue.give_back(self._taken, sent=self._sent)

    def sending(self) -> None:
        """From here on the place is used up."""
        self._sent = True


@dataclass(eq=False, kw_only=True)
class Waiting:
    """A command in the queue."""

    operation: str
    session_id: str
    granted: asyncio.Future[Permit] = field(default_factory=asyncio.Future)
    news: asyncio.Event = field(default_factory=asyncio.Event)  # for its session
    is_fetched: bool = False
    sleep: Callable[[float], Awaitable[None]]

    async def turn(self, within_s: float) -> Permit | None:
        """The turn, once it has come; None if that takes longer, or there is news."""
        if not self.granted.done() and not self.news.is_set():
            pause = asyncio.ensure_future(self.sleep(within_s))
            heard = asyncio.ensure_future(self.news.wait())
            either: list[asyncio.Future[Any]] = [self.granted, pause, heard]
            try:
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            finally:
                pause.cancel()
                heard.cancel()
        self.news.clear()
        self.is_fetched = self.granted.done()
        return self.granted.result() if self.is_fetched else None


class CommandQueue:
    """One a process. `was_busy` is set at a 429 of the carrier: other workers should know."""

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
        self._queues: tuple[deque[Waiting], ...] = tuple(deque() for _ in range(DIALS + 1))
        self._fairness = Fairness()
        self._alarm: asyncio.Task[None] | None = None
        self._alarm_at = 0.0
        self._pausing = 0
        self._in_flight = 0
        self.was_busy = asyncio.Event()

    def take(self, operation: str) -> Permit | None:
        """A turn at once, if there is a place and nobody waits for one who goes before."""
        waiting = self._waiting()
        if not waiting:
            return self._turn(operation)
        urgency = urgency_of(operation)
        if urgency in waiting or self._fairness.in_order([*waiting, urgency])[0] != urgency:
            return None
        turn = self._turn(operation)
        if turn is not None:
            self._fairness.granted(urgency, waiting)
        return turn

    def is_full_for(self, operation: str) -> bool:
        """Whether so many wait already that another one had better not."""
        return urgency_of(operation) > ANSWERS and self._count() >= QUEUED_MAX

    def closed_s(self, operation: str) -> float:
        """For how long the carrier takes no command of this kind, by its own words."""
        return self._limits.closed_until(operation) - self._clock()

    @asynccontextmanager
    async def queue(self, operation: str, session_id: str) -> AsyncIterator[Waiting]:
        """Wait inside the block, where others may use our lane."""
        waiting = Waiting(operation=operation, session_id=session_id, sleep=self._sleep)
        queue = self._queues[urgency_of(operation)]
        queue.append(waiting)
        self._metrics.waiting.set(self._count())
        try:
            self.grant()
            async with self._slots.lent():
                yield waiting
        finally:
            if waiting in queue:
                queue.remove(waiting)
            elif not waiting.is_fetched:
                with waiting.granted.result():
                    pass  # it came too late, and goes to the next one
            self._metrics.waiting.set(self._count())

    async def pause(self, seconds: float) -> None:
        """Sleep between two tries; others may use our lane, unless too many pause already.

        Or a carrier that answers no dial would keep the hangup of another call out of the lanes.
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
        """There is news for a session: if its own command waits, that goes first of its kind."""
        for queue in self._queues:
            for waiting in queue:
                if waiting.session_id == session_id:
                    self.put_first(waiting)
                    waiting.news.set()
                    return

    def put_first(self, waiting: Waiting) -> None:
        """It holds up its own session's news: it goes first of its kind, if it still waits."""
        queue = self._queues[urgency_of(waiting.operation)]
        if waiting in queue:
            queue.remove(waiting)
            queue.appendleft(waiting)

    def learn(self, outcome: Outcome) -> None:
        """Obey what an answer says of the carrier's limits."""
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

    def give_back(self, taken: tuple[Window, ...], *, sent: bool) -> None:
        now = self._clock()
        self._in_flight -= 1
        for window in taken:
            window.give_back(now, sent=sent)
        self.grant()

    def grant(self) -> None:
        """Give out the turns there are; to be called when something may have changed."""
        waiting = self._waiting()
        if not waiting:
            return
        while waiting and self._give(waiting):
            waiting = self._waiting()
        self._set_alarm()

    def _give(self, waiting: Sequence[int]) -> bool:
        """Give the next turn, if there is one for anybody."""
        for urgency in self._fairness.in_order(waiting):
            queue = self._queues[urgency]
            if (turn := self._turn(queue[0].operation)) is not None:
                self._fairness.granted(urgency, waiting)
                queue.popleft().granted.set_result(turn)
                return True
        return False

    def _waiting(self) -> list[int]:
        """The urgencies of those that wait."""
        return [urgency for urgency, queue in enumerate(self._queues) if queue]

    def _turn(self, operation: str) -> Permit | None:
        if self._is_busy(operation):
            return None
        taken = self._limits.take(operation, self._clock())
        if taken is None:
            return None
        self._in_flight += 1
        return Permit(self, taken)

    def _is_busy(self, operation: str) -> bool:
        """Whether so many are under way that only an answer makes room."""
        return self._in_flight >= (DIALS_IN_FLIGHT_MAX if operation == "dial" else CONNECTIONS_MAX)

    def _count(self) -> int:
        return sum(len(queue) for queue in self._queues)

    def _set_alarm(self) -> None:
        """Look again when the next place is free."""
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
