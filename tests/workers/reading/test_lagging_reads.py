"""A worker that reads a replica which lags."""

from collections.abc import Sequence
from typing import Any

import pytest

from offhook.codec.facts import Encoded, encode
from offhook.commands import Answer, Command
from offhook.errors import LogUnavailable
from offhook.events import (
    CallInitiated,
    CommandFailed,
    Decided,
    Event,
    IssuedCommand,
    Record,
)
from offhook.flow import Flow
from offhook.jetstream.log import Appended
from offhook.jetstream.subjects import Side
from offhook.session import Session
from offhook.workers.sessions.settle import Settled
from tests.memory_log import MemoryLog
from tests.workers.sessions.stand import (
    SESSION,
    ScriptedCarrier,
    answered,
    arrive,
    initiated,
    settler_on,
)


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


async def test_a_wake_up_whose_record_cannot_be_read_is_not_settled() -> None:
    log = Lagging(reads=1000)
    seq = await arrive(log, initiated())
    with pytest.raises(LogUnavailable, match=f"the log has {seq}"):
        await settler_on(log, ScriptedCarrier(log)).settle(SESSION, seq)


async def test_a_flow_does_not_miss_a_webhook_that_another_worker_decided_on() -> None:
    """It came after `.in` was read, and the decision on it before `.out` was."""

    class Between(MemoryLog):
        hidden = 0  # position of the webhook, in the next read

        async def read(self, *args: Any, **more: Any) -> Sequence[Record]:
            records = await super().read(*args, **more)
            hidden, self.hidden = self.hidden, 0
            return [each for each in records if each.seq != hidden]

    shown: list[tuple[str, list[str]]] = []

    def decide(event: Event, session: Session) -> list[Command]:
        shown.append((type(event).__name__, [leg.state for leg in session.legs.values()]))
        return []

    log = Between()
    first = await arrive(log, initiated())
    second = await arrive(log, answered())
    speak = IssuedCommand(
        command_id="c", operation="speak", call_control_id=initiated().call_control_id
    )
    for seq, commands in ((first, ()), (second, (speak,))):
        decided = Decided(
            cause_seq=seq, cause_id=str(seq), flow="f", flow_version="1", worker="other",
            lease_s=3.0, commands=commands,
        )  # fmt: skip
        await log.append(SESSION, "out", encode(decided, SESSION))
    failed = CommandFailed(command_id="c", operation="speak", reason="refused", detail="422")
    await log.append(SESSION, "out", encode(failed, SESSION))
    log.hidden = second
    settler = settler_on(log, ScriptedCarrier(log), Flow(name="f", version="1", decide=decide))
    assert await settler.settle(SESSION, first) == Settled()
    assert shown == [("CommandFailed", ["answered"])]
