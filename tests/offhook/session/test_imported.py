"""Imported records: the session is what it was, and nothing is left to be done about it."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from offhook.events import Decided, Record, TimerFired, TimerOrder, TimerSet
from offhook.session import Session, fold
from tests.offhook.session.records import HANG_UP, INITIATED, SESSION, at, decision, logs, recorded


def imported(record: Record) -> Record:
    return replace(record, imported_from=record.seq + 1000)


@st.composite
def mixed_logs(draw: st.DrawFn) -> list[Record]:
    """Some of the records are imported, whichever."""
    log = draw(logs())
    return [imported(record) if draw(st.booleans()) else record for record in log]


@given(mixed_logs(), st.data())
def test_every_order_gives_the_same_session(log: list[Record], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(log))
    assert fold(SESSION, [*shuffled, *shuffled]) == fold(SESSION, log)


@given(mixed_logs())
def test_only_what_is_not_imported_can_be_open(log: list[Record]) -> None:
    session = fold(SESSION, log)
    own = [record for record in log if not record.is_imported]
    decided = [record.fact for record in own if isinstance(record.fact, Decided)]
    assert session.undecided <= {record.seq for record in own}
    assert session.open_commands <= {each.command_id for fact in decided for each in fact.commands}
    assert session.lease is None or session.lease.seq in {record.seq for record in own}


@given(logs())
def test_a_session_that_was_imported_as_a_whole_differs_in_nothing_else(log: list[Record]) -> None:
    session = fold(SESSION, map(imported, log))
    assert not session.undecided
    assert not session.open_commands
    assert not session.open_timers
    assert session.lease is None
    assert _told(session) == _told(fold(SESSION, log))


def _told(session: Session) -> Session:
    """Without what tells a worker to act."""
    return replace(
        session,
        undecided=frozenset(),
        open_commands=frozenset(),
        open_timers=frozenset(),
        lease=None,
        parked=session.parked and replace(session.parked, imported_from=None),
        commands={
            key: replace(state, is_imported=False) for key, state in session.commands.items()
        },
        timer_states={
            key: replace(state, is_imported=False, is_told_cancelled=False)
            for key, state in session.timer_states.items()
        },
    )


def test_an_imported_timer_is_not_due_and_one_of_this_log_is() -> None:
    order = TimerOrder(timer_id="1-0", name="ring", after_s=5)
    facts = recorded(INITIATED, replace(decision(1), timers=(order,)))
    for log, is_due in ((facts, True), ([imported(each) for each in facts], False)):
        (timer,) = fold(SESSION, log).timers.values()
        assert timer.is_pending
        assert timer.is_open == is_due
        assert timer.is_due(at(5000)) == is_due
        assert timer.due_at == log[1].stored_at + timedelta(seconds=5)


def test_a_live_event_in_an_imported_session_wants_a_decision() -> None:
    history = [imported(each) for each in recorded(INITIATED, decision(1, HANG_UP))]
    live = replace(
        recorded(TimerSet(timer_id="t", name="t", due_at=at(1)), TimerFired(name="t"))[1], seq=9
    )
    session = fold(SESSION, [*history, live])
    assert session.undecided == {9}
    assert session.commands[HANG_UP.command_id].status == "pending"
