"""Lanes: one session at a time, many sessions at once, no more at work than there are places.

A delivery for a session that is being settled joins its lane: the session is looked at once more
before the lane is let go. While a lane works, its deliveries are kept from being redelivered.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from offhook.jetstream.timetable import Alarm
from workers.flow_errors import described
from workers.metrics import Metrics
from workers.places import Places
from workers.settle import FlowRaised, HeldElsewhere, Settled, Settler

POISON_RAISES = 5
"""So often a flow may raise on one record before its session is parked."""

RAISED_PAUSE_S = 0.1
"""A flow is pure, so what it raises is rarely gone the next time: it is asked again after one, two,
three and four of these, 1 s together, while the caller waits."""

POISON_DELIVERIES = 500
"""A record whose wake-up was delivered so often may be one that ends its worker, which leaves no
word but this: its flow is not asked any more. Far above what hand-overs and a log that is away for
a while come to, for they are counted too: half an hour of workers that end."""

RETRY_S = 0.2
RETRY_DOUBLINGS_MAX = 5
RETRY_MAX_S = 5.0
HANDED_OVER_S = 0.5

_log = logging.getLogger(__name__)


class Delivery(Protocol):
    """A wake-up from one of the workers' consumers: a record arrived, or an alarm rang."""

    session_id: str
    seq: int  # stream sequence of the record that arrived; 0 for an alarm
    alarm: Alarm | None
    count: int  # how often it was delivered, from 1

    async def ack(self) -> None: ...
    async def nak(self, delay_s: float) -> None: ...
    async def in_progress(self) -> None: ...


@dataclass(kw_only=True)
class _Lane:
    session_id: str
    woken: bool = True
    waiting: list[Delivery] = field(default_factory=list)


