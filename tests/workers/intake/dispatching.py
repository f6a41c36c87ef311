"""A dispatcher with deliveries that note their answers, and sessions settled by a script."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast

from offhook.events import Record
from offhook.jetstream.timetable import Alarm
from offhook.workers.intake.delivery import Delivery
from offhook.workers.intake.dispatcher import Dispatcher
from offhook.workers.intake.handover import HandoverAnswer
from offhook.workers.intake.slots import Slots
from offhook.workers.metrics import WorkerMetrics
from offhook.workers.reading.silence import Arrived, nothing_arrived
from offhook.workers.sessions.flows import FlowRaised
from offhook.workers.sessions.settle import HeldElsewhere, Settled, Settler

DRAIN_S = 5.0
HELD = HeldElsewhere(worker="w2", for_s=2.5, lease_seq=7)
TIMEOUT_S = 60.0
NOW = datetime(2026, 11, 22, tzinfo=UTC)


@dataclass(eq=False, kw_only=True)
class FakeDelivery:
    """`answers` has "ack", or the seconds of a nak."""

    session_id: str
    reply: str = "$JS.ACK"
    seq: int = 1
    alarm: Alarm | None = None
    at: datetime | None = None
    arrived: Record | None = None
    count: int = 1
    may_begin: bool = False
    answers: list[str | float] = field(default_factory=list)
    heartbeats: int = 0
    is_unreachable: bool = False

    def record(self) -> Record | None:
        return self.arrived

    async def ack(self) -> None:
        self._reach()
        self.answers.append("ack")

    async def nak(self, delay_s: float) -> None:
        self._reach()
        self.answers.append(delay_s)

    async def in_progress(self) -> None:
        self.heartbeats += 1

    def _reach(self) -> None:
        if self.is_unreachable:
            raise ConnectionError("closed")


class FakeSettler:
    """Settles when the gate opens, as the script says: session -> what comes of it, in turn."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.script: dict[str, list[Settled | HeldElsewhere | Exception]] = {}
        self.settled: list[tuple[str, int]] = []
        self.alarms: list[Alarm] = []
        self.voids: list[int] = []
        self.new: list[str] = []
        self.arrived: list[Record] = []
        self.woken_at: list[datetime] = []
        self.rested: list[str] = []
        self.parked: list[int] = []
        self.park_error: Exception | None = None
        self.running: list[str] = []
        self.running_max = 0

    async def settle(
        self,
        session_id: str,
        wake_seq: int = 0,
        alarms: Sequence[Alarm] = (),
        *,
        is_deadly: bool = False,
        void: int = 0,
        first_seq: int = 0,
        as_known: bool = False,
        is_new: bool = False,
        arrived: Arrived = nothing_arrived,
        woken_at: datetime | None = None,
    ) -> Settled | HeldElsewhere:
        self.voids += [void] if void else []
        assert session_id not in self.running, "two tasks for one session"
        self.running.append(session_id)
        self.running_max = max(self.running_max, len(self.running))
        self.settled.append((session_id, wake_seq))
        self.alarms += alarms
        self.new += [session_id] if is_new else []
        self.arrived += arrived()
        self.woken_at += [woken_at] if woken_at is not None else []
        try:
            await self.gate.wait()
        finally:
            self.running.remove(session_id)
        outcomes = self.script.get(session_id, [])
        outcome = outcomes.pop(0) if outcomes else Settled()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def rest(self, session_id: str) -> None:
        self.rested.append(session_id)
        await self.settle(session_id)

    async def park(self, raised: FlowRaised, attempts: int, traceback: str) -> bool:
        if self.park_error is not None:
            raise self.park_error
        self.parked.append(attempts)
        return True


class Bench:
    """Dispatcher around a fake settler."""

    def __init__(self, slots_max: int = 8) -> None:
        self.settler = FakeSettler()
        self.handed_over: list[tuple[str, str]] = []
        self.answer = HandoverAnswer.SILENT  # of the worker that is handed over to
        settler = cast(Settler, self.settler)
        self.hurried: list[str] = []
        self.dispatcher = Dispatcher(
            settler,
            self._hand_over,
            WorkerMetrics(),
            slots=Slots(slots_max),
            hurry=self.hurried.append,
        )

    async def take(self, session_id: str = "s", *, seq: int = 1, count: int = 1) -> FakeDelivery:
        delivery = FakeDelivery(session_id=session_id, seq=seq, count=count)
        await self.dispatcher.take(delivery)
        return delivery

    async def answers_of(self, deliveries: int) -> list[str | float]:
        """What becomes of one wake-up, delivered so often."""
        answers: list[str | float] = []
        for count in range(1, deliveries + 1):
            delivery = await self.take(count=count)
            await until_answered(delivery)
            answers += delivery.answers
        return answers

    async def _hand_over(
        self, worker: str, session_id: str, deliveries: Sequence[Delivery]
    ) -> HandoverAnswer:
        self.handed_over.append((worker, session_id))
        return self.answer


async def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        await asyncio.sleep(0.001)


async def until_answered(*deliveries: FakeDelivery) -> None:
    await until(lambda: all(delivery.answers for delivery in deliveries))
