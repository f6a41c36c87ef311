"""An attempt in any course of events: when it may be sent, and what is known of it."""

from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from offhook.events import CommandFailed, CommandSucceeded
from offhook.telnyx.outcomes import NoAnswer, Outcome
from offhook.workers.sending.attempt import (
    DEADLINE_S,
    PAUSE_MAX_S,
    WAITING_LEASE_S,
    Attempt,
    Done,
    GiveWay,
    Look,
    Queue,
    Renew,
    Seen,
    Send,
    Step,
    Wait,
    next_step,
)
from tests.workers.sending.attempts import (
    ACCEPTED,
    LEASE_S,
    LOST,
    NO,
    SEND_S,
    START,
    attempt,
    outcomes,
    seen,
    sent,
)

# ------------------------------------------------------------------ any course of events

OPERATIONS = ("hangup", "reject", "answer", "transfer", "dial", "siprec_start")
few_seconds = st.floats(0.0, 8.0)
STEPS_MAX = 150


class Course:
    """An attempt driven as the worker drives it, while whatever `data` draws happens around it."""

    def __init__(self, data: st.DataObject, made: Attempt) -> None:
        self.data = data
        self.made = made
        self.now = START + timedelta(seconds=data.draw(st.sampled_from([0.0, 20.0, 40.0])))
        self.lease_until = self.now + timedelta(seconds=data.draw(st.floats(0.0, LEASE_S)))
        self.recency: Any = "current"
        self.permit: Any = "none"
        self.leg_ended = self.end_requested = False
        self.sent: list[Outcome] = []
        self.steps: list[Step] = []

    def run(self) -> CommandSucceeded | CommandFailed | None:
        """The outcome; None if there is none after STEPS_MAX steps."""
        for _ in range(STEPS_MAX):
            left_s = (self.lease_until - self.now).total_seconds()
            closed_s = self.data.draw(st.sampled_from([0.0, 0.0, 3.0, 60.0]))
            around = Seen(
                leg_ended=self.leg_ended,
                recency=self.recency,
                lease_left_s=left_s,
                permit=self.permit,
                closed_s=closed_s,
                end_requested=self.end_requested,
            )
            before, taken = self.made, next_step(self.made, self.now, around)
            self.steps.append(taken)
            if isinstance(taken, Done):
                return taken.outcome
            if (outcome := self._take(taken, left_s)) is not None:
                return outcome
            assert self.made.command is before.command
        return None

    def _take(self, taken: Step, lease_left_s: float) -> CommandSucceeded | CommandFailed | None:
        draw = self.data.draw
        match taken:
            case Look(is_required=is_required):
                self.pass_by(draw(st.floats(0.0, 1.0)))
                self.leg_ended = self.leg_ended or draw(st.integers(0, 9)) == 0
                self.recency = (
                    "current" if is_required else draw(st.sampled_from(["current", "tried"]))
                )
                self.end_requested = self.recency == "current" and draw(st.integers(0, 9)) == 0
            case GiveWay():
                assert not self.made.ends_call
                self.pass_by(draw(few_seconds))
                self.made, self.recency, self.permit = self.made.overtaken(), "stale", "none"
                self.end_requested = False
            case Renew(is_waiting=is_waiting):
                lasts_s = WAITING_LEASE_S if is_waiting else LEASE_S
                self.lease_until = self.now + timedelta(seconds=lasts_s)
                self.pass_by(draw(few_seconds))
                self.made = self.made.renewed(taken)
            case Wait(seconds=seconds):
                assert 0 < seconds <= PAUSE_MAX_S
                self.pass_by(seconds)
                self.made, self.recency = self.made.paused(), "stale"
            case Queue(within_s=within_s):
                assert 0 <= within_s <= self.made.left_s(self.now)
                self._queue(within_s)
            case Send(repeated=repeated):
                return self._send(repeated, lease_left_s)
        return None

    def _queue(self, within_s: float) -> None:
        if self.permit == "none":
            self.permit = self.data.draw(st.sampled_from(["granted", "granted", "queued", "full"]))
            self.recency = self.recency if self.permit == "granted" else "stale"
            return
        self.pass_by(self.data.draw(st.sampled_from([within_s, within_s / 2, 0.0])))
        self.permit = self.data.draw(st.sampled_from(["granted", "queued"]))
        self.recency = "stale"

    def _send(self, repeated: bool, lease_left_s: float) -> CommandSucceeded | CommandFailed | None:
        assert self.made.left_s(self.now) > 0, "never after 45 s"
        assert not self.leg_ended, "never to a leg that is known to have ended"
        assert self.recency == "current", "never after a wait without a look"
        assert self.permit == "granted"
        last = self.made.by_others > 0 or any(
            isinstance(each, NoAnswer) and each.maybe_taken for each in self.sent
        )
        assert repeated == last, "a repetition once a send may have reached the carrier"
        assert not (repeated and self.made.command.operation == "siprec_start")
        renewed = isinstance(self.steps[-2], Renew) if len(self.steps) > 1 else False
        assert renewed or lease_left_s >= SEND_S, "the lease outlasts the send"
        assert lease_left_s > 0, "never without a lease"
        assert renewed or not self.sent, "a repetition is recorded before it is sent"
        outcome = self.data.draw(outcomes)
        self.pass_by(self.data.draw(st.floats(0.0, SEND_S)))
        self.sent.append(outcome)
        self.permit, self.recency = "none", "stale"
        after = self.made.sent(outcome, lambda: self.data.draw(st.floats(0.0, 1.0)))
        if isinstance(after, Done):
            return after.outcome
        assert after.sends == self.made.sends + 1
        self.made = after
        return None

    def pass_by(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@given(st.data(), st.sampled_from(OPERATIONS), st.integers(0, 2))
def test_whatever_happens_it_is_sent_only_when_it_may_be_and_says_what_is_known(
    data: st.DataObject, operation: str, by_others: int
) -> None:
    course = Course(data, attempt(operation, by_others=by_others))
    outcome = course.run()
    sends = sum(isinstance(each, Send) for each in course.steps)
    assert sends == len(course.sent)
    if outcome is None:
        return
    assert outcome.command_id == "c-1"
    assert outcome.attempts == by_others + sends
    maybe = by_others > 0 or any(
        isinstance(each, NoAnswer) and each.maybe_taken for each in course.sent
    )
    last = course.sent[-1] if course.sent else None
    if isinstance(outcome, CommandFailed):
        if last != NO:
            assert outcome.maybe_performed == maybe
        assert ("nothing was sent" in outcome.detail) == (by_others + sends == 0)
    else:
        is_end_of_ended = operation in ("hangup", "reject") and course.leg_ended
        assert last == ACCEPTED or is_end_of_ended


@given(st.data(), st.sampled_from(OPERATIONS))
def test_a_carrier_that_never_answers_is_given_up_within_the_deadline(
    data: st.DataObject, operation: str
) -> None:
    made, now = attempt(operation), START
    while not isinstance(
        taken := next_step(made, now, seen(permit="granted" if not made.pause_s else "none")), Done
    ):
        if isinstance(taken, Wait):
            made, now = made.paused(), now + timedelta(seconds=taken.seconds)
        elif isinstance(taken, Renew):
            made = made.renewed(taken)
        else:
            assert isinstance(taken, Send)
            now += timedelta(seconds=data.draw(st.floats(0.0, SEND_S)))
            made = sent(made, LOST)
    assert isinstance(taken.outcome, CommandFailed)
    assert taken.outcome.reason == "deadline"
    assert now < START + timedelta(seconds=DEADLINE_S + SEND_S)
    assert made.sends <= 40
