"""Settling a session that was imported: nothing is decided, sent, scheduled or recorded."""

from datetime import timedelta

import pytest

from offhook.codec.facts import Encoded, encode, encoded_webhook
from offhook.codec.webhooks import wire_body
from offhook.commands import Dial
from offhook.events import (
    CallEvent,
    CommandFailed,
    CommandRequested,
    Decided,
    Event,
    Fact,
    IssuedCommand,
    SessionParked,
    TimerOrder,
    WebhookReceived,
    side_of,
)
from offhook.flow import Flow, Order
from offhook.jetstream.message import imported_headers
from offhook.session import Session
from offhook.workers.sessions.settle import Settled
from tests.memory_log import MemoryLog
from tests.memory_timetable import MemoryTimetable
from tests.workers.sessions.stand import (
    SESSION,
    ScriptedCarrier,
    answered,
    arrive,
    facts,
    hung_up,
    initiated,
    settler_on,
)

DIAL = IssuedCommand(command_id="c1", operation="dial", parameters={"to": "+12025550123"})


def decide(event: Event, session: Session) -> list[Order]:
    """A flow that dials on whatever it sees."""
    return [Dial(to="+12025550123", from_="+12025550100", connection_id="1")]


EAGER = Flow(name="eager", version="1", decide=decide)


async def bring_in(log: MemoryLog, *history: Fact | CallEvent, age_s: float = 0) -> int:
    """Import the facts; returns where the last one on `.in` is."""
    seq = 0
    for position, fact in enumerate(history, start=500):
        headers = imported_headers(position, log.now - timedelta(seconds=age_s))
        if isinstance(fact, CallEvent):
            encoded: Encoded = encoded_webhook(wire_body(fact), fact.event_id)
            side = side_of(WebhookReceived)
        else:
            encoded, side = encode(fact, SESSION), side_of(type(fact))
        appended = await log.append(SESSION, side, encoded, headers=headers)
        seq = appended.seq if side == "in" else seq
    return seq


def decided(cause_seq: int, **more: object) -> Decided:
    fields = {"cause_id": "e", "flow": "eager", "flow_version": "1", "worker": "w0", "lease_s": 3.0}
    return Decided(cause_seq=cause_seq, **(fields | more))  # type: ignore[arg-type]


REQUEST = CommandRequested(command=DIAL)
HISTORIES: dict[str, list[Fact | CallEvent]] = {
    "undecided": [initiated(), answered(), hung_up()],
    "an open command": [initiated(), decided(1, commands=(DIAL,))],
    "a request": [REQUEST],
    "a request that is decided": [REQUEST, decided(1, commands=(DIAL,))],
    "a timer": [
        initiated(),
        decided(1, timers=(TimerOrder(timer_id="1-0", name="ring", after_s=1.0),)),
    ],
    "a failure": [
        initiated(),
        decided(1, commands=(DIAL,)),
        CommandFailed(command_id="c1", operation="dial", reason="refused"),
    ],
    "parked": [initiated(), SessionParked(cause_seq=1, error="no", attempts=5)],
}


@pytest.mark.parametrize("age_s", [0.0, 86_400.0])
@pytest.mark.parametrize("name", HISTORIES)
async def test_nothing_is_done_about_imported_records(name: str, age_s: float) -> None:
    history = HISTORIES[name]
    log = MemoryLog()
    timetable = MemoryTimetable(log)
    carrier = ScriptedCarrier(log)
    policy = Flow(name="policy", version="1", decide=decide)
    settler = settler_on(log, carrier, EAGER, timetable=timetable, policy=policy)
    # After each record, as a worker that is woken while the import goes on.
    for count in range(1, len(history) + 1):
        seq = await bring_in(log, *history[:count], age_s=age_s)
        assert await settler.settle(SESSION, seq) == Settled()
    log.now += timedelta(seconds=120)
    assert await settler_on(log, carrier, EAGER, policy=policy).settle(SESSION, seq) == Settled()
    assert carrier.sent == []
    assert timetable.waiting == {}
    assert len(await facts(log)) == len(history)


async def test_a_live_event_in_an_imported_session_is_decided_on_and_it_alone() -> None:
    log = MemoryLog()
    carrier = ScriptedCarrier(log)
    await bring_in(log, initiated(), decided(1, commands=(DIAL,)), answered(), age_s=5)
    seq = await arrive(log, hung_up())
    assert await settler_on(log, carrier, EAGER).settle(SESSION, seq) == Settled()
    assert carrier.operations == ["dial"]
    decisions = [fact for fact in await facts(log, Decided) if isinstance(fact, Decided)]
    assert [each.cause_seq for each in decisions] == [1, seq]
    assert carrier.sent[0][0].command_id == decisions[1].commands[0].command_id
