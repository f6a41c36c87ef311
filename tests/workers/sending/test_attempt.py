"""What is done next with a command on its way: every row of the table."""

from datetime import timedelta
from typing import Any

import pytest

from offhook.events import CommandFailed, CommandSucceeded
from offhook.telnyx.outcomes import Outcome
from offhook.workers.sending.attempt import (
    DEADLINE_S,
    PAUSE_FIRST_S,
    PAUSE_MAX_S,
    RENEWED_BEFORE_S,
    WAITING_LEASE_S,
    Attempt,
    Done,
    GiveWay,
    Look,
    Queue,
    Renew,
    Send,
    Step,
    Wait,
    first_attempt,
    next_step,
)
from tests.workers.sending.attempts import (
    ACCEPTED,
    BUSY,
    LEASE_S,
    LOST,
    NO,
    SEND_S,
    START,
    UNREACHED,
    attempt,
    command,
    seen,
    sent,
)


def step(made: Attempt, after_s: float = 0.0, **more: Any) -> Step:
    return next_step(made, START + timedelta(seconds=after_s), seen(**more))


def outcome_of(
    made: Attempt, after_s: float = 0.0, **more: Any
) -> CommandSucceeded | CommandFailed:
    done = step(made, after_s, **more)
    assert isinstance(done, Done)
    return done.outcome


def failure_of(made: Attempt, after_s: float = 0.0, **more: Any) -> CommandFailed:
    failed = outcome_of(made, after_s, **more)
    assert isinstance(failed, CommandFailed)
    return failed


# ------------------------------------------------------------------ the usual way


def test_a_command_is_sent_with_a_permit_and_needs_neither_a_look_nor_a_record() -> None:
    made = attempt()
    assert step(made) == Queue(within_s=LEASE_S - RENEWED_BEFORE_S, goes_first=False)
    assert step(made, permit="granted") == Send(repeated=False)
    done = Done(
        outcome=CommandSucceeded(
            command_id="c-1", http_status=200, answer={"data": {"result": "ok"}}, attempts=1
        )
    )
    assert made.sent(ACCEPTED, lambda: 1.0) == done


def test_what_the_carrier_refuses_has_failed_with_its_own_words() -> None:
    done = attempt("transfer", LOST).sent(NO, lambda: 1.0)
    assert isinstance(done, Done)
    failed = done.outcome
    assert isinstance(failed, CommandFailed)
    assert (failed.reason, failed.detail, failed.group) == ("refused", "422 90034", "wrong_state")
    assert (failed.maybe_performed, failed.attempts, failed.http_status) == (True, 2, 422)


# ------------------------------------------------------------------ the leg has ended


@pytest.mark.parametrize(
    ("operation", "outcomes", "succeeds"),
    [
        ("hangup", [], True),
        ("hangup", [BUSY], True),
        ("reject", [], False),
        ("reject", [BUSY], False),
        ("reject", [LOST], True),
        ("transfer", [LOST], False),
        ("dial", [], False),
    ],
)
def test_of_commands_for_an_ended_leg_an_end_that_may_have_done_it_has_succeeded(
    operation: str, outcomes: list[Outcome], succeeds: bool
) -> None:
    made = attempt(operation, *outcomes)
    around: list[dict[str, Any]] = [{}, {"recency": "stale"}, {"permit": "granted"}]
    for more in around:
        outcome = outcome_of(made, leg_ended=True, **more)
        assert isinstance(outcome, CommandSucceeded) == succeeds
        assert outcome.attempts == len(outcomes)
        if isinstance(outcome, CommandFailed):
            assert outcome.reason == "call_ended"


def test_a_dial_is_for_the_leg_that_it_is_linked_to() -> None:
    dial = command("dial", link_to="v3:caller")
    assert first_attempt(dial, decided_at=START, send_s=SEND_S).leg == "v3:caller"
    assert attempt("speak").leg == "v3:leg"
    assert attempt("dial").leg is None


# ------------------------------------------------------------------ a wrong parameter


