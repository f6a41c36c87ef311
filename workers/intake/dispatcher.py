"""The dispatcher: one task for each session at work, no more at work than there are slots.

A delivery for a session that is being settled joins its task: the session is read again before the
task ends. Meanwhile a task's deliveries are kept from being redelivered.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from offhook.events import Record
from offhook.process.slices import Slices
from offhook.workers.intake.delivery import Delivery, acknowledge
from offhook.workers.intake.handover import HandoverAnswer
from offhook.workers.intake.slots import Slots
from offhook.workers.metrics import WorkerMetrics
from offhook.workers.reading.silence import ARRIVED_MAX
from offhook.workers.sessions.flow_errors import described, traceback_of
from offhook.workers.sessions.flows import FlowRaised
from offhook.workers.sessions.settle import HeldElsewhere, Settled, Settler

POISON_RAISES = 5
"""How often a flow may raise on one record before its session is parked."""

RAISED_PAUSE_S = 0.1
"""A flow is pure, so it usually raises again. It is called again after one, two, three and four of
these pauses, 1 s in total, while the caller waits."""

POISON_DELIVERIES = 500
"""A record delivered this often may be one that ends its worker, which leaves no other trace: its
flow is not asked again. A delivery that waits for another worker is kept, so what is counted is
workers that ended or stalled with it, and errors: at least 8 minutes of them."""

RETRY_S = 0.2
RETRY_DOUBLINGS_MAX = 5
RETRY_MAX_S = 5.0

HANDED_OVER_S = 0.5
"""How often a session that another worker holds is read, in case that worker is frozen."""

HANDED_OVER_MAX = 1000
"""Deliveries kept while another worker holds their session; the rest are redelivered."""

RESTING_S = 1.0
"""How long to store a session that rests may hold up the next one."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Later:
    """The session is not settled. `is_kept`: its deliveries stay here meanwhile."""

    after_s: float
    is_kept: bool = False


@dataclass(frozen=True, kw_only=True)
class _HandedOver:
    """The worker that holds the session has taken the deliveries over, and acknowledges them."""


@dataclass(kw_only=True)
class _Job:
    """A session at work."""

    session_id: str
    waiting: list[Delivery] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    is_interruptible: bool = True  # it has no slot yet, or waits for another worker


HandOver = Callable[[str, str, Sequence[Delivery]], Awaitable[HandoverAnswer]]


