"""A record that arrives late, of a session whose records have left the log."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from offhook.commands import Command, Dial
from offhook.errors import LogUnavailable
from offhook.events import (
    CallEvent,
    CommandFailed,
    Decided,
    Event,
    UnknownEvent,
)
from offhook.flow import ARCHIVED, Flow
from offhook.session import Session
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
    request,
    settler_on,
)


def call_back(event: Event, session: Session) -> Sequence[Command]:
    """Answers whatever happens with a call to somebody."""
    return [Dial(to="+12025550123", from_="+12025550100", connection_id="c")]


CALL_BACK = Flow(name="call-back", version="1", decide=call_back)

SAVED = UnknownEvent(event_id="e9", event_type="call.recording.saved", call_control_id=LEG)


@pytest.mark.parametrize("event", [answered(), hung_up(), SAVED, initiated()])
async def test_no_flow_is_asked_and_nothing_is_sent(event: CallEvent) -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log)
    old = replace(event, occurred_at=log.now - timedelta(days=31))
    seq = await arrive(log, old)
    for _ in range(2):
        await settler_on(log, carrier, CALL_BACK, archived={SESSION}).settle(SESSION, seq)
    # By another worker, which finds the first decision in the log.
    seq = await arrive(log, replace(SAVED, event_id="e10"))
    await settler_on(log, carrier, CALL_BACK, worker="w2").settle(SESSION, seq)
    assert carrier.operations == []
    assert [(each.flow, each.commands) for each in await _decided(log)] == [(ARCHIVED.name, ())] * 2


async def test_a_command_gets_an_outcome_and_is_not_sent() -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log)
    await request(log, "hangup")
    await settler_on(log, carrier, CALL_BACK, archived={SESSION}).settle(SESSION, 1)
    assert carrier.operations == []
    [failed] = await facts(log, CommandFailed)
    assert isinstance(failed, CommandFailed)
    assert (failed.reason, failed.maybe_performed) == ("invalid", False)
    assert "archived" in failed.detail


@pytest.mark.parametrize("event", [answered(), hung_up(), SAVED])
async def test_a_live_call_that_is_first_seen_in_the_middle_is_decided_as_before(
    event: CallEvent,
) -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log)
    seq = await arrive(log, event)
    await settler_on(log, carrier, CALL_BACK, archived={"another"}).settle(SESSION, seq)
    assert carrier.operations == ["dial"]


async def test_a_call_that_begins_is_not_looked_up() -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log)
    seq = await arrive(log, replace(initiated(), occurred_at=log.now))
    await settler_on(log, carrier, CALL_BACK, archived={SESSION}).settle(SESSION, seq)
    assert carrier.operations == ["dial"]


@pytest.mark.parametrize("reads", [1, 2])
async def test_a_session_that_left_the_log_while_a_worker_held_it_is_read_again(
    reads: int,
) -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log)
    archived: set[str] = set()
    settler = settler_on(log, carrier, CALL_BACK, archived=archived)
    for _ in range(reads):  # the second one reads what the first one appended
        await settler.settle(SESSION, await arrive(log, hung_up()))
    log.forget(SESSION)
    archived.add(SESSION)
    seq = await arrive(log, SAVED)
    with pytest.raises(LogUnavailable, match="have left the log" if reads == 2 else "the log has"):
        await settler.settle(SESSION, seq)
    await settler.settle(SESSION, seq)
    assert carrier.operations == ["dial"]
    assert [each.flow for each in await _decided(log)] == [ARCHIVED.name]


async def _decided(log: MemoryLog) -> list[Decided]:
    return [each for each in await facts(log, Decided) if isinstance(each, Decided)]
