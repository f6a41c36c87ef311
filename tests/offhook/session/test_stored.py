"""A session that was stored in parts is the same one, and goes on as the same."""

from dataclasses import fields
from unittest.mock import patch

import pytest
from hypothesis import assume, given

from offhook.carrier_events import BY_TYPE
from offhook.codec.facts import fact_id_of
from offhook.codec.webhooks import read_event, wire_body
from offhook.events import Record, WebhookReceived
from offhook.session import Session, evolve, fold
from offhook.session.folding import LAST, NEVER
from offhook.session.persistent import LongMap
from offhook.session.stored import ENTRIES_MAX, StoredSession, parts_of
from tests.example_events import AT, example_event
from tests.long_calls import SESSION as LONG
from tests.long_calls import decided
from tests.offhook.session.records import SESSION, logs


def again(session: Session) -> Session:
    """As it is after it was stored."""
    found = StoredSession()
    for part in parts_of(session):
        found.add(part)
    return found.session()


def orders(session: Session) -> list[list[str]]:
    """The orders in which a flow walks through what it may read."""
    return [
        [*session.legs],
        [*session.conferences],
        [*session.recordings],
        [*session.commands],
        [*session.timers],
        *([*leg.latest] for leg in session.legs.values()),
        *([*leg.memberships] for leg in session.legs.values()),
    ]


def assert_same(stored: Session, session: Session) -> None:
    for each in fields(Session):
        held, expected = getattr(stored, each.name), getattr(session, each.name)
        assert held == expected, each.name
        assert expected == held, each.name
    assert stored == session
    assert orders(stored) == orders(session)
    assert repr(stored.legs) == repr(session.legs)


@given(logs())
def test_stored_after_any_record_it_goes_on_as_if_it_had_not_been(log: list[Record]) -> None:
    with (
        patch("offhook.session.persistent.COPIED_MAX", 1),
        patch("offhook.session.stored.ENTRIES_MAX", 2),
    ):
        session = stored = Session(session_id=SESSION)
        for record in log:
            session, stored = evolve(session, record), evolve(stored, record)
            try:
                stored = again(stored)
            except OverflowError:
                assume(False)  # a number that no JSON reader gives us
            assert_same(stored, session)


@pytest.mark.parametrize("event_type", BY_TYPE)
def test_a_session_with_that_event(event_type: str) -> None:
    event, _ = read_event(wire_body(example_event(event_type)))
    fact = WebhookReceived(event=event)
    record = Record(
        seq=1, stored_at=AT, session_id=SESSION, fact=fact, fact_id=fact_id_of(fact, SESSION)
    )
    session = fold(SESSION, [record])
    assert_same(again(session), session)
    for leg in again(session).legs.values():
        assert {type(each) for each in leg.latest.values()} <= {type(event)}


def test_a_long_session_is_in_parts_and_goes_on_as_a_long_one() -> None:
    records = list(decided(3 * ENTRIES_MAX))
    session = fold(LONG, records[:-5])
    # Of an event there is a command, a decision and a timer, and two facts.
    assert len([*parts_of(session)]) == 1 + 5 * 3
    stored = again(session)
    assert_same(stored, session)
    assert isinstance(stored.commands, LongMap)
    assert isinstance(stored.facts, LongMap)
    for record in records[-5:]:
        session, stored = evolve(session, record), evolve(stored, record)
    assert_same(stored, session)


def test_the_first_and_the_last_time_there_is() -> None:
    leg = next(iter(fold(LONG, decided(1)).legs.values()))
    for stamp in ((NEVER, "a"), (LAST, "b")):
        leg.__dict__["stamps"] = {"client_state": stamp}
        session = Session(session_id=LONG, legs={leg.call_control_id: leg})
        assert_same(again(session), session)


def test_what_is_no_part_is_an_error() -> None:
    first, *_ = parts_of(Session(session_id=SESSION))
    for part in (b"", b"\x93\x01", first[:-1], b"\x92\xa0\x80"):
        with pytest.raises((ValueError, KeyError, TypeError)):
            StoredSession().add(part)
    with pytest.raises(ValueError, match="first part"):
        StoredSession().session()
