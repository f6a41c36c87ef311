"""What is kept of the error that parked a session."""

from collections.abc import Callable, Sequence

import pytest

from offhook.events import (
    CallAnswered,
    Event,
    SessionParked,
)
from offhook.flow import Order
from offhook.session import Session
from offhook.workers.sessions.flow_errors import CHAIN_MAX, FRAMES_MAX, TRACEBACK_CHARS_MAX
from offhook.workers.sessions.flows import ERROR_CHARS_MAX
from tests.workers.intake.desk import Desk
from tests.workers.intake.dispatching import FakeDelivery
from tests.workers.sessions.stand import (
    SESSION,
    answered,
    arrive,
    facts,
    initiated,
)

pytestmark = pytest.mark.usefixtures("at_once")


async def test_a_parked_session_has_the_traceback_of_the_flow_alone() -> None:
    parked = await parked_by(lambda: dict[str, str]()["menu"])
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
