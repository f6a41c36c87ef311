"""Settling a session on the stand-in log, with a scripted carrier and a clock that jumps."""

import asyncio
import dataclasses
import re
from collections.abc import Awaitable, Callable, Container, Sequence
from datetime import timedelta
from typing import Any

import pytest

from offhook.codec import Encoded, encode, encoded_webhook
from offhook.commands import Answer, Command, Hangup, Transfer
from offhook.errors import LogUnavailable
from offhook.events import (
    CallAnswered,
    CallEvent,
    CallHangup,
    CallInitiated,
    CommandAttempted,
    CommandFailed,
    CommandRequested,
    CommandSucceeded,
    Decided,
    Event,
    Fact,
    IssuedCommand,
    Record,
    SessionParked,
    SessionResumed,
)
from offhook.flow import Flow
from offhook.jetstream.log import Appended
from offhook.jetstream.subjects import Side
from offhook.jetstream.timetable import Timetable
from offhook.session import Session
from offhook.telnyx.outcomes import Accepted, Busy, NoAnswer, Outcome, Refused, outcome_of
from offhook.webhooks import wire_body
from offhook.workers.intake.slots import Slots
from offhook.workers.metrics import WorkerMetrics
from offhook.workers.sending.carrier_readiness import CarrierReadiness
from offhook.workers.sending.queue import CommandQueue
from offhook.workers.sending.rate_limits import RateLimits
from offhook.workers.sending.rates import rates_from
from offhook.workers.sessions.execute import Timing
from offhook.workers.sessions.flows import COMMANDS_PER_SESSION_MAX, FlowRaised
from offhook.workers.sessions.settle import OTHERS_FIRST_S, HeldElsewhere, Settled, Settler
from offhook.workers.sessions.snapshots import Snapshots
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
) -> Settler:
    """`ahead_s` is how much the worker's clock is ahead of the log's."""

    async def sleep(seconds: float) -> None:
        log.now += timedelta(seconds=seconds)
        if on_sleep is not None:
            await on_sleep(seconds)

    async def was_archived(session_id: str) -> bool:
        return session_id in archived

    metrics = WorkerMetrics()
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


async def test_a_call_that_no_flow_takes_is_warned_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = MemoryLog()
    sales = Flow(name="sales", version="1", decide=reception, numbers=frozenset({"+12025550199"}))
    seq = await arrive(log, initiated(), answered(), hung_up())
    settler = settler_on(log, ScriptedCarrier(log), sales)
    for _ in range(2):
        await settler.settle(SESSION, seq)
    warned = [fact.warnings for fact in await facts(log, Decided) if isinstance(fact, Decided)]
    assert [len(warnings) for warnings in warned] == [1, 0, 0]
    assert "to is '+12025550100'" in warned[0][0]
    assert [record.message for record in caplog.records] == ["no flow takes the call"]


async def test_webhooks_that_a_command_sends_elsewhere_are_warned_of_in_its_decision() -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log)
    orders = [Transfer(to="+12025550123", webhook_url="https://other.example.com/app"), Hangup()]
    flow = Flow(name="away", version="1", decide=lambda event, session: orders)
    seq = await arrive(log, answered())
    await settler_on(log, carrier, flow, webhook_url="https://own.example.com/x").settle(
        SESSION, seq
    )
    (decided,) = await facts(log, Decided)
    assert isinstance(decided, Decided)
    [warning] = decided.warnings
    assert warning.startswith("transfer: the call's webhooks go to webhook_url 'https://other.")
    assert carrier.operations == ["transfer", "hangup"]


async def test_webhooks_by_get_are_never_sent() -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log)
    orders = [Transfer(to="+12025550123", webhook_url_method="GET")]
    flow = Flow(
        name="get",
        version="1",
        decide=lambda event, session: orders if isinstance(event, CallAnswered) else [],
    )
    await settler_on(log, carrier, flow).settle(SESSION, await arrive(log, answered()))
    assert carrier.operations == []
    (failed,) = await facts(log, CommandFailed)
    assert isinstance(failed, CommandFailed)
    assert failed.reason == "invalid"
    assert "webhook_url_method is 'GET'" in failed.detail


