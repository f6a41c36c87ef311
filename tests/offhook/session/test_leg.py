"""What a leg keeps of its events, whatever order they come in: hold, queue, keys, cost and more."""

from datetime import datetime, timedelta
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest

from offhook.carrier_events import BY_TYPE
from offhook.events import CallEvent
from offhook.session.leg import Leg, Media
from offhook.session.leg_fold import DTMF_MAX, leg_after
from tests.example_events import AT, example_event

STORED = AT + timedelta(hours=1)


def event(event_type: str, second: int = 0, **told: Any) -> CallEvent:
    told = {"event_id": f"{event_type}-{second}", **told}
    return example_event(event_type, second=second, **told)


def leg_of(*events: CallEvent) -> Leg:
    """The leg, which is the same in every order of up to five events."""
    orders = permutations(events) if len(events) <= 5 else [events, events[::-1]]
    legs = []
    for order in orders:
        leg = Leg(call_control_id="v3:example")
        for each in order:
            leg = leg_after(leg, each, STORED, 1)
        legs.append(leg)
    assert all(leg == legs[0] for leg in legs)
    return legs[0]


def at(second: int) -> datetime:
    return AT + timedelta(seconds=second)


HANGUP = event("call.hangup", 90, end_time=at(90))


def test_a_leg_is_held_until_it_is_not_or_ends() -> None:
    hold, unhold, again = event("call.hold", 1), event("call.unhold", 5), event("call.hold", 9)
    assert (leg_of(hold).is_held, leg_of(hold).held_since) == (True, at(1))
    assert (leg_of(hold, unhold).is_held, leg_of(hold, unhold).held_since) == (False, None)
    assert leg_of(hold, unhold, again).held_since == at(9)
    assert leg_of(hold, HANGUP).held_since is None


def test_a_leg_waits_in_a_queue_until_it_is_taken_out() -> None:
    came = event("call.enqueued", 3, queue="support", current_position=2)
    leg = leg_of(came)
    assert (leg.is_queued, leg.queue, leg.queue_wait_s) == (True, "support", None)
    assert leg.enqueued is not None
    assert (leg.enqueued.occurred_at, leg.enqueued.current_position) == (at(3), 2)
    left = event("call.dequeued", 20, queue="support", wait_time_secs=16, reason="bridged")
    leg = leg_of(came, left)
    assert (leg.is_queued, leg.queue, leg.queue_wait_s) == (False, "support", 16.0)
    assert leg.dequeued is not None
    assert (leg.dequeued.occurred_at, leg.dequeued.reason) == (at(20), "bridged")
    back = event("call.enqueued", 30, queue="sales")
    leg = leg_of(came, left, back)
    assert (leg.is_queued, leg.queue, leg.queue_wait_s) == (True, "sales", None)


def test_the_wait_is_counted_where_the_carrier_does_not_tell_it() -> None:
    left = event("call.dequeued", 20, wait_time_secs=None)
    assert leg_of(event("call.enqueued", 3), left).queue_wait_s == 17.0
    assert leg_of(event("call.enqueued", 3), event("call.dequeued", 1)).is_queued
    assert leg_of(left).queue_wait_s is None
    assert leg_of(left).queue == "queue"


@pytest.mark.parametrize(("told", "wait_s"), [(10**400, 1e9), (-(10**400), 0.0), (0, 0.0)])
def test_a_wait_is_a_number_of_seconds_whatever_is_told(told: int, wait_s: float) -> None:
    assert leg_of(event("call.dequeued", wait_time_secs=told)).queue_wait_s == wait_s


def test_a_leg_that_ended_waits_no_longer() -> None:
    leg = leg_of(event("call.enqueued", 3), HANGUP)
    assert (leg.is_queued, leg.dequeued) == (False, None)


def test_a_leg_moves_from_conference_to_conference() -> None:
    joined, left = "conference.participant.joined", "conference.participant.left"
    first, gone = event(joined, 1, conference_id="a"), event(left, 6, conference_id="a")
    second = event(joined, 5, conference_id="b")
    assert (leg_of(first).conference_id, leg_of(first).is_in_conference) == ("a", True)
    assert (leg_of(first, gone).conference_id, leg_of(first, gone).is_in_conference) == ("a", False)
    moved = leg_of(first, second, gone)
    assert (moved.conference_id, moved.is_in_conference) == ("b", True)
    assert not leg_of(first, HANGUP).is_in_conference
    assert leg_of(HANGUP).conference_id is None


@pytest.mark.parametrize("premium", ["", "premium."])
def test_machine_detection_has_a_result_and_a_greeting(premium: str) -> None:
    leg = leg_of(
        event(f"call.machine.{premium}detection.ended", 1, result="machine"),
        event(f"call.machine.{premium}greeting.ended", 4, result="beep_detected"),
    )
    assert (leg.machine_detection, leg.machine_greeting) == ("machine", "beep_detected")
    assert leg_of(HANGUP).machine_detection is None


