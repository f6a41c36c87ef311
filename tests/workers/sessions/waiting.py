"""Sessions whose commands wait for a permit of the rate limits, on a clock of their own."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from offhook.codec.facts import encode, encoded_webhook
from offhook.codec.webhooks import wire_body
from offhook.events import (
    CallHangup,
    CommandRequested,
    Fact,
    IssuedCommand,
)
from offhook.jetstream.log import Appended
from offhook.jetstream.subjects import Side
from offhook.telnyx.outcomes import Accepted, Outcome
from offhook.workers.intake.slots import Slots
from offhook.workers.metrics import WorkerMetrics
from offhook.workers.sending.carrier_readiness import CarrierReadiness
from offhook.workers.sending.queue import CommandQueue
from offhook.workers.sending.rate_limits import RateLimits
from offhook.workers.sessions.execute import Timing
from offhook.workers.sessions.settle import Settler
from tests.memory_log import MemoryLog
from tests.memory_timetable import MemoryTimetable
from tests.virtual_clock import VirtualClock

ACCEPTED = Accepted(status=200, answer={"data": {"result": "ok"}})
DIALLED = {"to": "+12025550123", "from": "+12025550100", "connection_id": "1"}


class SlowLog(MemoryLog):
    """From a second of the clock on, workers hear only `after_s` later that a record is stored."""

    def __init__(self, clock: VirtualClock, after_s: float, from_s: float) -> None:
        super().__init__()
        self._clock = clock
        self._after_s = after_s
        self._from_s = from_s

    async def append(self, session_id: str, side: Side, *args: Any, **more: Any) -> Appended:
        appended = await super().append(session_id, side, *args, **more)
        if side == "out" and self._clock.now >= self._from_s:
            await self._clock.sleep(self._after_s)
        return appended


class ClosedLimits(RateLimits):
    """There is no turn for anything, or for a dial, until then: whatever may be the reason."""

    until = dials_until = float("-inf")

    def closed_until(self, operation: str) -> float:
        dials_until = self.dials_until if operation == "dial" else self.until
        return max(self.until, dials_until, super().closed_until(operation))


class World:
    """Workers on one log, in virtual time; `closed_s` is how long the carrier takes nothing."""

    def __init__(
        self, closed_s: float, *answers: Outcome, slow_s: float = 0, slow_from_s: float = 0
    ) -> None:
        self.clock = VirtualClock(on_jump=self._jumped)
        self.log = SlowLog(self.clock, slow_s, slow_from_s) if slow_s else MemoryLog()
        self.answers = list(answers)
        self.sent: list[tuple[str, bool, float]] = []  # operation, repeated, when
        self.closed_s = closed_s
        self.queues: dict[str, CommandQueue] = {}
        self.limits: dict[str, ClosedLimits] = {}

    def _jumped(self, seconds: float) -> None:
        self.log.now += timedelta(seconds=seconds)

    def worker(self, name: str, slots: Slots | None = None) -> Settler:
        metrics = WorkerMetrics()
        limits = self.limits[name] = ClosedLimits(name, {}, self.clock.now)
        limits.until = self.clock.now + self.closed_s
        queue = CommandQueue(
            limits,
            slots or Slots(8),
            metrics,
            clock=lambda: self.clock.now,
            sleep=self.clock.sleep,
        )
        self.queues[name] = queue
        timing = Timing(now=lambda: self.log.now, sleep=self.clock.sleep, chance=lambda: 1.0)
        return Settler(
            worker=name,
            log=self.log,
            timetable=MemoryTimetable(self.log),
            sender=self,
            flows=[],
            timing=timing,
            send_s=2.0,
            metrics=metrics,
            readiness=CarrierReadiness(),
            queue=queue,
        )

    def take_no_dials(self, worker: str, for_s: float) -> None:
        self.limits[worker].dials_until = self.clock.now + for_s

    async def send(self, command: IssuedCommand, *, repeated: bool = False) -> Outcome:
        self.sent.append((command.operation, repeated, round(self.clock.now, 3)))
        return self.answers.pop(0) if self.answers else ACCEPTED

    async def request(self, operation: str, session_id: str = "s", **parameters: str) -> None:
        command = IssuedCommand(
            command_id=f"c-{operation}",
            operation=operation,
            call_control_id=None if operation == "dial" else f"v3:{session_id}",
            parameters=dict(parameters),
        )
        fact = CommandRequested(command=command)
        await self.log.append(session_id, "in", encode(fact, session_id))

    async def hang_up(self) -> None:
        event = CallHangup(event_id="e-hangup", call_control_id="v3:s", call_session_id="s")
        await self.log.append("s", "in", encoded_webhook(wire_body(event), event.event_id))

    async def facts(self, *kinds: type[Fact]) -> Sequence[Fact]:
        records = await self.log.read("s")
        return [record.fact for record in records if isinstance(record.fact, kinds)]