async def test_an_event_is_decided_once_and_its_command_sent_once() -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log)
    seq = await arrive(log, initiated())

    for _ in range(3):
        assert await settler_on(log, carrier).settle(SESSION, seq) == Settled()

    assert carrier.operations == ["answer"]
    (decided,) = await facts(log, Decided)
    assert isinstance(decided, Decided)
    assert (decided.cause_seq, decided.flow, decided.flow_version) == (seq, "reception", "1")
    (succeeded,) = await facts(log, CommandSucceeded)
    assert isinstance(succeeded, CommandSucceeded)
    assert succeeded.command_id == decided.commands[0].command_id
    assert succeeded.answer == {"data": {"result": "ok"}}


async def test_an_event_that_asks_for_nothing_is_decided_too() -> None:
    log = MemoryLog()
    await arrive(log, hung_up())
    await settler_on(log, ScriptedCarrier(log)).settle(SESSION)
    (decided,) = await facts(log, Decided)
    assert isinstance(decided, Decided)
    assert decided.commands == ()


async def test_events_are_decided_in_the_order_of_the_log() -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log)
    await arrive(log, initiated(), answered())
    await settler_on(log, carrier).settle(SESSION)
    assert carrier.operations == ["answer", "transfer"]


async def test_a_repeated_event_is_not_decided_again() -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log)
    settler = settler_on(log, carrier)
    await arrive(log, initiated())
    await settler.settle(SESSION)
    # The log's own window is over, so the copy is stored.
    log._seqs.clear()
    await arrive(log, initiated())
    await settler.settle(SESSION)
    assert carrier.operations == ["answer"]
    assert len(await facts(log, Decided)) == 1


async def test_each_decision_sees_only_what_came_before_it() -> None:
    seen: list[str | None] = []

    def decide(event: Event, session: Session) -> list[Command]:
        leg = session.leg(LEG)
        seen.append(leg.state if leg else None)
        return []

    log = MemoryLog()
    await arrive(log, initiated(), answered(), hung_up())
    flow = Flow(name="watch", version="1", decide=decide)
    await settler_on(log, ScriptedCarrier(log), flow).settle(SESSION)
    assert seen == ["initiated", "answered", "ended"]


async def test_no_answer_is_tried_again_with_the_same_command_id() -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log, NoAnswer(detail="ReadTimeout"), NoAnswer(detail="503"))
    await arrive(log, initiated())
    await settler_on(log, carrier).settle(SESSION)
    assert carrier.operations == ["answer"] * 3
    assert len({command.command_id for command, _ in carrier.sent}) == 1
    assert [repeated for _, repeated in carrier.sent] == [False, True, True]
    attempts = await facts(log, CommandAttempted)
    assert [fact.attempt for fact in attempts if isinstance(fact, CommandAttempted)] == [2, 3]


@pytest.mark.parametrize(
    ("operation", "parameters", "times"),
    [("siprec_start", {}, 1), ("client_state_update", {"client_state": ""}, 2)],
)
async def test_without_a_command_id_only_what_sets_a_state_is_sent_again(
    operation: str, parameters: dict[str, str], times: int
) -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log, NoAnswer(detail="ReadTimeout"))
    await request(log, operation, **parameters)
    await settler_on(log, carrier).settle(SESSION)
    assert carrier.operations == [operation] * times
    failed = [f for f in await facts(log, CommandFailed) if isinstance(f, CommandFailed)]
    assert [f.reason for f in failed] == ["deadline"] * (2 - times)
    assert all("it has no command_id, so it is not sent a second time" in f.detail for f in failed)
    assert all(f.maybe_performed for f in failed)
    assert all(f.group == "no_answer" for f in failed)


async def test_what_certainly_did_not_arrive_is_sent_again_in_any_case() -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log, NoAnswer(detail="ConnectError", maybe_taken=False))
    await request(log, "siprec_start")
    await settler_on(log, carrier).settle(SESSION)
    assert carrier.operations == ["siprec_start"] * 2
    assert len(await facts(log, CommandSucceeded)) == 1


async def test_a_busy_carrier_is_waited_for_as_long_as_it_says() -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log, Busy(retry_after_s=7, detail="429"))
    await arrive(log, initiated())
    before = log.now
    await settler_on(log, carrier).settle(SESSION)
    assert carrier.operations == ["answer", "answer"]
    assert log.now - before >= timedelta(seconds=7)
    assert [repeated for _, repeated in carrier.sent] == [False, False]


