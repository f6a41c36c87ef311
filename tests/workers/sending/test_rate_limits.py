"""The arithmetic of limits: what one worker may send, and what the fleet sends in all."""

import heapq
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.workers.sending.attempt import DEADLINE_S
from offhook.workers.sending.rate_limits import (
    CARRIER_LIMIT_S,
    CLOSED_MAX_S,
    INFERRED_MAX_S,
    MEMBER_S,
    REPORT_S,
    FleetReport,
    RateLimits,
)
from offhook.workers.sending.rates import (
    CHANGED_S,
    DIALS_WINDOW_S,
    Rate,
    Window,
    part_of,
    rates_from,
)
from offhook.workers.sending.urgency import urgency_of


def limits_of_worker(
    worker: str = "w1", *, dials_per_s: float = 0, commands_per_s: float = 0, now: float = 0.0
) -> RateLimits:
    limits = rates_from(dials_per_s=dials_per_s, commands_per_s=commands_per_s)
    return RateLimits(worker, limits, now)


def taken(limits: RateLimits, operation: str, now: float) -> int:
    """How many permits there are at once; they are all sent, and answered at once."""
    count = 0
    while (windows := limits.take(operation, now)) is not None:
        for window in windows:
            window.give_back(now, sent=True)
        count += 1
    return count


def test_ending_a_call_goes_first_and_a_new_one_last() -> None:
    operations = ["dial", "speak", "answer", "transfer", "reject", "hangup"]
    assert sorted(operations, key=urgency_of) == [
        *("reject", "hangup"),
        "answer",
        *("speak", "transfer"),
        "dial",
    ]


def test_rates_are_limits_over_the_carriers_windows() -> None:
    assert rates_from(dials_per_s=30, commands_per_s=20) == {
        "dials": Rate(count=150, window_s=5.0),
        "commands": Rate(count=20, window_s=1.0),
    }
    assert rates_from(dials_per_s=0.1, commands_per_s=0) == {"dials": Rate(count=1, window_s=10.0)}
    assert rates_from(dials_per_s=0, commands_per_s=0.3) == {
        "commands": Rate(count=1, window_s=1 / 0.3)
    }


# ------------------------------------------------------------------ parts

fleets = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.booleans(), min_size=1)


@given(count=st.integers(1, 500), fleet=fleets)
def test_the_parts_of_a_fleet_add_up_to_its_limit(count: int, fleet: dict[str, bool]) -> None:
    limit = Rate(count=count, window_s=2.0)
    parts = [part_of(limit, worker, fleet) for worker in fleet]
    assert all(part.count >= 1 for part in parts)
    rate = sum(part.count / part.window_s for part in parts)
    assert rate == pytest.approx(limit.count / limit.window_s)
    if len(fleet) <= count:
        assert {part.window_s for part in parts} == {2.0}


def test_who_is_pressed_has_more_and_who_is_not_can_still_send_at_once() -> None:
    limit = Rate(count=20, window_s=1.0)
    one = {"a": True, "b": False, "c": False}
    assert [part_of(limit, worker, one).count for worker in one] == [12, 4, 4]
    for all_alike in ({"a": True, "b": True, "c": True}, {"a": False, "b": False, "c": False}):
        parts = [part_of(limit, worker, all_alike).count for worker in all_alike]
        assert sorted(parts) == [6, 7, 7]


# ------------------------------------------------------------------ one worker


@given(
    count=st.integers(1, 30),
    tries=st.lists(
        st.tuples(st.floats(0, 0.3), st.floats(0, 3), st.floats(0, 1)), min_size=1, max_size=150
    ),
)
def test_no_more_than_the_limit_arrives_within_any_window(
    count: int, tries: list[tuple[float, float, float]]
) -> None:
    """Each try: the pause before it, how long its answer takes, and when on the way it arrives."""
    mine = limits_of_worker(commands_per_s=count)
    now = 0.0
    answers: list[tuple[float, int, Callable[[], None]]] = []
    arrivals: list[float] = []
    for number, (pause_s, takes_s, share) in enumerate(tries):
        now += pause_s
        while answers and answers[0][0] <= now:
            heapq.heappop(answers)[2]()
        windows = mine.take("answer", now)
        if windows is None:
            assert mine.free_at("answer", now) != now
            continue
        arrivals.append(now + takes_s * share)
        at = now + takes_s

        def answered(windows: tuple[Window, ...] = windows, at: float = at) -> None:
            for window in windows:
                window.give_back(at, sent=True)

        heapq.heappush(answers, (at, number, answered))
    arrivals.sort()
    for start, first in enumerate(arrivals):
        within = [at for at in arrivals[start:] if at < first + 1.0 - 1e-9]
        assert len(within) <= count


