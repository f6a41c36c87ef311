"""The log has the record already, and a replica that lags does not show what follows it."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from offhook.codec.facts import Encoded
from offhook.commands import Answer, Command, Speak, StartSiprec
from offhook.errors import LogUnavailable
from offhook.events import (
    CallInitiated,
    CommandAttempted,
    CommandFailed,
    CommandSucceeded,
    Record,
)
from offhook.flow import Flow
from offhook.jetstream.log import Appended
from offhook.jetstream.subjects import Side
from offhook.telnyx.outcomes import NoAnswer, Outcome, Refused
from offhook.workers.sessions.settle import HeldElsewhere, Settled, Settler
from tests.memory_log import MemoryLog
from tests.workers.sessions.stand import (
    ACCEPTED,
    SESSION,
    ScriptedCarrier,
    answered,
    arrive,
    facts,
    initiated,
    settler_on,
)

REFUSED = Refused(status=422, group="wrong_value", detail="no")
SPEAK = Speak(payload="x", voice="female")


class LaggingLog(MemoryLog):
    """A cluster's log: appends go through the leader, reads are answered by a replica."""

    def __init__(self) -> None:
        super().__init__()
        self.appended: list[str] = []
        self.reads = 0
        self.ends: list[int] = []  # of `.out`, in the next reads; then all of it is read
        self.lost: set[str] = set()  # facts that are stored the next time, without an answer
        self.away: set[str] = set()  # facts that are not stored the next time
        self.tried_twice: set[str] = set()  # facts whose first try has no answer
        self.on_stored: dict[str, Callable[[], Awaitable[None]]] = {}  # before the answer, once

    async def append(self, session_id: str, side: Side, encoded: Encoded, **more: Any) -> Appended:
        kind = encoded.type
        self.appended.append(kind)
        if kind in self.away:
            self.away.remove(kind)
            raise LogUnavailable("the log is away")
        appended = await super().append(session_id, side, encoded, **more)
        if (work := self.on_stored.pop(kind, None)) is not None:
            await work()
        if kind in self.lost:
            self.lost.remove(kind)
            raise LogUnavailable("the acknowledgement is lost")
        if kind in self.tried_twice:
            return await super().append(session_id, side, encoded, **more)
        return appended

    async def read(self, session_id: str, **more: Any) -> Sequence[Record]:
        self.reads += 1
        records = await super().read(session_id, **more)
        end = self.ends.pop(0) if self.ends else None
        return [each for each in records if each.side == "in" or end is None or each.seq <= end]

    async def position(self, kind: type[object]) -> int:
        """Of the last record of this kind."""
        return [each.seq for each in await self.read(SESSION) if isinstance(each.fact, kind)][-1]


def in_turn(*commands: Command) -> Flow:
    """These when the call comes in, nothing after that."""
    return Flow(
        name="in turn",
        version="1",
        decide=lambda event, session: commands if isinstance(event, CallInitiated) else [],
    )


async def settle(settler: Settler, seq: int = 0) -> None:
    """To its end; a lease of another worker is not waited out."""
    settled = await settler.settle(SESSION, seq)
    if isinstance(settled, HeldElsewhere):
        settled = await settler.settle(SESSION, seq, void=settled.lease_seq)
    assert settled == Settled()


async def fails(settler: Settler, seq: int = 0) -> None:
    """The worker drops all that it knows of the session."""
    with pytest.raises(LogUnavailable):
        await settle(settler, seq)


@pytest.mark.parametrize("answer", [REFUSED, ACCEPTED])
async def test_a_command_with_an_outcome_is_not_sent_again_after_its_decision_was_hidden(
    answer: Outcome,
) -> None:
    log = LaggingLog()
    carrier = ScriptedCarrier(log, answer)
    settler = settler_on(log, carrier, in_turn(Answer()))
    await settle(settler, await arrive(log, initiated()))
    decided = (await log.read(SESSION))[1].seq
    log.away = {"Decided"}
    seq = await arrive(log, answered())
    await fails(settler, seq)
    log.ends = [0, decided, decided]
    await settle(settler, seq)
    assert not log.ends
    assert carrier.operations == ["answer"]
    outcomes = await facts(log, CommandFailed, CommandSucceeded)
    assert len(outcomes) == 1


async def test_a_command_that_another_worker_saw_refused_is_not_sent_again() -> None:
    log = LaggingLog()
    log.lost = {"Decided"}
    own, others = ScriptedCarrier(log), ScriptedCarrier(log, REFUSED)
    settler = settler_on(log, own, in_turn(Answer()))
    seq = await arrive(log, initiated())
    await fails(settler, seq)
    await settle(settler_on(log, others, in_turn(Answer()), worker="w2"), seq)
    decided = (await log.read(SESSION))[1].seq
    log.ends = [0, decided, decided]
    await settle(settler, seq)
    assert not log.ends
    assert (own.operations, others.operations) == ([], ["answer"])