async def test_after_45_seconds_a_command_is_given_up() -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log, *[NoAnswer(detail="ReadTimeout")] * 100, slow_s=2)
    await arrive(log, answered())
    decided_at = log.now
    await settler_on(log, carrier).settle(SESSION)
    failed = [f for f in await facts(log, CommandFailed) if isinstance(f, CommandFailed)]
    assert (failed[0].operation, failed[0].reason) == ("transfer", "deadline")
    transfers = [each for each, _ in carrier.sent if each.operation == "transfer"]
    assert 5 <= len(transfers) <= 23
    # The flow heard of it, and its hangup had 45 seconds of its own.
    assert failed[1].operation == "hangup"
    assert log.now - decided_at < timedelta(seconds=95)


async def test_a_retry_is_not_made_for_a_call_that_ended_meanwhile() -> None:
    log = MemoryLog()

    class HangingUp(ScriptedCarrier):
        async def send(self, command: IssuedCommand, *, repeated: bool = False) -> Outcome:
            await arrive(log, hung_up())
            return await super().send(command, repeated=repeated)

    carrier = HangingUp(log, NoAnswer(detail="ReadTimeout"))
    await arrive(log, answered())
    await settler_on(log, carrier).settle(SESSION)
    assert carrier.operations == ["transfer"]
    failed = [f for f in await facts(log, CommandFailed) if isinstance(f, CommandFailed)]
    assert [f.reason for f in failed] == ["call_ended"]
    # The flow's hangup of the ended leg is needless, and counts as done.
    outcomes = await facts(log, CommandSucceeded)
    assert [f.note for f in outcomes if isinstance(f, CommandSucceeded)] == [
        "the call had already ended"
    ]


async def test_a_refused_command_is_told_to_the_flow() -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log, Refused(status=422, group="wrong_state", detail="422 90034"))
    await arrive(log, answered())
    await settler_on(log, carrier).settle(SESSION)
    assert carrier.operations == ["transfer", "hangup"]


async def test_a_command_before_the_answer_is_sent_with_a_warning_and_its_refusal_told() -> None:
    def decide(event: Event, session: Session) -> list[Command]:
        return [Transfer(to="+12025550123")] if isinstance(event, CallInitiated) else []

    log = MemoryLog()
    refusal = (
        b'{"errors":[{"code":"90034","title":"Call not answered yet","detail":"This call can\'t '
        b'receive this command because it has not been answered yet."}]}'
    )
    carrier = ScriptedCarrier(log, outcome_of("transfer", 422, {}, refusal))
    await arrive(log, initiated())
    await settler_on(log, carrier, Flow(name="f", version="1", decide=decide)).settle(SESSION)
    decided, _ = [f for f in await facts(log, Decided) if isinstance(f, Decided)]
    assert decided.warnings == ("transfer: the incoming call was not answered yet (90034)",)
    assert carrier.operations == ["transfer"]
    (failed,) = [f for f in await facts(log, CommandFailed) if isinstance(f, CommandFailed)]
    assert (failed.reason, failed.http_status) == ("refused", 422)
    assert failed.errors[0]["code"] == "90034"
    assert failed.detail.startswith("422 90034 Call not answered yet")


async def test_a_refusal_says_its_group_and_one_that_stops_all_turns_readiness_red() -> None:
    log = MemoryLog()
    no_funds = Refused(status=422, group="account", detail="422 20100 Insufficient Funds")
    full = Refused(status=422, group="capacity", detail="422 90041")
    carrier = ScriptedCarrier(log, no_funds, ACCEPTED, full, ACCEPTED)
    readiness = CarrierReadiness()
    settler = settler_on(log, carrier, readiness=readiness)
    await arrive(log, answered())
    await settler.settle(SESSION)
    assert carrier.operations == ["transfer", "hangup"]
    stopped = "the carrier refuses commands of this account: transfer: 422 20100 Insufficient Funds"
    assert readiness.trouble == stopped
    await arrive(log, answered("e-again"))
    await settler.settle(SESSION)
    failed = [f.group for f in await facts(log, CommandFailed) if isinstance(f, CommandFailed)]
    assert failed == ["account", "capacity"]