class Dispatcher:
    """`hand_over(worker, session_id, deliveries)` asks another worker to take the deliveries of a
    session that it holds.

    `hurry(session_id)` is called when there is news for a session at work, because the news has to
    wait for whatever the session is waiting for.
    """

    def __init__(
        self,
        settler: Settler,
        hand_over: HandOver,
        metrics: WorkerMetrics,
        *,
        slots: Slots,
        hurry: Callable[[str], None],
    ) -> None:
        self._settler = settler
        self._hand_over = hand_over
        self._metrics = metrics
        self._slots = slots
        self._hurry = hurry
        self._jobs: dict[str, _Job] = {}  # by session
        self._tasks: dict[asyncio.Task[None], _Job] = {}
        self._without_slot = 0
        self._handed_over = 0
        self._held: set[Delivery] = set()
        self._draining = False

    def room(self) -> int:
        """How many more sessions could be worked on now."""
        return max(0, self._slots.free() - self._without_slot)

    async def take(self, delivery: Delivery) -> None:
        """Take a delivery that this worker pulled. Returns at once; it may wait for a slot."""
        if not self._draining:
            self._held.add(delivery)
            self._enter(delivery.session_id, [delivery])
        else:
            await acknowledge([delivery], nak_s=0)

    def take_over(self, session_id: str, deliveries: Sequence[Delivery]) -> bool:
        """Take the deliveries of a session that another worker believes we hold.

        False if nobody here works on it, and there is no room for it: the other worker does.
        """
        if session_id not in self._jobs and (self._draining or not self.room()):
            return False
        self._held.update(deliveries)
        self._enter(session_id, list(deliveries))
        return True

    async def rest(self, session_id: str) -> None:
        """Have a session stored that rests, once there is a slot, unless it does not any more."""
        if session_id not in self._jobs and not self._draining:
            # What joins it may wait for the carrier, or for another worker.
            await asyncio.wait([self._begin(session_id, [])], timeout=RESTING_S)

    async def heartbeat(self, every_s: float) -> None:
        """Until cancelled, keep what is held from being redelivered."""
        while True:
            await asyncio.sleep(every_s)
            slices = Slices()
            for delivery in tuple(self._held):
                with contextlib.suppress(Exception):
                    await delivery.in_progress()
                await slices.yield_if_due()

    async def drain(self, within_s: float) -> None:
        """Wait until every session at work is settled; the rest is left to other workers.

        The rest is what arrives meanwhile and what has not begun. A session that takes longer is
        stopped where it is: the log has all that the next worker needs.
        """
        self._draining = True
        await asyncio.sleep(0)  # a task that is cancelled before it began would give nothing back
        for task, job in self._tasks.items():
            if job.is_interruptible:
                task.cancel()
        if not self._tasks:
            return
        _, late = await asyncio.wait(tuple(self._tasks), timeout=within_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    def _enter(self, session_id: str, deliveries: list[Delivery]) -> None:
        if not self._joined(session_id, deliveries):
            self._begin(session_id, deliveries)

    def _begin(self, session_id: str, deliveries: list[Delivery]) -> "asyncio.Task[None]":
        job = _Job(session_id=session_id, waiting=deliveries)
        self._jobs[session_id] = job
        self._without_slot += 1
        self._metrics.sessions.set(len(self._jobs))
        task = asyncio.create_task(self._run(job))
        self._tasks[task] = job
        task.add_done_callback(self._tasks.pop)
        return task

    def _joined(self, session_id: str, deliveries: list[Delivery]) -> bool:
        job = self._jobs.get(session_id)
        if job is None:
            return False
        job.waiting += deliveries
        job.news.set()
        self._hurry(session_id)
        return True

    async def _run(self, job: _Job) -> None:
        try:
            try:
                await self._slots.take()
            finally:
                self._without_slot -= 1
            try:
                await self._work(job)
            finally:
                self._slots.leave()
        finally:
            # No await between the last check of `news` and this: nothing can join a dead job.
            del self._jobs[job.session_id]
            self._metrics.sessions.set(len(self._jobs))
            # Some only if this job was stopped.
            self._held.difference_update(job.waiting)
            await acknowledge(job.waiting, nak_s=0)

    async def _work(self, job: _Job) -> None:
        job.news.set()
        while job.news.is_set():
            job.news.clear()
            deliveries, job.waiting = job.waiting, []
            outcome: _Later | _HandedOver | None = _Later(after_s=RETRY_S)
            job.is_interruptible = False
            try:
                outcome = await self._settle(job.session_id, deliveries)
                if isinstance(outcome, _Later) and outcome.is_kept and not self._draining:
                    # With what has joined meanwhile: all of it waits for the other worker.
                    deliveries, job.waiting = deliveries + job.waiting, []
                    job.is_interruptible = True
                    await self._wait_for_news(job, outcome.after_s)
                    deliveries, job.waiting = [], deliveries + job.waiting
                    job.news.set()
            finally:
                self._held.difference_update(deliveries)
                if not isinstance(outcome, _HandedOver):
                    await acknowledge(deliveries, self._nak_s(outcome))

    def _nak_s(self, outcome: _Later | None) -> float | None:
        if outcome is None:
            return None
        return 0.0 if self._draining else outcome.after_s

    async def _wait_for_news(self, job: _Job, within_s: float) -> None:
        """Another session may take the slot meanwhile."""
        self._handed_over += 1
        try:
            async with self._slots.lent():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(within_s):
                        await job.news.wait()
        finally:
            self._handed_over -= 1

    async def _settle(
        self, session_id: str, deliveries: list[Delivery]
    ) -> _Later | _HandedOver | None:
        """None when the session is settled."""
        count = max((delivery.count for delivery in deliveries), default=0)
        try:
            result = await self._settled(session_id, deliveries)
            if isinstance(result, HeldElsewhere):
                self._metrics.handed_over.inc()
                answer = await self._hand_over(result.worker, session_id, deliveries)
                if answer is HandoverAnswer.TAKEN:
                    return _HandedOver()
                if answer is HandoverAnswer.GONE:
                    result = await self._settled(session_id, deliveries, void=result.lease_seq)
            if isinstance(result, HeldElsewhere):
                after_s = min(HANDED_OVER_S, result.for_s)
                return _Later(after_s=after_s, is_kept=self._handed_over < HANDED_OVER_MAX)
        except Exception:
            # Nothing is lost: the log has what was done, and the delivery comes again.
            _log.exception("session not settled", extra={"session": session_id})
            return _Later(after_s=_retry_s(count))
        return None

    async def _settled(
        self, session_id: str, deliveries: Sequence[Delivery], *, void: int = 0
    ) -> Settled | HeldElsewhere:
        """Settle; a flow that raises is asked again a few times, then its session is parked.

        All in this task: redelivered to other workers, each of them would count anew. After parking
        it is settled again, for what the flow kept waiting and no other delivery may bring: the
        policy for its calls, hangups that applications asked for, alarms.
        Without a delivery the session rests.
        """
        if not deliveries:
            await self._settler.rest(session_id)
            return Settled()
        records = [delivery for delivery in deliveries if delivery.alarm is None]
        wake_seq = max((delivery.seq for delivery in deliveries), default=0)
        first_seq = min((each.seq for each in records if each.count == 1), default=0)
        alarms = [delivery.alarm for delivery in deliveries if delivery.alarm is not None]
        count = max((delivery.count for delivery in deliveries), default=0)
        is_deadly = count >= POISON_DELIVERIES
        is_new = any(delivery.may_begin for delivery in deliveries)
        woken_at = max((each.at for each in deliveries if each.at is not None), default=None)

        def arrived() -> list[Record]:
            if len(records) > ARRIVED_MAX:
                return []
            return [record for each in records if (record := each.record()) is not None]

        seq, raises, as_known = 0, 0, False
        while True:
            try:
                return await self._settler.settle(
                    session_id,
                    wake_seq,
                    alarms,
                    is_deadly=is_deadly,
                    void=void,
                    first_seq=first_seq,
                    as_known=as_known,
                    is_new=is_new,
                    arrived=arrived,
                    woken_at=woken_at,
                )
            except FlowRaised as raised:
                raises = raises + 1 if raised.record.seq == seq else 1
                seq, as_known = raised.record.seq, False
                fields = described(raised)
                attempt: dict[str, object] = {"attempt": raises, "attempts_max": POISON_RAISES}
                if raises == 1:  # One traceback is enough: a pure function raises the same again.
                    attempt["error"] = traceback_of(raised)
                _log.error("flow raised", extra=fields | attempt)
                if raises < POISON_RAISES and not is_deadly:
                    async with self._slots.lent():
                        await _pause(RAISED_PAUSE_S * raises)
                    as_known = True
                    continue
                attempts = count if is_deadly else raises
                if not await self._settler.park(raised, attempts, traceback_of(raised)):
                    async with self._slots.lent():
                        await _pause(RAISED_PAUSE_S)
                    continue
                _log.error("session parked", extra=fields | {"attempts": attempts})
                raises = 0


async def _pause(seconds: float) -> None:
    await asyncio.sleep(seconds)


def _retry_s(count: int) -> float:
    # A delivery may have been counted thousands of times: 2 to the power of that is no float.
    doublings = min(max(0, count - 1), RETRY_DOUBLINGS_MAX)
    return min(RETRY_S * float(2**doublings), RETRY_MAX_S)