def test_a_place_is_free_again_a_window_after_its_answer() -> None:
    mine = limits_of_worker(commands_per_s=2)
    (window,) = mine.take("answer", 0.0) or ()
    (other,) = mine.take("answer", 0.1) or ()
    assert mine.take("answer", 0.2) is None
    assert mine.free_at("answer", 0.2) is None, "no answer came yet: who knows"
    other.give_back(0.5, sent=True)
    assert mine.free_at("answer", 0.5) == 1.5
    assert mine.take("answer", 1.4) is None
    assert mine.take("answer", 1.5) is not None
    window.give_back(1.6, sent=False)
    assert mine.take("answer", 1.6) is not None, "nothing was sent, so nothing is used up"


def test_dials_have_a_limit_of_their_own_and_leave_places_to_the_others() -> None:
    mine = limits_of_worker(dials_per_s=2, commands_per_s=16)
    assert taken(mine, "dial", 0.0) == 10, "2 a second over 5 s"
    assert taken(mine, "transfer", 0.0) == 6
    mine = limits_of_worker(commands_per_s=16)
    assert taken(mine, "dial", 0.0) == 14
    assert taken(mine, "hangup", 0.0) == 2


def test_without_a_limit_nothing_waits() -> None:
    mine = limits_of_worker()
    assert all(mine.take(operation, 0.0) == () for operation in ("dial", "answer") * 500)
    assert mine.left(0.0) == {}


# ------------------------------------------------------------------ what the carrier says


def test_a_carrier_that_is_busy_closes_everything_or_dials_alone() -> None:
    mine = limits_of_worker()
    mine.close({"dials": 3.0}, 0.0)
    assert mine.take("answer", 2.9) == ()
    assert mine.take("dial", 2.9) is None
    assert mine.free_at("dial", 2.9) == 3.0
    mine.close({"ends": 4.0, "rest": 5.0}, 0.0)
    assert mine.take("hangup", 3.9) is None
    assert mine.take("hangup", 4.0) == ()
    assert mine.take("answer", 4.9) is None
    assert mine.take("dial", 5.0) == ()


@given(seconds=st.floats(0, 1e300), operation=st.sampled_from(["hangup", "answer", "dial"]))
def test_no_header_of_a_busy_carrier_closes_for_longer_than_a_command_can_wait(
    seconds: float, operation: str
) -> None:
    mine = limits_of_worker()
    mine.close({"ends": seconds, "rest": seconds, "dials": seconds}, 100.0)
    most_s = 5.0 if operation == "hangup" else 15.0
    assert mine.closed_until(operation) == 100.0 + min(seconds, most_s)
    assert mine.closed_until(operation) < 100.0 + DEADLINE_S


def test_dials_are_closed_for_no_longer_than_they_count_with_the_carrier() -> None:
    mine = limits_of_worker()
    mine.close({"dials": 60.0}, 100.0)
    assert mine.closed_until("dial") == 100.0 + DIALS_WINDOW_S


def test_the_carriers_limit_is_learned_over_the_longest_reset() -> None:
    mine = limits_of_worker()
    mine.learn(10, 0.4, now=0.0)
    assert taken(mine, "answer", 0.0) == 10
    mine.learn(10, 3.0, now=0.5)
    mine.learn(10, 1.0, now=0.6)
    assert mine.free_at("answer", 1.0) == 3.0
    mine.learn(4, 1.0, now=4.0)
    assert taken(mine, "answer", 4.0) == 4
    assert mine.free_at("answer", 4.0) == 5.0