async def test_a_wrong_parameter_is_never_sent() -> None:
    def decide(event: Event, session: Session) -> list[Command]:
        return [Transfer(to="nobody")] if isinstance(event, CallAnswered) else []

    log = MemoryLog()
    carrier = ScriptedCarrier(log)
    await arrive(log, answered())
    await settler_on(log, carrier, Flow(name="f", version="1", decide=decide)).settle(SESSION)
    assert carrier.sent == []
    (failed,) = await facts(log, CommandFailed)
    assert isinstance(failed, CommandFailed)
    assert failed.reason == "invalid"
    assert "'nobody'" in failed.detail


async def test_a_command_whose_check_itself_fails_holds_no_call_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> None:
        raise StopIteration

    monkeypatch.setattr("offhook.workers.sessions.execute.check", broken)
    log = MemoryLog()
    carrier = ScriptedCarrier(log)
    await arrive(log, initiated())
    await settler_on(log, carrier, RECEPTION).settle(SESSION)
    assert carrier.sent == []
    (failed,) = await facts(log, CommandFailed)
    assert isinstance(failed, CommandFailed)
    assert failed.reason == "invalid"
    assert failed.detail == "answer: it could not be checked: StopIteration()"


async def test_a_requested_command_is_sent_and_the_flow_is_not_asked() -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log, Refused(status=422, group="unexplained", detail="422"))
    command = await request(log, "transfer", to="+12025550123")
    await settler_on(log, carrier).settle(SESSION)
    assert carrier.sent == [(command, False)]
    decided = [f for f in await facts(log, Decided) if isinstance(f, Decided)]
    assert [f.flow for f in decided] == ["api", "api"]


async def test_a_request_that_waited_too_long_is_not_sent() -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log)
    await request(log, "hangup")
    log.now += timedelta(seconds=46)
    await settler_on(log, carrier).settle(SESSION)
    assert carrier.sent == []
    (failed,) = await facts(log, CommandFailed)
    assert isinstance(failed, CommandFailed)
    assert failed.reason == "deadline"


async def test_a_session_that_another_worker_holds_is_left_to_it() -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log)
    seq = await arrive(log, initiated())
    await log.append(SESSION, "out", encode(held_by("w2", seq), SESSION))
    result = await settler_on(log, carrier).settle(SESSION)
    assert isinstance(result, HeldElsewhere)
    assert result.worker == "w2"
    assert 0 < result.for_s <= 3
    assert carrier.sent == []


async def test_a_stale_lease_is_taken_over_with_the_same_command_id() -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log)
    seq = await arrive(log, initiated())
    await log.append(SESSION, "out", encode(held_by("w2", seq), SESSION))
    log.now += timedelta(seconds=4)
    assert await settler_on(log, carrier).settle(SESSION) == Settled()
    ((command, repeated),) = carrier.sent
    assert command.command_id == "c-of-w2"
    assert repeated
    assert len(await facts(log, Decided)) == 1


async def test_a_decision_found_too_old_is_given_up_not_sent() -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log)
    seq = await arrive(log, initiated())
    await log.append(SESSION, "out", encode(held_by("w2", seq), SESSION))
    log.now += timedelta(seconds=46)
    await settler_on(log, carrier).settle(SESSION)
    assert carrier.sent == []
    (failed,) = await facts(log, CommandFailed)
    assert isinstance(failed, CommandFailed)
    assert failed.reason == "deadline"


async def test_a_worker_that_was_overtaken_records_nothing() -> None:
    """The zombie: it comes back from the carrier after another worker has taken over."""
    log = MemoryLog()
    other = ScriptedCarrier(log)

    class Overtaken(ScriptedCarrier):
        async def send(self, command: IssuedCommand, *, repeated: bool = False) -> Outcome:
            log.now += timedelta(seconds=10)
            assert await settler_on(log, other, worker="w2").settle(SESSION) == Settled()
            return await super().send(command, repeated=repeated)

    zombie = Overtaken(log)
    await arrive(log, initiated())
    assert await settler_on(log, zombie).settle(SESSION) == Settled()
    sent = {command.command_id for command, _ in zombie.sent + other.sent}
    assert len(sent) == 1
    assert len(await facts(log, CommandSucceeded)) == 1


