"""Whose turn is next: the most urgent's, but nobody is passed over for ever, dials apart."""

from hypothesis import given
from hypothesis import strategies as st

from offhook.workers.sending.fairness import SHARE, Order
from offhook.workers.sending.rate_limits import ANSWERS, ENDS, LAST, REST

KINDS = (ENDS, ANSWERS, REST, LAST)
waits = st.lists(st.sets(st.sampled_from(KINDS), min_size=1), min_size=1, max_size=120)
floods = st.lists(st.sets(st.sampled_from((ANSWERS, REST, LAST))), min_size=1, max_size=120)


def given_turns(waits: list[set[int]]) -> list[int]:
    """To which kind each turn went; `waits` has which kinds wait for it."""
    order = Order()
    turns = []
    for waiting in waits:
        offered = order.among(waiting)
        assert sorted(offered) == sorted(waiting), "everybody is offered it, and once"
        order.gave(offered[0], waiting)
        turns.append(offered[0])
    return turns


@given(waits)
def test_a_dial_has_its_turn_when_nothing_else_waits_and_only_then(waits: list[set[int]]) -> None:
    for turn, waiting in zip(given_turns(waits), waits, strict=True):
        assert (turn == LAST) == (waiting == {LAST})


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
    order = Order()
    for _ in range(turns):
        order.gave(ENDS, {ENDS, kind})
    order.gave(ENDS, {ENDS})
    for _ in range(SHARE - 1):
        assert order.among({ENDS, kind}) == [ENDS, kind]
        order.gave(ENDS, {ENDS, kind})
    assert order.among({ENDS, kind}) == [kind, ENDS]