def test_a_limit_that_makes_no_sense_is_none() -> None:
    mine = limits_of_worker()
    for count in (0, 10**9):
        mine.learn(count, 1.0, now=0.0)
    assert mine.take("answer", 0.0) == ()


def test_a_limit_that_is_not_mentioned_any_more_is_forgotten_once_commands_wait_for_it() -> None:
    """If it lets nothing through there is no answer that could correct it."""
    mine = limits_of_worker()
    mine.learn(1, 3000.0, now=0.0)
    mine.report(900.0)
    assert mine.left(900.0) == {"carrier": 1}, "a burst after an hour of rest knows it"
    mine.learn(1, 3000.0, now=1000.0)
    assert taken(mine, "answer", 1000.0) == 1
    forgotten_at = 1000.0 + CARRIER_LIMIT_S
    assert mine.take("answer", forgotten_at) is None
    mine.report(forgotten_at)
    assert mine.take("answer", forgotten_at) is None
    mine.report(forgotten_at + 0.1)
    assert mine.take("answer", forgotten_at + 0.1) == ()


def test_a_limit_that_was_only_inferred_keeps_no_hangup_waiting_for_long() -> None:
    mine = limits_of_worker()
    mine.learn(2, 30.0, now=0.0)
    assert taken(mine, "answer", 0.0) == 2
    assert mine.free_at("hangup", 1.0) == INFERRED_MAX_S
    assert mine.take("hangup", INFERRED_MAX_S - 0.1) is None
    assert taken(mine, "hangup", INFERRED_MAX_S) == 2
    assert mine.take("hangup", INFERRED_MAX_S + 1) is None
    assert mine.free_at("answer", 6.0) == INFERRED_MAX_S + 30.0, "they count like any other"

    mine.learn(1, 1.0, now=100.0)
    assert taken(mine, "hangup", 100.0) == 1
    assert mine.free_at("hangup", 100.5) == 101.0


# ------------------------------------------------------------------ the fleet


def test_a_worker_that_is_heard_of_has_its_part_at_once_and_a_new_one_is_told() -> None:
    mine = limits_of_worker("a", commands_per_s=20)
    assert mine.left(0.0) == {"commands": 20}
    assert mine.add_report(FleetReport(worker="b"), 0.0)
    assert not mine.add_report(FleetReport(worker="b"), 0.5)
    assert not mine.add_report(FleetReport(worker="a"), 0.5), "its own"
    assert mine.left(0.5) == {"commands": 10}


@pytest.mark.parametrize("in_order", [True, False])
def test_the_part_of_a_worker_that_is_gone_is_taken_once_it_has_run_out(in_order: bool) -> None:
    mine = limits_of_worker("a", commands_per_s=20)
    mine.add_report(FleetReport(worker="b"), 0.0)
    gone_at = 1.0 if in_order else MEMBER_S + 0.1
    if in_order:
        mine.add_report(FleetReport(worker="b", is_leaving=True), gone_at)
    else:
        mine.report(gone_at)
    just_before = gone_at + 1.0 + CHANGED_S - 0.01
    assert mine.left(just_before) == {"commands": 10}
    assert mine.left(just_before + 0.02) == {"commands": 20}


def test_what_the_carrier_told_one_worker_all_of_them_know() -> None:
    told, other = limits_of_worker("a"), limits_of_worker("b")
    told.learn(10, 2.0, now=100.0)
    told.close({"ends": 2.0, "rest": 3.0, "dials": 5.0}, 100.0)
    # Clocks of different machines have nothing in common.
    other.add_report(told.report(101.0), 5.0)
    assert other.closed_until("hangup") == 6.0
    assert other.closed_until("answer") == 7.0
    assert other.closed_until("dial") == 9.0
    assert other.left(7.0) == {"carrier": 5}
    # An older word does not win over a newer one.
    other.learn(30, 2.0, now=8.0)
    other.add_report(told.report(105.0), 9.0)
    assert other.left(20.0) == {"carrier": 15}