async def test_a_failure_that_another_worker_recorded_and_died_is_decided_on() -> None:
    """Ours is then only a repetition of the outcome, and our delivery may be the last one."""

    class Mortal(MemoryLog):
        async def append(
            self, session_id: str, side: Side, encoded: Encoded, **more: Any
        ) -> Appended:
            if encoded.type == "Decided" and await facts(self, CommandFailed) and not zombie.sent:
                raise asyncio.CancelledError
            return await super().append(session_id, side, encoded, **more)

    class Overtaken(ScriptedCarrier):
        async def send(self, command: IssuedCommand, *, repeated: bool = False) -> Outcome:
            if not self.sent:
                log.now += timedelta(seconds=10)
                with pytest.raises(asyncio.CancelledError):
                    await settler_on(log, other, worker="w2").settle(SESSION)
            return await super().send(command, repeated=repeated)

    log = Mortal()
    other = ScriptedCarrier(log, outcome_of("transfer", 422, {}, b"{}"))
    zombie = Overtaken(log)
    await arrive(log, answered())
    assert await settler_on(log, zombie).settle(SESSION) == Settled()
    assert (other.operations, zombie.operations) == (["transfer"], ["transfer", "hangup"])


async def test_of_two_workers_deciding_at_once_the_first_to_record_sends() -> None:
    class Overtaking(MemoryLog):
        """Lets the second worker in between the first one's reading and its Decided."""

        overtaken = False

        async def append(
            self, session_id: str, side: Side, encoded: Encoded, **more: Any
        ) -> Appended:
            if encoded.type == "Decided" and not self.overtaken:
                self.overtaken = True
                assert await settler_on(self, second, worker="w2").settle(SESSION) == Settled()
            return await super().append(session_id, side, encoded, **more)

    log = Overtaking()
    first, second = ScriptedCarrier(log), ScriptedCarrier(log)
    await arrive(log, initiated())

    assert await settler_on(log, first, worker="w1").settle(SESSION) == Settled()

    assert (first.operations, second.operations) == ([], ["answer"])
    (decided,) = await facts(log, Decided)
    assert isinstance(decided, Decided)
    assert decided.worker == "w2"


@pytest.mark.parametrize("error", [KeyError("menu"), SystemExit("no menu")])
async def test_a_flow_that_raises_leaves_nothing_decided(error: BaseException) -> None:
    def decide(event: Event, session: Session) -> list[Command]:
        raise error

    log = MemoryLog()
    carrier = ScriptedCarrier(log)
    settler = settler_on(log, carrier, Flow(name="broken", version="7", decide=decide))
    seq = await arrive(log, initiated())
    summary = f"flow broken 7: {type(error).__name__}: {error}"
    with pytest.raises(FlowRaised, match=re.escape(summary)) as raised:
        await settler.settle(SESSION)
    assert await facts(log, Decided) == []

    await settler.park(raised.value, attempts=5)

    (parked,) = await facts(log, SessionParked)
    assert isinstance(parked, SessionParked)
    assert (parked.cause_seq, parked.attempts) == (seq, 5)
    assert (parked.flow, parked.flow_version) == ("broken", "7")
    assert await settler.settle(SESSION) == Settled()
    assert await facts(log, Decided) == []


async def test_a_parked_session_still_takes_what_applications_ask_for() -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log)
    seq = await arrive(log, initiated())
    parked = SessionParked(cause_seq=seq, error="KeyError", attempts=5)
    await log.append(SESSION, "out", encode(parked, SESSION))
    await request(log, "hangup")
    await settler_on(log, carrier).settle(SESSION)
    assert carrier.operations == ["hangup"]


async def test_a_resumed_session_is_decided_from_where_it_stopped() -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log)
    seq = await arrive(log, initiated())
    parked = SessionParked(cause_seq=seq, error="KeyError", attempts=5)
    await log.append(SESSION, "out", encode(parked, SESSION))
    await log.append(SESSION, "in", encode(SessionResumed(resumed_by="ops"), SESSION))
    await settler_on(log, carrier).settle(SESSION)
    assert carrier.operations == ["answer"]


