"""What a record says of a command whose call ended: never more than is known."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from offhook.codec.facts import encode
from offhook.commands import Command, Dial, Hangup, Reject, Speak, Transfer
from offhook.commands.catalog import parameters_of
from offhook.events import (
    CallAnswered,
    CommandFailed,
    CommandSucceeded,
    Decided,
    Event,
    IssuedCommand,
)
from offhook.flow import Flow
from offhook.session import Session
from offhook.telnyx.outcomes import Busy, NoAnswer, Outcome, outcome_of
from tests.memory_log import MemoryLog
from tests.workers.sessions.stand import (
    LEG,
    SESSION,
    ScriptedCarrier,
    answered,
    arrive,
    facts,
    hung_up,
    settler_on,
)

AGENT, CONNECTION = "+12025550152", "1"
LOST = NoAnswer(detail="ReadTimeout")
UNREACHED = NoAnswer(detail="ConnectError", maybe_taken=False)
BUSY = Busy(retry_after_s=1.0, detail="429 10011")
DIAL = Dial(to=AGENT, from_="+12025550100", connection_id=CONNECTION, link_to=LEG)


class HangsUp(ScriptedCarrier):
    """The caller hangs up during the try of that number, from 1."""

    def __init__(self, log: MemoryLog, *answers: Outcome, during: int = 1) -> None:
        super().__init__(log, *answers)
        self._during = during

    async def send(self, command: IssuedCommand, *, repeated: bool = False) -> Outcome:
        outcome = await super().send(command, repeated=repeated)
        if len(self.sent) == self._during:
            await arrive(self._log, hung_up())
        return outcome


def on_answer(*orders: Command) -> Flow:
    def decide(event: Event, session: Session) -> Sequence[Command]:
        return orders if isinstance(event, CallAnswered) and event.call_control_id == LEG else []

    return Flow(name="f", version="1", decide=decide)


async def outcome_when_the_call_ends(
    command: Command, *answers: Outcome
) -> CommandSucceeded | CommandFailed:
    """The caller hangs up during the last of the tries that were answered like this."""
    log = MemoryLog()
    carrier = HangsUp(log, *answers, during=len(answers))
    await arrive(log, answered())
    if not answers:
        await arrive(log, hung_up())
    await settler_on(log, carrier, on_answer(command)).settle(SESSION)
    assert len(carrier.sent) == len(answers)
    (outcome,) = await facts(log, CommandSucceeded, CommandFailed)
    assert isinstance(outcome, CommandSucceeded | CommandFailed)
    return outcome


TRIES: list[tuple[list[Outcome], bool, str]] = [
    ([BUSY], False, "1 attempt without effect; last: 429 10011"),
    ([UNREACHED], False, "1 attempt without effect; last: ConnectError"),
    ([BUSY, UNREACHED], False, "2 attempts without effect; last: ConnectError"),
    ([LOST], True, "1 attempt, which may have been performed; last: ReadTimeout"),
    ([LOST, BUSY], True, "2 attempts, which may have been performed; last: 429 10011"),
    ([UNREACHED, LOST], True, "2 attempts, which may have been performed; last: ReadTimeout"),
    (
        [outcome_of("dial", 500, {}, b"")],
        True,
        "1 attempt, which may have been performed; last: 500",
    ),
]


@pytest.mark.parametrize(("answers", "maybe_performed", "told"), TRIES)
@pytest.mark.parametrize("command", [DIAL, Transfer(to=AGENT), Speak(payload="hi", voice="female")])
async def test_a_command_whose_call_ends_between_two_tries_says_what_became_of_the_first(
    command: Command, answers: list[Outcome], maybe_performed: bool, told: str
) -> None:
    failed = await outcome_when_the_call_ends(command, *answers)
    assert isinstance(failed, CommandFailed)
    assert (failed.reason, failed.maybe_performed) == ("call_ended", maybe_performed)
    assert (failed.attempts, failed.detail) == (len(answers), f"the call has ended; {told}")


@pytest.mark.parametrize(("answers", "maybe_performed", "_"), TRIES)
async def test_a_hangup_whose_call_ends_has_succeeded_and_a_reject_if_it_may_have_done_so(
    answers: list[Outcome], maybe_performed: bool, _: str
) -> None:
    done = await outcome_when_the_call_ends(Hangup(), *answers)
    assert isinstance(done, CommandSucceeded)
    assert (done.http_status, done.attempts) == (None, len(answers))
    rejected = await outcome_when_the_call_ends(Reject(cause="USER_BUSY"), *answers)
    assert isinstance(rejected, CommandSucceeded) == maybe_performed


async def test_before_any_try_nothing_was_sent() -> None:
    failed = await outcome_when_the_call_ends(DIAL)
    assert isinstance(failed, CommandFailed)
    assert (failed.maybe_performed, failed.attempts) == (False, 0)
    assert failed.detail == "the call has ended; nothing was sent"


@pytest.mark.parametrize(
    ("code", "status", "maybe_performed"),
    [
        ("90018", 422, True),  # the call ended between the two tries
        ("90015", 422, True),
        ("10009", 401, True),
        ("90034", 422, True),
        ("10016", 422, False),  # the number is wrong, and was so before
    ],
)
async def test_a_refusal_of_a_repeated_command_says_if_the_first_try_may_have_been_performed(
    code: str, status: int, maybe_performed: bool
) -> None:
    body = b'{"errors":[{"code":"%s","title":"t"}]}' % code.encode()
    log = MemoryLog()
    carrier = ScriptedCarrier(log, LOST, outcome_of("dial", status, {}, body, repeated=True))
    await arrive(log, answered())
    await settler_on(log, carrier, on_answer(DIAL)).settle(SESSION)
    (failed,) = await facts(log, CommandFailed)
    assert isinstance(failed, CommandFailed)
    assert (failed.maybe_performed, failed.attempts) == (maybe_performed, 2)
    first = outcome_of("dial", status, {}, body)
    assert not getattr(first, "maybe_taken", None), "a first try has none before it"


@pytest.mark.parametrize("is_first", [True, False])
async def test_a_command_of_a_worker_that_stopped_may_have_been_sent_if_it_was_its_turn(
    is_first: bool,
) -> None:
    log = MemoryLog()
    seq = await arrive(log, answered())
    speak = IssuedCommand(
        command_id="c-1",
        operation="speak",
        call_control_id=LEG,
        parameters=parameters_of(Speak(payload="hi", voice="female")),
    )
    dial = IssuedCommand(command_id="c-2", operation="dial", parameters=parameters_of(DIAL))
    decided = Decided(
        cause_seq=seq,
        cause_id="e2",
        flow="f",
        flow_version="1",
        worker="w-gone",
        lease_s=3,
        commands=(dial,) if is_first else (speak, dial),
    )
    await log.append(SESSION, "out", encode(decided, SESSION))
    await arrive(log, hung_up())
    log.now += timedelta(seconds=4)
    carrier = ScriptedCarrier(log)
    await settler_on(log, carrier, on_answer()).settle(SESSION)
    assert carrier.sent == []
    failed = [f for f in await facts(log, CommandFailed) if isinstance(f, CommandFailed)][-1]
    assert (failed.command_id, failed.maybe_performed) == ("c-2", is_first)
    told = "at most 1 attempt, which may have been performed" if is_first else "nothing was sent"
    assert failed.detail == f"the call has ended; {told}"
