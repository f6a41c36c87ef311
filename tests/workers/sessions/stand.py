"""A settler on the stand-in log, with a scripted carrier and a clock that jumps."""

from collections.abc import Awaitable, Callable, Container, Sequence
from datetime import timedelta

from offhook.codec.facts import encode, encoded_webhook
from offhook.codec.webhooks import wire_body
from offhook.commands import Answer, Command, Hangup, Transfer
from offhook.events import (
    CallAnswered,
    CallEvent,
    CallHangup,
    CallInitiated,
    CommandFailed,
    CommandRequested,
    Decided,
    Event,
    Fact,
    IssuedCommand,
)
from offhook.flow import Flow
from offhook.jetstream.timetable import Timetable
from offhook.session import Session
from offhook.telnyx.outcomes import Accepted, Outcome
from offhook.workers.intake.slots import Slots
from offhook.workers.metrics import WorkerMetrics
from offhook.workers.reading.silence import Silences
from offhook.workers.reading.snapshots import Snapshots
from offhook.workers.sending.carrier_readiness import CarrierReadiness
from offhook.workers.sending.queue import CommandQueue
from offhook.workers.sending.rate_limits import RateLimits
from offhook.workers.sending.rates import rates_from
from offhook.workers.sessions.execute import Timing
from offhook.workers.sessions.settle import Settler
from tests.memory_log import MemoryLog
from tests.memory_timetable import MemoryTimetable

SESSION = "session-1"
LEG = "v3:leg-a"
ACCEPTED = Accepted(status=200, answer={"data": {"result": "ok"}})


class ScriptedCarrier:
    """Answers in the order given, then accepts; remembers what it was sent."""

    def __init__(self, log: MemoryLog, *answers: Outcome, slow_s: float = 0) -> None:
        self._log = log
        self._answers = list(answers)
        self._slow_s = slow_s
        self.sent: list[tuple[IssuedCommand, bool]] = []

    async def send(self, command: IssuedCommand, *, repeated: bool = False) -> Outcome:
        self.sent.append((command, repeated))
        self._log.now += timedelta(seconds=self._slow_s)
        return self._answers.pop(0) if self._answers else ACCEPTED

    @property
    def operations(self) -> list[str]:
        return [command.operation for command, _ in self.sent]


def reception(event: Event, session: Session) -> Sequence[Command]:
    match event:
        case CallInitiated(direction="incoming"):
            return [Answer()]
        case CallAnswered():
            return [Transfer(to="+12025550123")]
        case CommandFailed(operation="transfer"):
            return [Hangup()]
        case _:
            return []


RECEPTION = Flow(name="reception", version="1", decide=reception)


def settler_on(
    log: MemoryLog,
    carrier: ScriptedCarrier,
    flow: Flow | Sequence[Flow] = RECEPTION,
    worker: str = "w1",
    ahead_s: float = 0,
    readiness: CarrierReadiness | None = None,
    timetable: Timetable | None = None,
    policy: Flow | None = None,
    webhook_url: str = "",
    on_sleep: Callable[[float], Awaitable[None]] | None = None,
    archived: Container[str] = (),
    snapshots: Snapshots | None = None,
    silences: Silences | None = None,
    metrics: WorkerMetrics | None = None,
) -> Settler:
    """`ahead_s` is how much the worker's clock is ahead of the log's."""

    async def sleep(seconds: float) -> None:
        log.now += timedelta(seconds=seconds)
        if on_sleep is not None:
            await on_sleep(seconds)

    async def was_archived(session_id: str) -> bool:
        return session_id in archived

    metrics = metrics or WorkerMetrics()
    rates = rates_from(dials_per_s=30.0, commands_per_s=0)
    limits = RateLimits(worker, rates, log.now.timestamp())
    return Settler(
        worker=worker,
        log=log,
        timetable=timetable or MemoryTimetable(log),
        sender=carrier,
        flows=[flow] if isinstance(flow, Flow) else flow,
        timing=Timing(
            now=lambda: log.now + timedelta(seconds=ahead_s), sleep=sleep, chance=lambda: 1.0
        ),
        send_s=2.0,
        metrics=metrics,
        readiness=readiness or CarrierReadiness(),
        queue=CommandQueue(
            limits, Slots(64), metrics, clock=lambda: log.now.timestamp(), sleep=sleep
        ),
        policy=policy,
        webhook_url=webhook_url,
        was_archived=was_archived,
        snapshots=snapshots,
        silences=silences,
    )


def initiated(event_id: str = "e1") -> CallInitiated:
    return CallInitiated(
        event_id=event_id, call_control_id=LEG, direction="incoming", to="+12025550100"
    )


def answered(event_id: str = "e2") -> CallAnswered:
    return CallAnswered(event_id=event_id, call_control_id=LEG)


def hung_up(event_id: str = "e3") -> CallHangup:
    return CallHangup(event_id=event_id, call_control_id=LEG, hangup_cause="normal_clearing")


async def arrive(log: MemoryLog, *events: CallEvent) -> int:
    for event in events:
        body = wire_body(event)
        placed = await log.append(SESSION, "in", encoded_webhook(body, event.event_id))
    return placed.seq


async def request(log: MemoryLog, operation: str, **parameters: object) -> IssuedCommand:
    command = IssuedCommand(
        command_id=f"c-{operation}",
        operation=operation,
        call_control_id=LEG,
        parameters=dict(parameters),
    )
    await log.append(SESSION, "in", encode(CommandRequested(command=command), SESSION))
    return command


async def facts(log: MemoryLog, *kinds: type[Fact]) -> list[Fact]:
    records = await log.read(SESSION)
    return [record.fact for record in records if not kinds or isinstance(record.fact, kinds)]


def held_by(
    worker: str, cause_seq: int, *, command_id: str = "c-of-w2", operation: str = "answer"
) -> Decided:
    command = IssuedCommand(command_id=command_id, operation=operation, call_control_id=LEG)
    return Decided(
        cause_seq=cause_seq,
        cause_id="e1",
        flow="reception",
        flow_version="1",
        worker=worker,
        lease_s=3,
        commands=(command,),
    )