async def test_a_request_that_is_taken_over_counts_from_the_request() -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log)
    command = await request(log, "hangup")
    log.now += timedelta(seconds=30)
    decided = dataclasses.replace(held_by("w2", 1), flow="api", commands=(command,))
    await log.append(SESSION, "out", encode(decided, SESSION))
    log.now += timedelta(seconds=20)

    await settler_on(log, carrier).settle(SESSION)

    assert carrier.sent == []
    (failed,) = await facts(log, CommandFailed)
    assert isinstance(failed, CommandFailed)
    assert failed.reason == "deadline"


async def test_a_request_that_went_ahead_counts_from_the_request_when_it_is_taken_over() -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log)
    first = await arrive(log, initiated())
    await arrive(log, answered())  # not decided on yet, and older than the request
    command = await request(log, "hangup")
    requested = (await log.read(SESSION))[-1]
    await log.append(SESSION, "out", encode(held_by("w2", first), SESSION))
    log.now += timedelta(seconds=30)
    hangup = dataclasses.replace(held_by("w2", requested.seq), commands=(command,), flow="api")
    await log.append(SESSION, "out", encode(hangup, SESSION))
    log.now += timedelta(seconds=20)

    await settler_on(log, carrier).settle(SESSION)

    assert "hangup" not in carrier.operations
    failures = [each for each in await facts(log, CommandFailed) if isinstance(each, CommandFailed)]
    assert ("hangup", "deadline") in [(each.operation, each.reason) for each in failures]


@pytest.mark.parametrize("slow_s", [0.0, 0.9])
async def test_a_slow_log_moves_no_deadline_of_a_request(slow_s: float) -> None:
    class Slow(MemoryLog):
        """Its acknowledgements are late."""

        async def append(self, *args: Any, **more: Any) -> Appended:
            appended = await super().append(*args, **more)
            self.now += timedelta(seconds=slow_s)
            return appended

    log = Slow()
    carrier = ScriptedCarrier(log)
    await request(log, "transfer", to="+12025550123")
    log.now += timedelta(seconds=44.5 - slow_s)
    await settler_on(log, carrier).settle(SESSION)
    assert carrier.operations == ([] if slow_s else ["transfer"])


@pytest.mark.parametrize("ahead_s", [-30, 30])
async def test_a_deadline_goes_by_the_clock_of_the_log(ahead_s: float) -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log)
    for age_s, sent in ((40, 1), (46, 0)):
        seq = await arrive(log, initiated(f"e-{age_s}"))
        decided = held_by("w2", seq, command_id=f"c-{age_s}")
        await log.append(SESSION, "out", encode(decided, SESSION))
        log.now += timedelta(seconds=age_s)
        carrier.sent.clear()
        await settler_on(log, carrier, ahead_s=ahead_s).settle(SESSION)
        assert len(carrier.sent) == sent


async def test_a_worker_whose_clock_is_behind_waits_for_no_lease_longer_than_it_lasts() -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log)
    seq = await arrive(log, initiated())
    held = await log.append(SESSION, "out", encode(held_by("w2", seq), SESSION))
    worker = settler_on(log, carrier, ahead_s=-600)
    held_elsewhere = HeldElsewhere(worker="w2", for_s=3.0, lease_seq=held.seq)
    assert await worker.settle(SESSION) == held_elsewhere
    log.now += timedelta(seconds=2)
    attempted = CommandAttempted(
        command_id="c-of-w2", attempt=2, because="503", worker="w2", lease_s=3
    )
    held = await log.append(SESSION, "out", encode(attempted, SESSION))
    held_elsewhere = HeldElsewhere(worker="w2", for_s=3.0, lease_seq=held.seq)
    assert await worker.settle(SESSION) == held_elsewhere
    log.now += timedelta(seconds=3)
    assert await worker.settle(SESSION) == Settled()
    assert carrier.operations == ["answer"]