def test_what_is_closed_is_not_passed_on_so_it_lasts_no_longer_in_a_fleet() -> None:
    fleet = {name: limits_of_worker(name) for name in "abcde"}
    fleet["a"].close({"ends": 5.0, "rest": 15.0}, 100.0)
    on_the_way_s = 0.05
    for tenth in range(1, 50):
        teller = fleet["abcde"[tenth % 5]]
        report = teller.report(now := 100.0 + tenth / 10)
        for other in fleet.values():
            other.add_report(report, now + on_the_way_s)
    for each in fleet.values():
        assert 105.0 <= each.closed_until("hangup") <= 105.0 + on_the_way_s + 1e-9
        assert 115.0 <= each.closed_until("answer") <= 115.0 + on_the_way_s + 1e-9


@pytest.mark.parametrize(
    "carrier",
    [Rate(count=0, window_s=1.0), Rate(count=-7, window_s=1.0), Rate(count=9, window_s=1e9)],
)
def test_a_report_that_cannot_be_meant_stops_nobody(carrier: Rate) -> None:
    mine = limits_of_worker("a", commands_per_s=20)
    said = FleetReport(
        worker="b", closed_s=1e300, ends_closed_s=1e300, dials_closed_s=-1.0, carrier=carrier
    )
    assert mine.add_report(said, 0.0)
    assert mine.report(0.5).carrier is None
    assert mine.take("answer", CLOSED_MAX_S["rest"]) is not None
    assert mine.take("hangup", CLOSED_MAX_S["ends"]) is not None

    mine.learn(5, 1.0, now=100.0)
    true = Rate(count=6, window_s=1.0)
    mine.add_report(FleetReport(worker="b", carrier=true, carrier_age_s=-1e9), 101.0)
    mine.add_report(FleetReport(worker="c", carrier=carrier), 102.0)
    until = 101.0 + CARRIER_LIMIT_S
    taken(mine, "answer", until)
    assert mine.report(until).carrier == true
    assert mine.report(until + 0.1).carrier is None


@given(
    limit=st.integers(3, 40),
    pressed=st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=8, max_size=8),
    delay_s=st.floats(0.001, 0.2),
    takes_s=st.floats(0, 0.8),
    arrives_late=st.booleans(),
)
def test_a_fleet_that_knows_itself_never_exceeds_its_limit(
    limit: int, pressed: list[list[bool]], delay_s: float, takes_s: float, arrives_late: bool
) -> None:
    """`pressed`: which workers have more to send than they may, second by second; the others have
    just as much."""
    names = ["a", "b", "c"]
    fleet = {name: limits_of_worker(name, commands_per_s=limit, now=-100.0) for name in names}
    for name in names:
        for other in names:
            fleet[name].add_report(FleetReport(worker=other), -50.0)
    arrivals: list[float] = []
    todo: list[tuple[float, int, Callable[[], object]]] = []
    step_s = 0.05
    for step in range(int(len(pressed) / step_s)):
        now = step * step_s
        while todo and todo[0][0] <= now:
            heapq.heappop(todo)[2]()
        for place, name in enumerate(names):
            # Each reports at a moment of its own, and is heard a little later.
            if step % int(REPORT_S / step_s) == 6 * place:
                report = fleet[name].report(now)
                for other in names:
                    at = now + delay_s

                    def hear(
                        other: str = other, report: FleetReport = report, at: float = at
                    ) -> None:
                        fleet[other].add_report(report, at)

                    heapq.heappush(todo, (at, len(todo) + 1000 * step, hear))
            while pressed[int(now)][place] or fleet[name].left(now)["commands"]:
                if (windows := fleet[name].take("answer", now)) is None:
                    break
                at = now + takes_s
                arrivals.append(at if arrives_late else now)

                def answered(windows: tuple[Window, ...] = windows, at: float = at) -> None:
                    for window in windows:
                        window.give_back(at, sent=True)

                heapq.heappush(todo, (at, len(todo) + 1000 * step, answered))
    arrivals.sort()
    for start, first in enumerate(arrivals):
        assert len([at for at in arrivals[start:] if at < first + 1.0 - 1e-9]) <= limit