class Lanes:
    """`hand_over(worker, session_id)` tells another worker to look at a session it holds.

    `hurry(session_id)` is called when there is news for a session that has a lane: what it waits
    for holds the news up.
    """

    def __init__(
        self,
        settler: Settler,
        hand_over: Callable[[str, str], Awaitable[None]],
        metrics: Metrics,
        *,
        places: Places,
        hurry: Callable[[str], None],
    ) -> None:
        self._settler = settler
        self._hand_over = hand_over
        self._metrics = metrics
        self._places = places
        self._hurry = hurry
        self._lanes: dict[str, _Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._held: set[Delivery] = set()
        self._draining = False

    async def take(self, delivery: Delivery) -> None:
        """Give a delivery its lane. Returns when it has one, not when it is settled."""
        if not self._draining:
            self._held.add(delivery)
            await self._enter(delivery.session_id, [delivery])
        else:
            await _answer([delivery], nak_s=0)

    async def wake(self, session_id: str) -> None:
        """Look at a session that another worker believes we hold; no delivery goes with it.

        Without a free lane nothing is done, or wake-ups for sessions with a lane would wait behind
        it: the other worker's delivery comes again.
        """
        if not self._joined(session_id, []) and not self._draining and not self._places.all_taken():
            await self._enter(session_id, [])

    async def heartbeat(self, every_s: float) -> None:
        """Until cancelled, keep what is held from being redelivered."""
        while True:
            await asyncio.sleep(every_s)
            for delivery in tuple(self._held):
                with contextlib.suppress(Exception):
                    await delivery.in_progress()

    async def drain(self, within_s: float) -> None:
        """Wait until every lane is done; what arrives meanwhile is left to other workers.

        A lane that takes longer is stopped where it is: the log tells the next worker all it needs.
        """
        self._draining = True
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=within_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _enter(self, session_id: str, deliveries: list[Delivery]) -> None:
        if self._joined(session_id, deliveries):
            return
        await self._places.take()
        # While we waited for a free lane, the session may have got one.
        if self._joined(session_id, deliveries):
            self._places.leave()
            return
        if self._draining:
            self._places.leave()
            self._held.difference_update(deliveries)
            await _answer(deliveries, nak_s=0)
            return
        lane = _Lane(session_id=session_id, waiting=deliveries)
        self._lanes[session_id] = lane
        self._metrics.lanes.set(len(self._lanes))
        task = asyncio.create_task(self._run(lane))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _joined(self, session_id: str, deliveries: list[Delivery]) -> bool:
        lane = self._lanes.get(session_id)
        if lane is None:
            return False
        lane.waiting += deliveries
        lane.woken = True
        self._hurry(session_id)
        return True

    async def _run(self, lane: _Lane) -> None:
        try:
            while lane.woken:
                lane.woken = False
                deliveries, lane.waiting = lane.waiting, []
                nak_s: float | None = RETRY_S
                try:
                    nak_s = await self._settle(lane.session_id, deliveries)
                finally:
                    self._held.difference_update(deliveries)
                    await _answer(deliveries, nak_s)
        finally:
            # No await between the last look at `woken` and this: nobody can join a dead lane.
            self._held.difference_update(lane.waiting)  # some only if this lane was stopped
            del self._lanes[lane.session_id]
            self._metrics.lanes.set(len(self._lanes))
            self._places.leave()

    async def _settle(self, session_id: str, deliveries: list[Delivery]) -> float | None:
        """None when the session is settled, else the seconds after which to come again."""
        wake_seq = max((delivery.seq for delivery in deliveries), default=0)
        alarms = [delivery.alarm for delivery in deliveries if delivery.alarm is not None]
        count = max((delivery.count for delivery in deliveries), default=0)
        try:
            result = await self._settled(session_id, wake_seq, alarms, count)
            if isinstance(result, HeldElsewhere):
                self._metrics.handed_over.inc()
                await self._hand_over(result.worker, session_id)
                return min(HANDED_OVER_S, result.for_s)
        except Exception:
            # Nothing is lost: the log has what was done, and the wake-up comes again.
            _log.exception("session not settled", extra={"session": session_id})
            return _retry_s(count)
        return None

    async def _settled(
        self, session_id: str, wake_seq: int, alarms: Sequence[Alarm], count: int
    ) -> Settled | HeldElsewhere:
        """Settle; a flow that raises is asked again a few times, then its session is parked.

        All in this lane: redelivered to other workers, each of them would count anew. After parking
        it is settled again, for what the flow kept waiting and no other delivery may bring: the
        policy for its calls, hangups that applications asked for, alarms.
        """
        is_deadly = count >= POISON_DELIVERIES
        seq, raises = 0, 0
        while True:
            try:
                return await self._settler.settle(session_id, wake_seq, alarms, is_deadly=is_deadly)
            except FlowRaised as raised:
                raises = raises + 1 if raised.record.seq == seq else 1
                seq = raised.record.seq
                told = described(raised) | {"attempt": raises, "attempts_max": POISON_RAISES}
                # One traceback is enough: a pure function raises the same again.
                _log.error("flow raised", extra=told, exc_info=raised if raises == 1 else None)
                if raises < POISON_RAISES and not is_deadly:
                    async with self._places.lent():
                        await _pause(RAISED_PAUSE_S * raises)
                    continue
                attempts = count if is_deadly else raises
                await self._settler.park(raised, attempts)
                _log.error("session parked", extra=described(raised) | {"attempts": attempts})
                raises = 0


async def _pause(seconds: float) -> None:
    await asyncio.sleep(seconds)


def _retry_s(count: int) -> float:
    # A delivery may have been counted thousands of times: 2 to the power of that is no float.
    doublings = min(max(0, count - 1), RETRY_DOUBLINGS_MAX)
    return min(RETRY_S * float(2**doublings), RETRY_MAX_S)


async def _answer(deliveries: Sequence[Delivery], nak_s: float | None) -> None:
    """Acknowledge them, or have them come again; one that cannot be answered comes by itself."""
    for delivery in deliveries:
        with contextlib.suppress(Exception):
            if nak_s is None:
                await delivery.ack()
            else:
                await delivery.nak(nak_s)