def test_the_last_gather_counts() -> None:
    first = event("call.gather.ended", 1, digits="12", status="valid")
    second = event("call.gather.ended", 9, digits="", status="timeout")
    gathered = leg_of(first, second).gathered
    assert gathered is not None
    assert (gathered.status, getattr(gathered, "digits", None)) == ("timeout", "")
    by_assistant = leg_of(first, event("call.ai_gather.ended", 5, result={"age": 7})).gathered
    assert by_assistant is not None
    assert getattr(by_assistant, "result", None) == {"age": 7}


def test_keys_are_in_the_order_they_were_pressed() -> None:
    pressed = [event("call.dtmf.received", second, digit=str(second)) for second in range(5)]
    assert leg_of(*pressed).dtmf == "01234"
    assert leg_of(*pressed[:3], *pressed[:2]).dtmf == "012"
    assert leg_of(event("call.dtmf.received", digit=None)).dtmf == ""


def test_only_the_last_keys_are_kept() -> None:
    pressed = [
        event("call.dtmf.received", second, digit="#" if second == 0 else "5")
        for second in range(DTMF_MAX + 1)
    ]
    assert leg_of(*pressed).dtmf == "5" * DTMF_MAX


@pytest.mark.parametrize("end", ["completed", "failed"])
def test_a_refer_goes_on_to_its_end(end: str) -> None:
    started = event("call.refer.started", 1, sip_notify_response=None)
    ended = event(f"call.refer.{end}", 2, sip_notify_response=200)
    assert getattr(leg_of(started).refer, "event_type", None) == "call.refer.started"
    refer = leg_of(started, ended).refer
    assert refer is not None
    assert (refer.event_type, refer.sip_notify_response) == (f"call.refer.{end}", 200)


@pytest.mark.parametrize(
    ("media", "started", "ended"),
    [
        ("speak", "call.speak.started", "call.speak.ended"),
        ("speak", "conference.participant.speak.started", "conference.participant.speak.ended"),
        ("playback", "call.playback.started", "call.playback.ended"),
        ("streaming", "streaming.started", "streaming.stopped"),
        ("streaming", "streaming.started", "streaming.failed"),
        ("fork", "call.fork.started", "call.fork.stopped"),
        ("siprec", "siprec.started", "siprec.stopped"),
        ("siprec", "siprec.started", "siprec.failed"),
    ],
)
def test_media_go_on_until_they_end_or_the_leg_does(media: Media, started: str, ended: str) -> None:
    assert leg_of(event(started, 1)).is_on(media)
    assert not leg_of(event(started, 1), event(ended, 2)).is_on(media)
    assert leg_of(event(started, 1), event(ended, 2), event(started, 3)).is_on(media)
    assert not leg_of(event(started, 1), HANGUP).is_on(media)
    assert not leg_of(HANGUP).is_on(media)


def test_what_comes_after_the_hangup_still_lands() -> None:
    leg = leg_of(
        HANGUP,
        event("call.cost", 95, total_cost="0.0070", cost_parts=[{"currency": "USD"}] * 2),
        event("call.recording.error", 96, reason="Internal server error"),
        event("call.recording.transcription.saved", 97),
    )
    assert (leg.state, leg.cost_total, leg.currency) == ("ended", Decimal("0.0070"), "USD")
    assert leg.recording_error == "Internal server error"
    assert leg.transcribed_at == at(97)


@pytest.mark.parametrize("total", [None, "", "free", "NaN", "1e999999", "٣", "1_0", "1" * 13])
def test_a_cost_that_is_no_amount_is_no_cost(total: str | None) -> None:
    leg = leg_of(event("call.cost", total_cost=total, cost_parts=None))
    assert (leg.cost_total, leg.currency) == (None, None)
    assert leg.cost is not None


@pytest.mark.parametrize(
    "parts",
    [[], [{}], [{"currency": "USD"}, {"currency": "EUR"}], [{"currency": 7}], [{"currency": []}]],
)
def test_parts_without_one_currency_have_none(parts: list[dict[str, Any]]) -> None:
    assert leg_of(event("call.cost", cost_parts=parts)).currency is None


def test_the_first_transcription_counts() -> None:
    said = [event("call.transcription", second) for second in (4, 2, 3)]
    assert leg_of(*said).transcribed_at == at(2)


@pytest.mark.parametrize("event_type", BY_TYPE)
def test_any_event_tells_its_legs_ids(event_type: str) -> None:
    leg = leg_of(event(event_type))
    assert (leg.call_leg_id, leg.connection_id) == ("call_leg_id", "connection_id")
    assert leg.client_state == "client_state"
    assert leg.from_ == ("from" if hasattr(BY_TYPE[event_type], "from_") else None)


def test_the_start_of_a_recording_is_not_the_start_of_the_leg() -> None:
    for event_type in ("call.recording.saved", "recording_saved"):
        leg = leg_of(event(event_type, start_time=at(40)))
        assert (leg.start_time, leg.state) == (None, "unseen")


def test_events_are_kept_without_their_payload() -> None:
    leg = leg_of(event("call.gather.ended", payload={"digits": "1", "more": "x" * 1000}))
    assert leg.gathered is not None
    assert leg.gathered.payload == {}
