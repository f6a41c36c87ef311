"""Conferences that dials join."""

from offhook.commands import (
    Hangup,
)
from tests.simulator.calls import Calls, news


def test_dials_into_one_conference_meet_and_it_ends_with_its_host() -> None:
    calls = Calls()
    host = calls.dial(
        conference_config={"conference_name": "standup", "end_conference_on_exit": True}
    )
    guest = calls.dial(conference_config={"conference_name": "standup"})
    calls.wait(1)
    assert news(calls, host) == ["conference.created", "conference.participant.joined"]
    assert news(calls, guest) == ["conference.participant.joined"]
    seat = calls.legs[guest].seat
    assert seat is not None
    assert calls.payload(host, "conference.created")["conference_id"] == seat.conference_id
    calls.do(Hangup(), guest)
    assert news(calls, guest)[-2:] == ["call.hangup", "conference.participant.left"]


def test_the_last_to_leave_ends_a_conference() -> None:
    calls = Calls()
    leg = calls.dial(conference_config={"conference_name": "standup"})
    calls.wait(1)
    calls.do(Hangup(), leg)
    assert calls.payload(leg, "conference.ended")["reason"] == "all_left"
