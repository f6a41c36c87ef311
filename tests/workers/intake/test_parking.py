"""A flow that raises takes nothing with it: neither an application's hangup nor a timer."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from offhook.codec.facts import Encoded, encode
from offhook.events import (
    CallAnswered,
    CallHangup,
    CallInitiated,
    Decided,
    Event,
    Record,
    SessionParked,
    SessionResumed,
    TimerFired,
)
from offhook.flow import Flow, Order
from offhook.jetstream.log import Appended
from offhook.jetstream.subjects import Side
from offhook.jetstream.timetable import Alarm
from offhook.session import Session
from offhook.session.timers import SetTimer
from offhook.workers.intake import dispatcher as module
from offhook.workers.intake.delivery import Delivery
from offhook.workers.intake.dispatcher import POISON_DELIVERIES, POISON_RAISES, Dispatcher
from offhook.workers.intake.handover import HandoverAnswer
from offhook.workers.intake.slots import Slots
from offhook.workers.metrics import WorkerMetrics
from offhook.workers.sessions.flow_errors import CHAIN_MAX, FRAMES_MAX, TRACEBACK_CHARS_MAX
from offhook.workers.sessions.flows import ERROR_CHARS_MAX
from offhook.workers.sessions.parked_policy import policy_from
from tests.memory_log import MemoryLog
from tests.memory_timetable import MemoryTimetable
from tests.workers.intake.dispatching import FakeDelivery, until_answered
from tests.workers.sessions.stand import (
    SESSION,
    ScriptedCarrier,
    answered,
    arrive,
    facts,
    hung_up,
    initiated,
    request,
    settler_on,
)

Decide = Callable[[Event, Session], Sequence[Order]]


class Desk:
    """One worker's dispatcher on the stand-ins, with a flow that breaks when a call is answered."""

    def __init__(self, parked: str = "none") -> None:
        self.log = MemoryLog()
        self.timetable = MemoryTimetable(self.log)
        self.carrier = ScriptedCarrier(self.log)
        self.is_broken = True
        self.raises_left = 1_000
        self.asked_in_vain = 0
        self.heard: list[type[Event]] = []
        self.flow: Decide = self._decide
        self.dispatcher = Dispatcher(
            settler_on(
                self.log,
                self.carrier,
                Flow(
                    name="menu",
                    version="1",
                    decide=lambda event, session: self.flow(event, session),
                ),
                timetable=self.timetable,
                policy=policy_from(parked),
            ),
            self._hand_over,
            WorkerMetrics(),
            slots=Slots(8),
            hurry=lambda session_id: None,
        )

    def _decide(self, event: Event, session: Session) -> Sequence[Order]:
        if isinstance(event, CallAnswered) and self.is_broken and self.raises_left:
            self.raises_left -= 1
            self.asked_in_vain += 1
            raise KeyError("menu")
        self.heard.append(type(event))
        return [SetTimer(name="patience", after_s=20)] if isinstance(event, CallInitiated) else []

    async def _hand_over(
        self, worker: str, session_id: str, deliveries: Sequence[Delivery]
    ) -> HandoverAnswer:
        raise AssertionError("there is one worker")

    async def redeliver(self, times: int, alarm: Alarm | None = None) -> list[str | float]:
        """What became of the last of so many deliveries of one wake-up."""
        for count in range(1, times + 1):
            delivery = FakeDelivery(session_id=SESSION, seq=0, alarm=alarm, count=count)
            await self.deliver(delivery)
        return delivery.answers

    async def deliver(self, *deliveries: FakeDelivery) -> None:
        await asyncio.gather(*(self.dispatcher.take(delivery) for delivery in deliveries))
        await until_answered(*deliveries)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause between two raises."""

    async def pause(seconds: float) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr(module, "_pause", pause)


async def test_a_hangup_asked_for_behind_a_poisonous_event_is_carried_out() -> None:
    desk = Desk()
    await arrive(desk.log, initiated(), answered())
    await request(desk.log, "hangup")
    assert await desk.redeliver(1) == ["ack"]
    assert desk.asked_in_vain == POISON_RAISES
    assert desk.carrier.operations == ["hangup"]


async def test_a_record_is_read_once_however_often_its_flow_raises() -> None:
    desk = Desk()
    await arrive(desk.log, initiated(), answered())
    stored, read = len(await desk.log.read(SESSION)), 0
    read_log = desk.log.read

    async def reading(session_id: str, **options: Any) -> Sequence[Record]:
        nonlocal read
        found = await read_log(session_id, **options)
        read += len(found)
        return found

    desk.log.read = reading  # type: ignore[method-assign]
    await desk.deliver(FakeDelivery(session_id=SESSION))
    assert desk.asked_in_vain == POISON_RAISES
    assert read == len(await read_log(SESSION)) > stored


async def test_the_log_is_not_read_between_two_raises() -> None:
    desk = Desk()
    await arrive(desk.log, initiated(), answered())
    reads_at_raises: list[int] = []
    reads, read_log, decide = 0, desk.log.read, desk._decide

    async def reading(session_id: str, **options: Any) -> Sequence[Record]:
        nonlocal reads
        reads += 1
        return await read_log(session_id, **options)

    def deciding(event: Event, session: Session) -> Sequence[Order]:
        if isinstance(event, CallAnswered):
            reads_at_raises.append(reads)
        return decide(event, session)

    desk.log.read = reading  # type: ignore[method-assign]
    desk.flow = deciding
    await desk.deliver(FakeDelivery(session_id=SESSION))
    assert len(reads_at_raises) == POISON_RAISES
    assert len(set(reads_at_raises)) == 1
    assert len(await facts(desk.log, SessionParked)) == 1


async def test_a_replica_that_does_not_show_the_parking_yet_makes_no_flow_be_asked_again() -> None:
    desk = Desk()
    await arrive(desk.log, initiated(), answered())
    read_log = desk.log.read
    lags = iter([True])

    async def lagging(session_id: str, **options: Any) -> Sequence[Record]:
        found = await read_log(session_id, **options)
        is_parked = any(isinstance(each.fact, SessionParked) for each in found)
        if is_parked and next(lags, False):
            return [each for each in found if not isinstance(each.fact, SessionParked)]
        return found

    desk.log.read = lagging  # type: ignore[method-assign]
    await desk.deliver(FakeDelivery(session_id=SESSION))
    assert next(lags, None) is None, "it lagged"
    assert desk.asked_in_vain == POISON_RAISES
    assert len(await facts(desk.log, SessionParked)) == 1


async def test_a_raise_in_passing_after_many_hand_overs_parks_no_session() -> None:
    desk = Desk()
    desk.raises_left = POISON_RAISES - 1
    await arrive(desk.log, initiated(), answered())
    delivery = FakeDelivery(session_id=SESSION, count=40)
    await desk.deliver(delivery)
    assert delivery.answers == ["ack"]
    assert await facts(desk.log, SessionParked) == []
    assert desk.heard == [CallInitiated, CallAnswered]


async def test_a_record_that_seems_to_end_its_workers_is_parked_without_asking_its_flow() -> None:
    desk = Desk()
    await arrive(desk.log, initiated())
    await desk.deliver(FakeDelivery(session_id=SESSION))
    seq = await arrive(desk.log, answered())
    await request(desk.log, "hangup")
    delivery = FakeDelivery(session_id=SESSION, count=POISON_DELIVERIES)
    await desk.deliver(delivery)
    assert delivery.answers == ["ack"]
    assert desk.asked_in_vain == 0
    (parked,) = await facts(desk.log, SessionParked)
    assert isinstance(parked, SessionParked)
    assert (parked.cause_seq, parked.attempts) == (seq, POISON_DELIVERIES)
    assert (parked.traceback, parked.flow) == ("", "")
    assert desk.carrier.operations == ["hangup"], "an application's command takes no flow"


async def test_however_often_it_was_delivered_a_session_with_nothing_to_ask_is_settled() -> None:
    desk = Desk()
    await request(desk.log, "hangup")
    await desk.deliver(FakeDelivery(session_id=SESSION, count=POISON_DELIVERIES))
    assert desk.carrier.operations == ["hangup"]
    assert await facts(desk.log, SessionParked) == []


async def test_a_timer_whose_alarm_meets_a_poisonous_event_fires_after_the_repair() -> None:
    desk = Desk()
    seq = await arrive(desk.log, initiated())
    await desk.deliver(FakeDelivery(session_id=SESSION, seq=seq))
    await arrive(desk.log, answered())
    desk.log.now += timedelta(seconds=21)
    (alarm,) = desk.timetable.rings()
    assert await desk.redeliver(1, alarm) == ["ack"]
    assert len(await facts(desk.log, TimerFired)) == 1

    desk.is_broken = False
    resumed = await desk.log.append(SESSION, "in", encode(SessionResumed(), SESSION))
    await desk.deliver(FakeDelivery(session_id=SESSION, seq=resumed.seq))
    assert desk.heard == [CallInitiated, CallAnswered, TimerFired]


async def test_a_parked_session_has_the_traceback_of_the_flow_alone() -> None:
    desk = Desk()
    await arrive(desk.log, initiated(), answered())
    await desk.deliver(FakeDelivery(session_id=SESSION))
    (parked,) = await facts(desk.log, SessionParked)
    assert isinstance(parked, SessionParked)
    first, *_, last = parked.traceback.splitlines()
    assert first == "Traceback (most recent call last):"
    assert parked.error.endswith(last)
    assert __file__ in parked.traceback
    assert "offhook/workers" not in parked.traceback


async def test_a_flow_that_calls_itself_without_end_has_a_short_traceback() -> None:
    def endless(depth: int) -> int:
        return endless(depth + 1) + 1

    parked = await parked_by(lambda: endless(0))
    assert parked.error == "flow menu 1: RecursionError: maximum recursion depth exceeded"
    assert len(parked.traceback.splitlines()) < 3 * FRAMES_MAX
    assert "return endless(depth + 1) + 1" in parked.traceback


async def test_a_traceback_shows_what_was_handled_when_the_flow_raised() -> None:
    def chained() -> None:
        try:
            raise KeyError("menu")
        except KeyError as error:
            raise ValueError("no menu") from error

    parked = await parked_by(chained)
    first, _, second = parked.traceback.partition("direct cause of the following exception")
    assert first.count("KeyError: 'menu'") == 1
    assert second.endswith("ValueError: no menu\n")


async def test_of_a_hundred_nested_exceptions_the_last_ones_are_shown() -> None:
    def nested() -> None:
        last = KeyError(0)
        for number in range(1, 101):
            error = KeyError(number)
            error.__context__ = last
            last = error
        raise last

    parked = await parked_by(nested)
    assert "KeyError: 100" in parked.traceback
    assert parked.traceback.count("KeyError: ") == CHAIN_MAX


async def test_an_exception_whose_message_cannot_be_read_parks_its_session() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def broken() -> None:
        raise Broken

    parked = await parked_by(broken)
    assert parked.error == "flow menu 1: Broken: its message cannot be read: RuntimeError"
    assert "raise Broken" in parked.traceback


async def test_of_a_long_message_the_beginning_is_kept() -> None:
    def quoting() -> None:
        raise ValueError("x" * 1_000_000)

    parked = await parked_by(quoting)
    assert parked.error.startswith("flow menu 1: ValueError: xxx")
    assert len(parked.error) < ERROR_CHARS_MAX + 100
    assert len(parked.traceback) <= TRACEBACK_CHARS_MAX


async def test_the_caller_of_a_parked_session_is_hung_up_once() -> None:
    desk = Desk(parked="hangup")
    await arrive(desk.log, initiated(), answered())
    assert await desk.redeliver(3) == ["ack"]
    assert desk.carrier.operations == ["hangup"]
    assert await decided_by(desk.log) == ["menu", "parked-policy"]

    await arrive(desk.log, hung_up())
    await desk.redeliver(1)
    assert desk.carrier.operations == ["hangup"]
    assert await decided_by(desk.log) == ["menu", "parked-policy"], "the rest waits for a retry"


async def test_a_record_that_seems_to_end_its_workers_is_no_reason_for_silence() -> None:
    desk = Desk(parked="hangup")
    await arrive(desk.log, initiated())
    await desk.deliver(FakeDelivery(session_id=SESSION))
    await arrive(desk.log, answered())
    await desk.deliver(FakeDelivery(session_id=SESSION, count=POISON_DELIVERIES))
    assert desk.asked_in_vain == 0
    assert desk.carrier.operations == ["hangup"]


async def test_a_worker_that_dies_after_parking_leaves_the_policy_to_the_next() -> None:
    desk = Desk(parked="hangup")
    seq = await arrive(desk.log, initiated(), answered())
    parked = SessionParked(cause_seq=seq, error="KeyError: 'menu'", attempts=POISON_RAISES)
    await desk.log.append(SESSION, "out", encode(parked, SESSION))
    await desk.redeliver(2)
    assert desk.asked_in_vain == 0
    assert desk.carrier.operations == ["hangup"]


async def test_a_call_that_is_over_is_left_to_a_retry() -> None:
    desk = Desk(parked="hangup")
    await arrive(desk.log, initiated(), answered(), hung_up())
    await desk.redeliver(1)
    assert await decided_by(desk.log) == ["menu"]
    desk.is_broken = False
    await desk.log.append(SESSION, "in", encode(SessionResumed(), SESSION))
    await desk.redeliver(1)
    assert desk.heard == [CallInitiated, CallAnswered, CallHangup]
    assert desk.carrier.operations == []


async def test_after_the_policy_a_retry_asks_the_flow_about_what_comes_next_alone() -> None:
    desk = Desk(parked="hangup")
    await arrive(desk.log, initiated(), answered())
    await desk.redeliver(1)
    await arrive(desk.log, hung_up())
    desk.is_broken = False
    await desk.log.append(SESSION, "in", encode(SessionResumed(), SESSION))
    await desk.redeliver(1)
    assert desk.heard == [CallInitiated, CallHangup]
    assert desk.carrier.operations == ["hangup"]


async def test_a_decision_of_another_worker_comes_before_parking() -> None:
    """During a rollout: the other one has the corrected flow."""
    desk = Desk()
    seq = await arrive(desk.log, initiated(), answered())
    carrier = ScriptedCarrier(desk.log)

    async def other_decides() -> None:
        await settler_on(desk.log, carrier, CORRECTED, worker="w2").settle(SESSION)

    before_parking(desk.log, other_decides)
    assert await desk.redeliver(1) == ["ack"]
    assert await facts(desk.log, SessionParked) == []
    last = (await facts(desk.log, Decided))[-1]
    assert isinstance(last, Decided)
    assert (last.cause_seq, last.flow_version) == (seq, CORRECTED.version)

    await arrive(desk.log, hung_up())
    await desk.redeliver(1)
    assert desk.heard == [CallInitiated, CallHangup], "the session goes on"


async def test_two_workers_park_a_session_once_and_a_resumed_one_is_not_parked_again() -> None:
    desk = Desk()
    seq = await arrive(desk.log, initiated(), answered())

    async def other_parks_and_operator_resumes() -> None:
        parked = SessionParked(cause_seq=seq, error="KeyError: 'menu'", attempts=POISON_RAISES)
        await desk.log.append(SESSION, "out", encode(parked, SESSION))
        desk.is_broken = False
        await desk.log.append(SESSION, "in", encode(SessionResumed(), SESSION))

    before_parking(desk.log, other_parks_and_operator_resumes)
    assert await desk.redeliver(1) == ["ack"]
    assert len(await facts(desk.log, SessionParked)) == 1
    assert desk.heard == [CallInitiated, CallAnswered]


async def parked_by(raising: Callable[[], object]) -> SessionParked:
    """How a session is parked whose flow calls this when the call is answered."""

    def decide(event: Event, session: Session) -> Sequence[Order]:
        if isinstance(event, CallAnswered):
            raising()
        return []

    desk = Desk()
    desk.flow = decide
    await arrive(desk.log, initiated(), answered())
    delivery = FakeDelivery(session_id=SESSION)
    await desk.deliver(delivery)
    assert delivery.answers == ["ack"]
    (parked,) = await facts(desk.log, SessionParked)
    assert isinstance(parked, SessionParked)
    return parked


def before_parking(log: MemoryLog, do: Callable[[], Awaitable[None]]) -> None:
    """Do this when the next SessionParked is to be stored, before it is."""
    append = log.append

    async def overtaken(session_id: str, side: Side, encoded: Encoded, **options: Any) -> Appended:
        if encoded.type == "SessionParked":
            log.append = append  # type: ignore[method-assign]
            await do()
        return await append(session_id, side, encoded, **options)

    log.append = overtaken  # type: ignore[method-assign]


CORRECTED = Flow(name="menu", version="2", decide=lambda event, session: [])


async def decided_by(log: MemoryLog) -> list[str]:
    """The flows of the decisions, oldest first."""
    return [fact.flow for fact in await facts(log, Decided) if isinstance(fact, Decided)]
