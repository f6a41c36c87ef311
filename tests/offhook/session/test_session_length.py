"""One more record costs the same however long the call is: what has grown is not gone through.

It is copied once in a while, at neither of the two lengths here (`test_persistent` counts that).
"""

from typing import Any

import pytest

from offhook.commands import Speak
from offhook.events import Record, WebhookReceived
from offhook.flow import Flow, flow_for
from offhook.flow.decision import stored
from offhook.projections.views.fold import Folded, advanced, written
from offhook.projections.views.registry import rows_of
from offhook.session import Session, evolve, fold
from tests.counted_work import Work, work_of
from tests.long_calls import RECORDS_EACH, SESSION, decided, initiated, record, transcription

SHORT, LONG = 100, 1_000  # events

CALLS_MORE_MAX = 10
BYTES_MORE_MAX = 2_000
"""A copy of a dict of LONG entries takes 36 kB."""


def next_records(events: int) -> list[Record]:
    """What comes next in a call of so many events: a fact, and all that follows from it."""
    return list(decided(events + 1))[-RECORDS_EACH:]


def assert_same_work(short: Work, long: Work) -> None:
    assert long.calls <= short.calls + CALLS_MORE_MAX
    assert long.peak_bytes <= short.peak_bytes + BYTES_MORE_MAX


@pytest.fixture(scope="module")
def sessions() -> dict[int, Session]:
    return {events: fold(SESSION, decided(events)) for events in (SHORT, LONG)}


def test_a_record_costs_the_same_in_a_long_session(sessions: dict[int, Session]) -> None:
    def more(events: int) -> Work:
        def do() -> Session:
            session = sessions[events]
            for each in next_records_of[events]:
                session = evolve(session, each)
            return session

        do()
        return work_of(do)

    next_records_of = {events: next_records(events) for events in sessions}
    assert_same_work(more(SHORT), more(LONG))


def test_a_record_costs_the_same_in_a_long_session_of_undecided_facts() -> None:
    """As a session is to whoever ends a call while its worker is far behind."""

    def more(events: int) -> Work:
        session = fold(
            SESSION, (record(n + 1, transcription(n), f"event-{n}") for n in range(events))
        )
        following = record(events + 1, transcription(events), f"event-{events}")
        evolve(session, following)
        return work_of(lambda: evolve(session, following))

    assert_same_work(more(SHORT), more(LONG))


def test_the_projector_folds_and_writes_only_what_changed(sessions: dict[int, Session]) -> None:
    def more(events: int) -> Work:
        folded = Folded(session=Session(session_id=SESSION))
        for each in decided(events):
            folded = advanced(folded, each)
        folded = written(folded)
        following = next_records(events)

        def do() -> Any:
            after = folded
            for each in following:
                after = advanced(after, each)
            return rows_of(after, folded.last_seq)

        rows = do()
        assert [len(each) for each in rows.values()] == [1, 1, 1, 0]
        return work_of(do)

    assert_same_work(more(SHORT), more(LONG))


def test_a_decision_costs_the_same_in_a_long_session(sessions: dict[int, Session]) -> None:
    """What a flow usually asks, and what is stored of its orders."""
    flow = Flow(name="f", version="1", decide=lambda event, session: [])

    def more(events: int) -> Work:
        session = evolve(sessions[events], initiated_again)
        fact = next_records(events)[0].fact
        assert isinstance(fact, WebhookReceived)

        def do() -> Any:
            assert session.was_asked("speak")
            assert not session.was_asked("transfer")
            assert session.caller is not None
            assert not session.timers
            flow_for([flow], fact.event, session)
            said = [Speak(payload="hello", voice="female")]
            return stored(said, fact.event, session, 10**6)

        do()
        return work_of(do)

    initiated_again = initiated()
    assert_same_work(more(SHORT), more(LONG))