async def test_a_command_taken_over_before_is_not_sent_again_after_that_was_hidden() -> None:
    log = LaggingLog()
    log.lost = {"Decided"}
    carrier = ScriptedCarrier(log, REFUSED)
    settler = settler_on(log, carrier, in_turn(Answer()))
    seq = await arrive(log, initiated())
    await fails(settler, seq)
    await settle(settler, seq)
    decided = (await log.read(SESSION))[1].seq
    attempted = await log.position(CommandAttempted)
    log.away = {"Decided"}
    seq = await arrive(log, answered())
    await fails(settler, seq)
    log.ends = [decided, attempted, attempted, attempted]
    await settle(settler, seq)
    assert not log.ends
    assert carrier.operations == ["answer"]


async def test_the_next_command_is_not_sent_if_another_worker_saw_it_refused_meanwhile() -> None:
    """It took this one for gone, while the answer to the outcome before it was on its way."""
    log = LaggingLog()
    flow = in_turn(Answer(), SPEAK)
    own, others = ScriptedCarrier(log), ScriptedCarrier(log, REFUSED)

    async def take_over() -> None:
        outcome = await log.position(CommandSucceeded)
        await settle(settler_on(log, others, flow, worker="w2"))
        log.ends = [outcome, outcome]

    log.on_stored["CommandSucceeded"] = take_over
    log.tried_twice = {"CommandSucceeded"}
    await settle(settler_on(log, own, flow), await arrive(log, initiated()))
    assert (own.operations, others.operations) == (["answer"], ["speak"])


async def test_nothing_is_sent_under_a_renewal_that_was_answered_too_late() -> None:
    log = LaggingLog()
    flow = in_turn(Answer())
    own = ScriptedCarrier(log, NoAnswer(detail="503", maybe_taken=True))
    others = ScriptedCarrier(log, REFUSED)

    async def take_over() -> None:
        attempted = await log.position(CommandAttempted)
        log.now += timedelta(seconds=4)
        await settle(settler_on(log, others, flow, worker="w2"))
        log.ends = [attempted, attempted]

    log.on_stored["CommandAttempted"] = take_over
    await settle(settler_on(log, own, flow), await arrive(log, initiated()))
    assert (own.operations, others.operations) == (["answer"], ["answer"])
    assert [repeated for _, repeated in others.sent] == [True]


@pytest.mark.parametrize("commands", [(StartSiprec(),), (Answer(), StartSiprec(), SPEAK)])
async def test_commands_go_out_once_and_as_new_ones_though_the_log_takes_long_to_answer(
    commands: Sequence[Command],
) -> None:
    """Each record is stored by a first try without an answer; the second finds it there."""
    log = LaggingLog()
    log.tried_twice = {"Decided", "CommandSucceeded"}
    carrier = ScriptedCarrier(log)
    await settle(settler_on(log, carrier, in_turn(*commands)), await arrive(log, initiated()))
    assert carrier.operations == [each.operation for each in commands]
    assert not any(repeated for _, repeated in carrier.sent)
    outcomes = await facts(log, CommandSucceeded)
    assert [each.attempts for each in outcomes if isinstance(each, CommandSucceeded)] == [
        1 for _ in commands
    ]


async def test_an_own_command_that_may_have_been_sent_before_is_a_repetition() -> None:
    log = LaggingLog()
    carrier = ScriptedCarrier(log)
    settler = settler_on(log, carrier, in_turn(Answer()))
    log.away = {"CommandSucceeded"}
    seq = await arrive(log, initiated())
    await fails(settler, seq)
    log.ends = [0]
    await settle(settler, seq)
    assert [repeated for _, repeated in carrier.sent] == [False, True]


async def test_what_is_sent_is_what_the_log_has_of_the_decision() -> None:
    log = LaggingLog()
    log.lost = {"Decided"}
    asked: list[Command] = [Answer(), SPEAK]
    flow = Flow(name="fickle", version="1", decide=lambda event, session: [asked.pop(0)])
    carrier = ScriptedCarrier(log)
    settler = settler_on(log, carrier, flow)
    seq = await arrive(log, initiated())
    await fails(settler, seq)
    log.ends = [0]
    await settle(settler, seq)
    assert (carrier.operations, asked) == (["answer"], [])


async def test_on_the_usual_way_nothing_is_appended_or_read_for_it() -> None:
    log = LaggingLog()
    carrier = ScriptedCarrier(log)
    flow = in_turn(Answer(), SPEAK)
    seq = await arrive(log, initiated())
    log.appended.clear()
    await settle(settler_on(log, carrier, flow), seq)
    assert log.appended == ["Decided", "CommandSucceeded", "CommandSucceeded"]
    assert log.reads == 1