async def test_only_the_lease_that_is_void_is_not_waited_out() -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log)
    seq = await arrive(log, initiated())
    held = await log.append(SESSION, "out", encode(held_by("w2", seq), SESSION))
    worker = settler_on(log, carrier)
    elsewhere = await worker.settle(SESSION)
    assert isinstance(elsewhere, HeldElsewhere)
    assert elsewhere.lease_seq == held.seq
    attempted = CommandAttempted(
        command_id="c-of-w2", attempt=2, because="503", worker="w2", lease_s=3
    )
    renewed = await log.append(SESSION, "out", encode(attempted, SESSION))
    # It was not gone: meanwhile it has renewed its lease.
    assert isinstance(await worker.settle(SESSION, void=held.seq), HeldElsewhere)
    assert await worker.settle(SESSION, void=renewed.seq) == Settled()
    assert carrier.operations == ["answer"]


async def test_an_older_record_is_left_for_a_moment_to_the_worker_that_has_it() -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log)
    seq = await arrive(log, initiated())
    later = await arrive(log, answered())
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            await log.append(SESSION, "out", encode(held_by("w2", seq), SESSION))

    worker = settler_on(log, carrier, on_sleep=sleep)
    assert isinstance(await worker.settle(SESSION, later, first_seq=later), HeldElsewhere)
    assert slept == list(OTHERS_FIRST_S[:2])
    assert carrier.sent == []


async def test_an_older_record_that_nobody_decides_on_is_decided_on() -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log)
    await arrive(log, initiated())
    later = await arrive(log, answered())
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    worker = settler_on(log, carrier, on_sleep=sleep)
    assert await worker.settle(SESSION, later, first_seq=later) == Settled()
    assert slept == list(OTHERS_FIRST_S)
    assert carrier.operations[0] == "answer"


async def test_a_request_is_as_old_as_the_log_says() -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log)
    await request(log, "hangup")
    log.now += timedelta(seconds=46)
    await settler_on(log, carrier, ahead_s=-30).settle(SESSION)
    assert carrier.sent == []


async def test_of_commands_taken_over_only_the_first_may_have_been_sent() -> None:
    log = MemoryLog()
    refused = Refused(status=422, group="unexplained", detail="422")
    carrier = ScriptedCarrier(log, ACCEPTED, refused)
    seq = await arrive(log, initiated())
    decided = held_by("w2", seq)
    second = dataclasses.replace(decided.commands[0], command_id="second")
    decided = dataclasses.replace(decided, commands=(*decided.commands, second))
    await log.append(SESSION, "out", encode(decided, SESSION))
    log.now += timedelta(seconds=4)
    await settler_on(log, carrier).settle(SESSION)
    sent = [(command.command_id, repeated) for command, repeated in carrier.sent]
    assert sent == [("c-of-w2", True), ("second", False)]


class Lagging(MemoryLog):
    """A replica: what was appended last is only read after so many reads."""

    def __init__(self, reads: int) -> None:
        super().__init__()
        self.reads = reads
        self._behind = 0

    async def append(self, session_id: str, side: Side, encoded: Encoded, **more: Any) -> Appended:
        self._behind = self.reads
        return await super().append(session_id, side, encoded, **more)

    async def read(self, session_id: str, **more: Any) -> Sequence[Record]:
        records = await super().read(session_id, **more)
        if self._behind:
            self._behind -= 1
            newest = len(self._stored)
            return [record for record in records if record.seq != newest]
        return records


async def test_a_replica_that_lags_makes_nothing_be_sent_again() -> None:
    log = Lagging(reads=3)
    carrier = ScriptedCarrier(log)
    seq = await arrive(log, initiated(), answered())
    assert await settler_on(log, carrier).settle(SESSION, seq) == Settled()
    assert carrier.operations == ["answer", "transfer"]
    assert [repeated for _, repeated in carrier.sent] == [False, False]


class LateOut(MemoryLog):
    """A replica: it gives none of the session's decisions and outcomes in its next `late` reads."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.late = 0

    async def read(self, session_id: str, **more: Any) -> Sequence[Record]:
        self.reads += 1
        records = await super().read(session_id, **more)
        if not self.late:
            return records
        self.late -= 1
        return [record for record in records if record.side == "in"]


async def test_a_decision_that_a_lagging_replica_hides_is_not_carried_out_again() -> None:
    """The log takes the worker's own decision a second time, for it has its id already."""

    class Lagging(MemoryLog):
        lags = False

        async def read(self, *args: Any, **more: Any) -> Sequence[Record]:
            records = await super().read(*args, **more)
            return [each for each in records if each.side == "in" or not self.lags]

        async def append(
            self, session_id: str, side: Side, encoded: Encoded, **more: Any
        ) -> Appended:
            self.lags = False
            return await super().append(session_id, side, encoded, **more)

    log = Lagging()
    seq = await arrive(log, initiated())
    first, again = ScriptedCarrier(log), ScriptedCarrier(log)
    await settler_on(log, first).settle(SESSION, seq)
    log.lags = True
    assert await settler_on(log, again).settle(SESSION, seq) == Settled()  # all it knew was dropped
    assert (first.operations, again.operations) == (["answer"], [])


