"""A leg's visits to queues, whatever order its events come in, and whichever of them are lost."""

from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.carrier_events import CallDequeued, CallEnqueued
from offhook.session import queue_visits
from offhook.session.queue_visits import QueueEvent, QueueVisit, queue_events_after, visits_of
from tests.example_events import AT

QueueWebhook = CallEnqueued | CallDequeued


def entered(second: int, queue: str | None = "support", **more: Any) -> CallEnqueued:
    at = AT + timedelta(seconds=second)
    return CallEnqueued(event_id=f"in-{second}", occurred_at=at, queue=queue, **more)


def left(second: int, queue: str | None = "support", **more: Any) -> CallDequeued:
    at = AT + timedelta(seconds=second)
    return CallDequeued(event_id=f"out-{second}", occurred_at=at, queue=queue, **more)


def kept(*numbered: tuple[int, QueueWebhook]) -> tuple[QueueEvent, ...]:
    """What is kept of the events, each with the sequence of its record."""
    events: tuple[QueueEvent, ...] = ()
    for seq, event in numbered:
        events = queue_events_after(events, event, seq, AT + timedelta(seconds=seq))
    return events


def visits(*events: QueueWebhook) -> list[QueueVisit]:
    """The visits, which are the same in every order of the records."""
    numbered = list(enumerate(events, start=1))
    found = [visits_of(kept(*order)) for order in permutations(numbered)]
    assert all(each == found[0] for each in found)
    return found[0]


def told(visit: QueueVisit) -> tuple[bool, bool, str | None, int]:
    return visit.enqueued is not None, visit.dequeued is not None, visit.queue, visit.first_seq


def test_a_leg_that_comes_back_has_two_visits() -> None:
    first, second = visits(entered(1), left(8, reason="leave", wait_time_secs=7), entered(20))
    assert told(first) == (True, True, "support", 1)
    assert (first.wait_s, first.dequeued and first.dequeued.reason) == (7.0, "leave")
    assert told(second) == (True, False, "support", 3)
    assert second.wait_s is None


def test_a_visit_is_known_from_either_of_its_events() -> None:
    # The call.dequeued of the first was lost, and the call.enqueued of the third.
    found = visits(entered(1), entered(10), left(15), left(30, "sales", wait_time_secs=4))
    assert [told(each) for each in found] == [
        (True, False, "support", 1),
        (True, True, "support", 2),
        (False, True, "sales", 4),
    ]
    assert [each.wait_s for each in found] == [None, 5.0, 4.0]


def test_an_event_of_another_queue_does_not_end_a_visit() -> None:
    found = visits(entered(1, "support"), left(9, "sales"))
    assert [told(each) for each in found] == [
        (True, False, "support", 1),
        (False, True, "sales", 2),
    ]


def test_an_event_without_a_queue_ends_the_visit_at_hand() -> None:
    [visit] = visits(entered(1), left(9, None))
    assert told(visit) == (True, True, "support", 1)


def test_of_a_repeated_event_the_first_record_counts() -> None:
    events = kept((5, entered(1)), (3, entered(1)), (9, entered(1)))
    assert [each.seq for each in events] == [3]


def test_the_payload_is_not_kept() -> None:
    [event] = kept((1, entered(1, payload={"queue": "support"})))
    assert event.event.payload == {}


webhooks = st.lists(
    st.tuples(
        st.sampled_from([entered, left]),
        st.integers(0, 12),
        st.sampled_from(["support", "sales", None]),
    ).map(lambda drawn: drawn[0](drawn[1], drawn[2])),
    max_size=14,
    unique_by=lambda event: event.event_id,
)


@given(webhooks, st.randoms(use_true_random=False))
def test_order_and_repetition_change_nothing(events: list[QueueWebhook], chance: Any) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(queue_visits, "QUEUE_VISITS_MAX", 3)
        patched.setattr(queue_visits, "_EVENTS_MAX", 6)
        numbered = list(enumerate(events, start=1))
        shuffled = chance.sample([*numbered, *numbered], 2 * len(numbered))
        assert kept(*shuffled) == kept(*numbered)
        assert len(kept(*numbered)) <= 6
        assert len(visits_of(kept(*numbered))) <= 3


@given(webhooks)
def test_one_more_event_never_takes_a_visit_away(events: list[QueueWebhook]) -> None:
    """Rows are written once, and not removed: the key of a visit is its number."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(queue_visits, "QUEUE_VISITS_MAX", 3)
        patched.setattr(queue_visits, "_EVENTS_MAX", 6)
        held: tuple[QueueEvent, ...] = ()
        count = 0
        for seq, event in enumerate(events, start=1):
            held = queue_events_after(held, event, seq, AT)
            found = visits_of(held)
            assert len(found) >= count
            count = len(found)
            assert len({each.first_seq for each in found}) == count


@given(webhooks)
def test_every_event_is_of_one_visit(events: list[QueueWebhook]) -> None:
    found = visits_of(kept(*enumerate(events, start=1)))
    seen = [
        event.event_id
        for visit in found
        for event in (visit.enqueued, visit.dequeued)
        if event is not None
    ]
    assert sorted(seen) == sorted(each.event_id for each in events)
