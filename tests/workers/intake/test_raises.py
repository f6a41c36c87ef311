"""The dispatcher, when a flow raises: it is asked again, and after five raises parked."""

import pytest

from offhook.codec.webhooks import read_webhook
from offhook.events import Record, WebhookReceived
from offhook.jetstream.timetable import Alarm
from offhook.session import Session
from offhook.workers.intake import dispatcher as module
from offhook.workers.intake.dispatcher import POISON_RAISES
from offhook.workers.reading.state import SessionState
from offhook.workers.sessions.flows import FlowRaised
from tests.workers.intake.dispatching import HELD, NOW, Bench, FakeDelivery, until, until_answered


def flow_raised(seq: int = 1) -> FlowRaised:
    webhook = read_webhook(b"{}")
    record = Record(
        seq=seq,
        stored_at=NOW,
        session_id="s",
        fact=WebhookReceived(event=webhook.event),
    )
    state = SessionState(session=Session(session_id="s"))
    return FlowRaised(record, "KeyError: 'menu'", state)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between two raises, which take no time."""
    taken: list[float] = []

    async def pause(seconds: float) -> None:
        taken.append(seconds)

    monkeypatch.setattr(module, "_pause", pause)
    return taken


async def test_a_flow_that_raises_is_parked_after_five_raises_within_a_second(
    pauses: list[float],
) -> None:
    bench = Bench()
    bench.settler.script["s"] = [flow_raised() for _ in range(POISON_RAISES)]
    assert await bench.answers_of(1) == ["ack"], "one worker counts them, in one delivery"
    assert bench.settler.parked == [POISON_RAISES]
    assert pauses == pytest.approx([0.1, 0.2, 0.3, 0.4])


async def test_what_a_flow_raises_in_passing_parks_nothing(pauses: list[float]) -> None:
    bench = Bench()
    few = POISON_RAISES - 1
    first, next_one = [flow_raised()] * few, [flow_raised(seq=2)] * few
    bench.settler.script["s"] = [*first, *next_one]
    assert await bench.answers_of(1) == ["ack"]
    assert bench.settler.parked == []


async def test_hand_overs_and_other_troubles_before_a_raise_are_no_raises(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HANDED_OVER_S", 0.001)
    bench = Bench()
    raised, gone = flow_raised(), RuntimeError("log gone")
    bench.settler.script["s"] = [*[HELD] * 40, gone, raised, HELD, gone]
    assert await bench.answers_of(3) == [0.2, 0.4, "ack"]
    assert bench.settler.parked == []


async def test_a_flow_that_raises_leaves_its_place_to_other_calls_between_the_raises() -> None:
    bench = Bench(slots_max=1)
    bench.settler.script["s"] = [flow_raised()] * (POISON_RAISES - 1)
    raising = await bench.take()
    await until(lambda: bench.settler.settled)
    other = await bench.take("other")
    await until_answered(other)
    assert raising.answers == []
    await until_answered(raising)
    assert raising.answers == ["ack"]


async def test_each_raise_is_logged_and_the_parking(
    pauses: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench()
    bench.settler.script["s"] = [flow_raised() for _ in range(POISON_RAISES)]
    await bench.answers_of(1)
    logged = [
        (each.message, getattr(each, "attempt", None), hasattr(each, "error"))
        for each in caplog.records
    ]
    assert logged == [
        ("flow raised", 1, True),
        *(("flow raised", attempt, False) for attempt in range(2, POISON_RAISES + 1)),
        ("session parked", None, False),
    ]
    assert caplog.records[-1].__dict__["attempts"] == POISON_RAISES


async def test_a_parked_session_is_looked_at_once_more_for_the_same_wake_ups(
    pauses: list[float],
) -> None:
    bench = Bench()
    bench.settler.script["s"] = [*[flow_raised()] * POISON_RAISES, HELD]
    alarm = Alarm(session_id="s", timer_id="1-0", decided_seq=2, rang_at=NOW)
    delivery = FakeDelivery(session_id="s", seq=3, alarm=alarm)
    await bench.dispatcher.take(delivery)
    await until_answered(delivery)
    assert bench.settler.settled == [("s", 3)] * (POISON_RAISES + 2)
    assert bench.settler.alarms == [alarm] * (POISON_RAISES + 2)
    assert delivery.answers == ["ack"], "what it still wakes for is not lost"


async def test_a_delivery_that_joined_is_answered_when_parking_fails(
    pauses: list[float],
) -> None:
    bench = Bench()
    bench.settler.script["s"] = [flow_raised()] * POISON_RAISES
    bench.settler.gate.clear()
    bench.settler.park_error = RuntimeError("log gone")
    poison = await bench.take(count=POISON_RAISES)
    await until(lambda: bench.settler.running)
    joined = await bench.take(seq=2)
    bench.settler.gate.set()
    await until_answered(poison, joined)
    assert poison.answers == [3.2]
    assert joined.answers == ["ack"]


async def test_a_delivery_that_cannot_be_answered_keeps_no_other_waiting() -> None:
    bench = Bench()
    bench.settler.gate.clear()
    lost = await bench.take(seq=1)
    lost.is_unreachable = True
    await until(lambda: bench.settler.running)
    joined = await bench.take(seq=2)
    bench.settler.gate.set()
    await until_answered(joined)
    assert joined.answers == ["ack"]