async def test_own_records_are_read_with_the_next_event_and_before_it_is_decided_on() -> None:
    states: list[list[str]] = []

    def decide(event: Event, session: Session) -> list[Command]:
        states.append([command.status for command in session.commands.values()])
        return [Answer()] if isinstance(event, CallInitiated) else []

    log = LateOut()
    carrier = ScriptedCarrier(log)
    settler = settler_on(log, carrier, Flow(name="f", version="1", decide=decide))
    assert await settler.settle(SESSION, await arrive(log, initiated())) == Settled()
    assert log.reads == 1
    log.late = 3
    assert await settler.settle(SESSION, await arrive(log, answered())) == Settled()
    assert log.reads == 5
    assert states == [[], ["succeeded"]]
    assert carrier.operations == ["answer"]


async def test_an_event_during_a_command_is_decided_on_when_it_wakes_the_worker() -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log, NoAnswer(detail="503", maybe_taken=True))
    seqs: list[int] = []

    async def between_tries(seconds: float) -> None:
        if not seqs:
            seqs.append(await arrive(log, answered()))

    settler = settler_on(log, carrier, on_sleep=between_tries)
    await settler.settle(SESSION, await arrive(log, initiated()))
    await settler.settle(SESSION, seqs[0])
    assert carrier.operations == ["answer", "answer", "transfer"]
    assert len(await facts(log, Decided)) == 2


async def test_a_wake_up_whose_record_cannot_be_read_is_not_settled() -> None:
    log = Lagging(reads=1000)
    seq = await arrive(log, initiated())
    with pytest.raises(LogUnavailable, match=f"the log has {seq}"):
        await settler_on(log, ScriptedCarrier(log)).settle(SESSION, seq)


async def test_commands_that_the_log_cannot_take_are_the_flows_fault() -> None:
    def decide(event: Event, session: Session) -> list[Command]:
        return [Answer(client_state="A" * 300_000)]

    log = MemoryLog()
    await arrive(log, initiated())
    settler = settler_on(log, ScriptedCarrier(log), Flow(name="f", version="1", decide=decide))
    with pytest.raises(FlowRaised, match=r"300\d{3} bytes"):
        await settler.settle(SESSION)


async def test_a_failure_left_undecided_by_a_crash_is_decided_at_the_next_delivery() -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log)
    seq = await arrive(log, answered())
    decided = held_by("w2", seq, operation="transfer")
    await log.append(SESSION, "out", encode(decided, SESSION))
    failed = CommandFailed(
        command_id="c-of-w2", operation="transfer", reason="refused", call_control_id=LEG
    )
    await log.append(SESSION, "out", encode(failed, SESSION))
    # The worker died here, before it acknowledged: the same delivery comes again.
    assert await settler_on(log, carrier).settle(SESSION, seq) == Settled()
    assert carrier.operations == ["hangup"]


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


async def test_a_flow_that_answers_its_own_failures_for_ever_is_stopped() -> None:
    def decide(event: Event, session: Session) -> list[Command]:
        return [Hangup()]

    log = MemoryLog()
    refused = Refused(status=422, group="leg_unknown", detail="422 90015")
    carrier = ScriptedCarrier(log, *[refused] * (2 * COMMANDS_PER_SESSION_MAX))
    await arrive(log, answered())
    flow = Flow(name="loop", version="1", decide=decide)
    with pytest.raises(FlowRaised, match="over 1000 commands in a session: a loop"):
        await settler_on(log, carrier, flow).settle(SESSION)
    assert len(carrier.sent) == COMMANDS_PER_SESSION_MAX
