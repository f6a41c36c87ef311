"""Decisions: which records get one, in which order, what they see; and flows that raise."""

import re

import pytest

from offhook.codec.facts import encode
from offhook.commands import Command, Hangup, Transfer
from offhook.events import (
    CallAnswered,
    CommandFailed,
    CommandSucceeded,
    Decided,
    Event,
    SessionParked,
    SessionResumed,
)
from offhook.flow import Flow
from offhook.session import Session
from offhook.telnyx.outcomes import NoAnswer, Refused
from offhook.workers.sessions.flows import COMMANDS_PER_SESSION_MAX, FlowRaised
from offhook.workers.sessions.settle import Settled
from tests.memory_log import MemoryLog
from tests.workers.sessions.stand import (
    LEG,
    SESSION,
    ScriptedCarrier,
    answered,
    arrive,
    facts,
    hung_up,
    initiated,
    reception,
    request,
    settler_on,
)


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


async def test_a_requested_command_is_sent_and_the_flow_is_not_asked() -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log, Refused(status=422, group="unexplained", detail="422"))
    command = await request(log, "transfer", to="+12025550123")
    await settler_on(log, carrier).settle(SESSION)
    assert carrier.sent == [(command, False)]
    decided = [f for f in await facts(log, Decided) if isinstance(f, Decided)]
    assert [f.flow for f in decided] == ["api", "api"]


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