def test_a_command_with_a_wrong_parameter_is_not_sent() -> None:
    failed = failure_of(attempt(invalid="to is 'nobody'"))
    assert (failed.reason, failed.detail, failed.maybe_performed) == (
        "invalid",
        "to is 'nobody'",
        False,
    )
    taken_over = failure_of(attempt(invalid="to is 'nobody'", by_others=1))
    assert taken_over.detail.endswith("; at most 1 attempt, which may have been performed")
    assert taken_over.maybe_performed


# ------------------------------------------------------------------ no answer


def test_without_an_answer_it_waits_longer_each_time_looks_says_why_and_goes_again() -> None:
    made, pauses = attempt(), []
    for number in range(1, 9):
        made = sent(made, LOST)
        waiting = step(made, recency="stale")
        assert isinstance(waiting, Wait)
        pauses.append(waiting.seconds)
        made = made.paused()
        assert step(made, recency="stale") == Look(is_required=False)
        assert step(made, permit="granted", recency="tried") == Look(is_required=True)
        renew = step(made, permit="granted")
        assert renew == Renew(because="ReadTimeout")
        assert isinstance(renew, Renew)
        made = made.renewed(renew)
        assert step(made, permit="granted") == Send(repeated=True)
        assert made.sends == number
    assert pauses[:3] == [PAUSE_FIRST_S, 2 * PAUSE_FIRST_S, 4 * PAUSE_FIRST_S]
    assert pauses[-1] == PAUSE_MAX_S


def test_workers_do_not_retry_in_step() -> None:
    pauses = [sent(attempt(), LOST, chance).pause_s for chance in (0.0, 0.5, 1.0)]
    assert pauses == [PAUSE_FIRST_S / 2, PAUSE_FIRST_S * 0.75, PAUSE_FIRST_S]


def test_a_pause_beyond_the_deadline_is_not_waited_for() -> None:
    failed = failure_of(sent(attempt(), LOST), DEADLINE_S - PAUSE_FIRST_S + 0.001)
    assert (failed.reason, failed.group) == ("deadline", "no_answer")
    assert failed.detail == (
        "45 s have passed; 1 attempt, which may have been performed; last: ReadTimeout"
    )


@pytest.mark.parametrize(
    ("operation", "is_sent_again"),
    [("siprec_start", False), ("client_state_update", True), ("transfer", True)],
)
def test_a_command_that_the_carrier_does_not_recognise_is_not_sent_twice(
    operation: str, is_sent_again: bool
) -> None:
    assert isinstance(step(sent(attempt(operation), UNREACHED)), Wait)
    again = step(sent(attempt(operation), LOST))
    assert isinstance(again, Wait) == is_sent_again
    if not is_sent_again:
        assert isinstance(again, Done)
        assert isinstance(again.outcome, CommandFailed)
        assert again.outcome.detail.startswith("it has no command_id, so it is not sent a second")


def test_of_a_worker_that_stopped_it_is_not_sent_again_either() -> None:
    around: list[dict[str, Any]] = [{}, {"permit": "granted"}]
    for more in around:
        failed = failure_of(attempt("siprec_start", by_others=1), **more)
        assert (failed.reason, failed.maybe_performed) == ("deadline", True)
    assert step(attempt("answer", by_others=1), permit="granted") == Send(repeated=True)


# ------------------------------------------------------------------ 429, or no permit


def test_after_a_429_it_queues_again_without_a_pause_and_is_no_repetition() -> None:
    made = attempt("transfer", BUSY)
    assert step(made, recency="stale") == Look(is_required=False)
    assert isinstance(step(made), Queue)
    renew = step(made, permit="granted")
    assert renew == Renew(because="429 10011")
    assert isinstance(renew, Renew)
    assert step(made.renewed(renew), permit="granted") == Send(repeated=False)


@pytest.mark.parametrize(
    ("more", "detail"),
    [
        ({"permit": "full"}, "1000 commands wait already"),
        ({"permit": "queued", "closed_s": 40.0}, "it gets no permit within 45 s"),
    ],
)
def test_a_command_that_cannot_be_sent_in_time_is_given_up_at_once(
    more: dict[str, Any], detail: str
) -> None:
    failed = failure_of(attempt(), 5.0, **more)
    assert (failed.reason, failed.group, failed.maybe_performed) == ("deadline", "rate", False)
    assert failed.detail == f"{detail}; nothing was sent"


