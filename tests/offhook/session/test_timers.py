"""Timers, pure: what may be set, what a decision stores of it, and what a session knows then."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from offhook.codec.facts import fact_id_of
from offhook.events import Decided, Fact, Record, TimerCancelled, TimerFired, TimerOrder, TimerSet
from offhook.session import Session, fold
from offhook.session.timers import AFTER_S_MAX, CancelTimer, SetTimer, TimerState, orders_from

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
LEG = "v3:leg-a"


@pytest.mark.parametrize(
    ("after_s", "shown"),
    [
        *((0, "0"), (-1, "-1"), (float("nan"), "nan"), (86_401, "86401"), (float("inf"), "inf")),
        *((True, "True"), ("5", "'5'"), (None, "None")),
    ],
)
def test_a_timer_that_cannot_be_kept_is_refused(after_s: Any, shown: str) -> None:
    with pytest.raises(ValueError, match=f"timer 'menu': after_s is {shown}; expected above 0 to"):
        SetTimer(name="menu", after_s=after_s)


@pytest.mark.parametrize("name", ["", "n" * 65, None, 5])
def test_a_timers_name_has_1_to_64_characters(name: Any) -> None:
    with pytest.raises(ValueError, match=r"a timer's name is .* expected 1 to 64 characters"):
        SetTimer(name=name, after_s=1)
    with pytest.raises(ValueError, match="a timer's name is"):
        CancelTimer(name=name)


def test_the_longest_timer_is_a_day() -> None:
    assert SetTimer(name="n" * 64, after_s=AFTER_S_MAX).after_s == 86_400


# ------------------------------------------------------------------ what a decision stores


def stored(
    *timers: SetTimer | CancelTimer, pending: tuple[TimerState, ...] = ()
) -> tuple[TimerOrder, ...]:
    by_name = {state.name: state for state in pending}
    return orders_from(timers, by_name, cause_seq=7, call_control_id=LEG)


def test_a_timer_keeps_the_leg_that_it_was_set_on() -> None:
    assert stored(SetTimer(name="menu", after_s=5)) == (
        TimerOrder(timer_id="7-0", name="menu", call_control_id=LEG, after_s=5),
    )


def test_each_timer_of_a_decision_has_an_id_of_its_own() -> None:
    orders = stored(SetTimer(name="a", after_s=5), SetTimer(name="b", after_s=5))
    assert [order.timer_id for order in orders] == ["7-0", "7-1"]


def test_setting_it_again_cancels_the_one_before() -> None:
    held = TimerState(timer_id="3-0", name="menu")
    assert stored(SetTimer(name="menu", after_s=5), pending=(held,)) == (
        TimerOrder(timer_id="3-0", name="menu"),
        TimerOrder(timer_id="7-0", name="menu", call_control_id=LEG, after_s=5),
    )


def test_a_timer_that_is_not_set_is_not_cancelled() -> None:
    assert stored(CancelTimer(name="menu")) == ()


def test_the_last_word_on_a_name_counts() -> None:
    twice = stored(SetTimer(name="menu", after_s=5), SetTimer(name="menu", after_s=9))
    assert [order.after_s for order in twice] == [9]
    assert stored(SetTimer(name="menu", after_s=5), CancelTimer(name="menu")) == ()


# ------------------------------------------------------------------ what a session knows


def session_of(*facts: Fact) -> Session:
    """Facts with sequences from 1, stored a second apart."""
    return fold(
        "session-1",
        [
            Record(
                seq=seq,
                stored_at=NOON + timedelta(seconds=seq),
                session_id="session-1",
                fact=fact,
                fact_id=fact_id_of(fact, "session-1"),
            )
            for seq, fact in enumerate(facts, start=1)
        ],
    )


def decided(*timers: TimerOrder, cause_seq: int = 1) -> Decided:
    return Decided(
        cause_seq=cause_seq,
        cause_id="e",
        flow="frontdesk",
        flow_version="1",
        worker="w",
        lease_s=3,
        timers=timers,
    )


MENU = TimerOrder(timer_id="1-0", name="menu", call_control_id=LEG, after_s=20)
DUE_AT = NOON + timedelta(seconds=21)
SET = TimerSet(timer_id="1-0", name="menu", due_at=DUE_AT)
FIRED = TimerFired(timer_id="1-0", name="menu", due_at=DUE_AT, call_control_id=LEG)
CANCEL = TimerOrder(timer_id="1-0", name="menu")


def test_a_timer_counts_from_the_logs_time_of_its_decision() -> None:
    menu = session_of(decided(MENU)).timers["menu"]
    assert (menu.due_at, menu.flow, menu.call_control_id) == (DUE_AT, "frontdesk", LEG)
    assert menu.is_open
    assert not menu.is_due(DUE_AT - timedelta(microseconds=1))
    assert menu.is_due(DUE_AT)


def test_a_scheduled_timer_leaves_nothing_to_do() -> None:
    menu = session_of(decided(MENU), SET).timers["menu"]
    assert menu.is_pending
    assert not menu.is_open


def test_a_fired_timer_is_set_no_more_and_wants_a_decision() -> None:
    session = session_of(decided(MENU), SET, FIRED)
    assert session.timers == {}
    assert session.undecided == {3}


def test_a_timer_that_fired_twice_wants_one_decision() -> None:
    session = session_of(decided(MENU), SET, FIRED, FIRED)
    assert session.undecided == {3}


def test_a_timer_is_cancelled_by_the_decision_alone() -> None:
    session = session_of(decided(MENU), SET, decided(CANCEL, cause_seq=2))
    assert session.timers == {}
    assert session.timer_states["1-0"].is_open, "nobody has told of it yet"
    told = session_of(
        decided(MENU),
        SET,
        decided(CANCEL, cause_seq=2),
        TimerCancelled(timer_id="1-0", name="menu"),
    )
    assert not told.timer_states["1-0"].is_open


def test_a_replaced_timer_is_the_new_one() -> None:
    again = TimerOrder(timer_id="2-0", name="menu", call_control_id=LEG, after_s=5)
    session = session_of(decided(MENU), SET, decided(CANCEL, again, cause_seq=2))
    assert session.timers["menu"].timer_id == "2-0"
    assert session.timers["menu"].due_at == NOON + timedelta(seconds=8)


def test_a_timer_whose_decision_was_not_seen_is_not_set() -> None:
    assert session_of(SET).timers == {}
