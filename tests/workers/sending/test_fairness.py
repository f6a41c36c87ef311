"""Whose turn is next: the most urgent's, but nobody is passed over for ever, dials apart."""

from hypothesis import given
from hypothesis import strategies as st

from offhook.workers.sending.fairness import SHARE, Fairness
from offhook.workers.sending.urgency import ANSWERS, DIALS, ENDS, REST

KINDS = (ENDS, ANSWERS, REST, DIALS)
waits = st.lists(st.sets(st.sampled_from(KINDS), min_size=1), min_size=1, max_size=120)
floods = st.lists(st.sets(st.sampled_from((ANSWERS, REST, DIALS))), min_size=1, max_size=120)


def given_turns(waits: list[set[int]]) -> list[int]:
    """To which kind each turn went; `waits` has which kinds wait for it."""
    fairness = Fairness()
    turns = []
    for waiting in waits:
        offered = fairness.in_order(waiting)
        assert sorted(offered) == sorted(waiting), "everybody is offered it, and once"
        fairness.granted(offered[0], waiting)
        turns.append(offered[0])
    return turns


@given(waits)
def test_a_dial_has_its_turn_when_nothing_else_waits_and_only_then(waits: list[set[int]]) -> None:
    for turn, waiting in zip(given_turns(waits), waits, strict=True):
        assert (turn == DIALS) == (waiting == {DIALS})


@given(waits, st.sampled_from((ANSWERS, REST)))
def test_nothing_but_a_dial_is_passed_over_for_long(waits: list[set[int]], kind: int) -> None:
    passed_over = 0
    for turn, waiting in zip(given_turns(waits), waits, strict=True):
        passed_over = passed_over + 1 if kind in waiting and turn != kind else 0
        assert passed_over <= SHARE, "one more than its share if another one is due as well"


@given(floods)
def test_the_ends_of_calls_keep_nearly_all_turns(floods: list[set[int]]) -> None:
    turns = given_turns([{ENDS, *others} for others in floods])
    for start in range(len(turns) - SHARE + 1):
        assert turns[start : start + SHARE].count(ENDS) >= SHARE - 2


@given(st.integers(1, SHARE - 1), st.sampled_from((ANSWERS, REST)))
def test_a_turn_that_nobody_else_waited_for_passes_nobody_over(turns: int, kind: int) -> None:
    fairness = Fairness()
    for _ in range(turns):
        fairness.granted(ENDS, {ENDS, kind})
    fairness.granted(ENDS, {ENDS})
    for _ in range(SHARE - 1):
        assert fairness.in_order({ENDS, kind}) == [ENDS, kind]
        fairness.granted(ENDS, {ENDS, kind})
    assert fairness.in_order({ENDS, kind}) == [kind, ENDS]