def test_in_the_queue_it_looks_after_each_wait_and_keeps_its_lease() -> None:
    made = attempt()
    assert step(made, permit="queued", recency="stale") == Look(is_required=False)
    assert step(made, permit="queued", recency="tried", lease_left_s=2.5) == Queue(
        within_s=2.5 - RENEWED_BEFORE_S, goes_first=False
    )
    renew = step(made, permit="queued", lease_left_s=RENEWED_BEFORE_S)
    assert renew == Renew(because="it is waiting for a permit", is_waiting=True)
    assert isinstance(renew, Renew)
    made = made.renewed(renew)
    waiting = step(made, 44.0, permit="queued", lease_left_s=WAITING_LEASE_S)
    assert waiting == Queue(within_s=1.0, goes_first=False)


def test_one_that_holds_up_news_of_its_own_session_goes_first() -> None:
    for made, has_news in ((attempt(), True), (attempt().overtaken(), False)):
        waiting = step(made, permit="queued", has_news=has_news)
        assert isinstance(waiting, Queue)
        assert waiting.goes_first


def test_a_permit_that_came_after_a_wait_is_used_only_after_a_look_that_worked() -> None:
    for recency in ("stale", "tried"):
        assert step(attempt(), permit="granted", recency=recency) == Look(is_required=True)


def test_a_lease_that_runs_out_is_renewed_once_before_a_send() -> None:
    renew = step(attempt(), permit="granted", lease_left_s=SEND_S - 0.1)
    assert renew == Renew(because="the lease was running out")
    assert isinstance(renew, Renew)
    # However long the record took.
    made = attempt().renewed(renew)
    assert step(made, permit="granted", lease_left_s=0.1) == Send(repeated=False)


def test_nothing_is_sent_under_a_lease_that_has_run_out() -> None:
    made = attempt().renewed(Renew(because="the lease was running out"))
    again = step(made, permit="granted", lease_left_s=0.0)
    assert again == Renew(because="the lease had run out", is_waiting=True)


# ------------------------------------------------------------------ the end of a call


@pytest.mark.parametrize("permit", ["none", "queued", "granted"])
def test_a_command_that_waited_gives_way_to_the_end_of_a_call(permit: str) -> None:
    assert step(attempt("dial"), permit=permit, end_requested=True) == GiveWay()
    for operation in ("hangup", "reject"):
        given = step(attempt(operation), permit=permit, end_requested=True)
        assert not isinstance(given, GiveWay)


# ------------------------------------------------------------------ 45 s


@pytest.mark.parametrize(
    ("permit", "detail"),
    [
        ("none", "45 s have passed"),
        ("granted", "45 s have passed"),
        ("queued", "it gets no permit within 45 s"),
    ],
)
def test_after_45_s_it_is_given_up(permit: str, detail: str) -> None:
    failed = failure_of(attempt(), DEADLINE_S, permit=permit)
    assert (failed.reason, failed.maybe_performed, failed.attempts) == ("deadline", False, 0)
    assert failed.detail == f"{detail}; nothing was sent"


# ------------------------------------------------------------------ what a failure says


@pytest.mark.parametrize(
    ("outcomes", "by_others", "maybe_performed", "said"),
    [
        ([], 0, False, "nothing was sent"),
        ([BUSY], 0, False, "1 attempt without effect; last: 429 10011"),
        ([UNREACHED, BUSY], 0, False, "2 attempts without effect; last: 429 10011"),
        ([LOST], 0, True, "1 attempt, which may have been performed; last: ReadTimeout"),
        ([LOST, BUSY], 0, True, "2 attempts, which may have been performed; last: 429 10011"),
        ([], 1, True, "at most 1 attempt, which may have been performed"),
        ([BUSY], 2, True, "at most 3 attempts, which may have been performed; last: 429 10011"),
    ],
)
def test_a_failure_never_claims_more_than_is_known(
    outcomes: list[Outcome], by_others: int, maybe_performed: bool, said: str
) -> None:
    failed = failure_of(attempt("speak", *outcomes, by_others=by_others), leg_ended=True)
    assert failed.detail == f"the call has ended; {said}"
    assert failed.maybe_performed == maybe_performed
    assert failed.attempts == by_others + len(outcomes)
