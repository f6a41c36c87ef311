"""What becomes of a command: attempts, refusals, and what is never sent."""

from datetime import timedelta

import pytest

from offhook.commands import Answer, Command, Transfer
from offhook.events import (
    CallAnswered,
    CallInitiated,
    CommandAttempted,
    CommandFailed,
    CommandSucceeded,
    Decided,
    Event,
    IssuedCommand,
)
from offhook.flow import Flow
from offhook.session import Session
from offhook.telnyx.outcomes import Busy, NoAnswer, Outcome, Refused, outcome_of
from offhook.workers.sending.carrier_readiness import CarrierReadiness
from offhook.workers.sessions.flows import FlowRaised
from tests.memory_log import MemoryLog
from tests.workers.sessions.stand import (
    ACCEPTED,
    RECEPTION,
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


@pytest.mark.parametrize(
    "answer",
    [NoAnswer(detail="ReadTimeout"), Busy(retry_after_s=0, detail="429")],
    ids=["after a pause", "at once"],
)
async def test_a_retry_is_not_made_for_a_call_that_ended_meanwhile(answer: Outcome) -> None:
    log = MemoryLog()

    class HangingUp(ScriptedCarrier):
        async def send(self, command: IssuedCommand, *, repeated: bool = False) -> Outcome:
            await arrive(log, hung_up())
            return await super().send(command, repeated=repeated)

    carrier = HangingUp(log, answer)
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


async def test_commands_that_the_log_cannot_take_are_the_flows_fault() -> None:
    def decide(event: Event, session: Session) -> list[Command]:
        return [Answer(client_state="A" * 300_000)]

    log = MemoryLog()
    await arrive(log, initiated())
    settler = settler_on(log, ScriptedCarrier(log), Flow(name="f", version="1", decide=decide))
    with pytest.raises(FlowRaised, match=r"300\d{3} bytes"):
        await settler.settle(SESSION)
