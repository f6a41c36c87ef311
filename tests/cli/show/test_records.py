"""Records of a session as `offhook show` prints them, each with the session after it."""

import re
from dataclasses import replace
from datetime import timedelta

from offhook.events import (
    IssuedCommand,
    SessionParked,
    SessionResumed,
    TimerCancelled,
    TimerFired,
    TimerOrder,
    TimerSet,
)
from offhook.position import position_of
from offhook.session.inserted import reason_of_hangup
from tests.cli.show.printing import decision, printed, records_of, shown
from tests.example_events import example_event
from tests.projections.story import NOON, call, events_of, fact, request_of, webhook

PARKED = SessionParked(cause_seq=1, error="flow frontdesk 7: ValueError: no [x]", attempts=5)

PRINTED = """\
session s: 16 records, ended
The flow frontdesk 7 raised an error on call.initiated in each of 5 attempts: ValueError: no [x]. An
operator has resumed the session since.
The command hangup failed: the carrier refused it (HTTP 422, 90015).
The caller +12025550100 hung up 57 s after the answer (normal_clearing, SIP 200 OK, ended by the
caller).
L1  v3:s
L2  v3:s-2
 seq  2026-11-22                  times are UTC, + since the first record
 0:1  12:00:01.123   +0.000  in   call.initiated  L1 incoming, +12025550100 → +12025550101, 1 s
                                  after it occurred
                                  ▸active · ▸L1 initiated
 0:2  12:00:02.123   +1.000  out  Decided  on 0:1 by frontdesk 7: answer L1, hangup L1
                                  active · L1 initiated · ▸answer L1 pending · ▸hangup L1 pending
 0:3  12:00:03.123   +2.000  out  CommandAttempted  answer L1, attempt 2: 503
                                  active · L1 initiated · answer L1 pending · hangup L1 pending
 0:4  12:00:04.123   +3.000  in   call.answered  L1, 1 s after it occurred
                                  active · ▸L1 answered · answer L1 pending · hangup L1 pending
 0:5  12:00:05.123   +4.000  in   call.initiated  L2 outgoing, +12025550100 → +12025550101, 1 s
                                  after it occurred
                                  active · L1 answered · ▸L2 initiated · answer L1 pending · hangup
                                  L1 pending
 0:6  12:00:06.123   +5.000  in   call.answered  L2
                                  active · L1 answered · ▸L2 answered · answer L1 pending · hangup
                                  L1 pending
 0:7  12:00:07.123   +6.000  in   call.bridged  L1
                                  active · ▸L1 bridged · L2 answered · answer L1 pending · hangup L1
                                  pending
 0:8  12:00:08.123   +7.000  out  CommandSucceeded  answer L1, HTTP 200, in 6 s
                                  active · L1 bridged · L2 answered · ▸answer L1 succeeded · hangup
                                  L1 pending
 0:9  12:00:09.123   +8.000  in   call.bridged  L2
                                  active · L1 bridged · ▸L2 bridged · hangup L1 pending · answer L1
                                  succeeded
0:10  12:00:10.123   +9.000  in   call.hangup  L1 normal_clearing, by caller, SIP 200
                                  active · ▸L1 ended · L2 bridged · hangup L1 pending · answer L1
                                  succeeded
0:11  12:00:11.123  +10.000  in   call.hangup  L2 normal_clearing, by caller, SIP 200
                                  ▸ended · L1 ended · ▸L2 ended · hangup L1 pending · answer L1
                                  succeeded
0:12  12:00:12.123  +11.000  in   call.recording.saved  L1
                                  ended · L1 ended · L2 ended · hangup L1 pending · answer L1
                                  succeeded
0:13  12:00:13.123  +12.000  out  CommandFailed  hangup L1, refused, HTTP 422, 90015, in 11 s
                                  ended · L1 ended · L2 ended · ▸hangup L1 failed · answer L1
                                  succeeded
0:14  12:00:14.123  +13.000  in   CommandRequested  dial +12025550102 by tests
                                  ended · L1 ended · L2 ended · ▸dial requested · answer L1
                                  succeeded · hangup L1 failed
0:15  12:00:15.123  +14.000  out  SessionParked  on 0:1 after 5 attempts: flow frontdesk 7:
                                  ValueError: no [x]
                                  ▸ended, parked · L1 ended · L2 ended · dial requested · answer L1
                                  succeeded · hangup L1 failed
0:16  12:00:16.123  +15.000  in   SessionResumed  by cli:root
                                  ▸ended · L1 ended · L2 ended · dial requested · answer L1
                                  succeeded · hangup L1 failed
"""


def test_each_record_is_printed_with_the_session_after_it() -> None:
    entries = [
        *call("s"),
        fact("s", request_of("s"), "in"),
        fact("s", PARKED),
        fact("s", SessionResumed(resumed_by="cli:root"), "in"),
    ]
    assert printed(entries, width=100) == PRINTED
    assert all(len(line) <= 80 for line in printed(entries, width=80).splitlines())


def test_a_call_whose_hangup_was_lost_has_ended_once_it_must_have() -> None:
    entries = call("s")[:6]
    shown = printed(entries).splitlines()
    assert shown[0] == "session s: 6 records, active"
    shown = printed(entries, now=NOON + timedelta(days=2)).splitlines()
    assert shown[0] == "session s: 6 records, ended (no hangup)"


def test_a_timer_is_shown_from_its_decision_to_its_end() -> None:
    order = TimerOrder(timer_id="1-0", name="menu", after_s=5)
    again = TimerOrder(timer_id="2-0", name="menu", after_s=8)
    due_at = NOON + timedelta(seconds=6)
    entries = [
        fact("s", decision(timers=(order,))),
        fact("s", TimerSet(timer_id="1-0", name="menu", due_at=due_at)),
        fact("s", decision(cause_seq=2, timers=(replace(order, after_s=None), again))),
        fact("s", TimerCancelled(timer_id="1-0", name="menu")),
        fact("s", TimerFired(timer_id="2-0", name="menu", due_at=due_at)),
    ]
    said = [line.strip() for line in printed(entries, width=100).splitlines()[3:]]
    assert said == [
        "0:1  12:00:01.123  +0.000  out  Decided  on 0:1 by frontdesk 7: timer menu in 5 s",
        "empty · ▸timer menu set",
        "0:2  12:00:02.123  +1.000  out  TimerSet  menu, due 12:00:06.123",
        "empty · timer menu set",
        "0:3  12:00:03.123  +2.000  out  Decided  on 0:2 by frontdesk 7: cancel timer menu, timer "
        "menu in 8 s",
        "empty · ▸timer menu set",
        "0:4  12:00:04.123  +3.000  out  TimerCancelled  menu",
        "empty · timer menu set",
        "0:5  12:00:05.123  +4.000  out  TimerFired  menu",
        "empty",
    ]


def test_a_decision_shows_its_warnings() -> None:
    warning = "speak: the incoming call was not answered yet (90034)"
    shown = printed([fact("s", decision(warnings=(warning,)))])
    assert f"nothing; warning: {warning}" in shown


def test_a_hangup_that_offhook_added_has_its_name() -> None:
    hangup = IssuedCommand(
        command_id="h-1", operation="hangup", call_control_id="leg", parameters={}
    )
    decided = decision(hangup, warnings=(reason_of_hangup("d"),))
    shown = printed([fact("s", decided)])
    assert "(by unwanted-leg); warning: hangup: the leg's dial (d) has failed" in shown


def test_of_many_settled_commands_only_the_number_is_told() -> None:
    entries = [entry for _ in range(6) for entry in call("s")]
    for number, entry in enumerate(entries):
        body = entry.encoded.body.replace(b"s-answer", f"s-answer-{number // 13}".encode())
        entries[number] = replace(entry, encoded=replace(entry.encoded, body=body))
    lines = printed(entries, width=100).splitlines()
    assert any("commands settled before" in line for line in lines)
    assert any("answer L1 #6 succeeded" in line for line in lines)


def test_the_last_records_are_printed_as_they_are_among_all() -> None:
    entries = [*call("s"), fact("s", request_of("s"), "in"), fact("s", PARKED)]
    everything = printed(entries, width=100).splitlines()
    shown = printed(entries, width=100, last=2).splitlines()
    assert shown[0] == "session s: 15 records, ended, parked; the last 2"
    day = next(at for at, line in enumerate(shown) if line.lstrip().startswith("seq "))
    assert shown[1 : day + 1] == everything[1 : day + 1]
    assert shown[day + 1 :] == everything[-len(shown[day + 1 :]) :]
    assert shown[day + 1].startswith("0:14  12:00:14.123  +13.000  in   CommandRequested  dial ")
    assert printed(entries, width=100, last=99).splitlines() == everything


def test_what_an_event_is_about_is_told_in_a_word_and_how_the_leg_is() -> None:
    entries = [
        webhook("s", replace(event, occurred_at=None))
        for event in (
            example_event("call.hold"),
            example_event("call.enqueued", queue="support"),
            example_event("conference.participant.joined", conference_id="c"),
            example_event("call.dtmf.received", digit="5"),
            example_event("call.gather.ended", digits="5", status="valid"),
        )
    ]
    lines = [line.strip() for line in printed(entries, width=100).splitlines()]
    state = "L1 unseen, held, in queue support, in conference c"
    assert [line.partition("  in   ")[2] or line for line in lines[4:]] == [
        "call.hold  L1",
        "▸active · ▸L1 unseen, held",
        "call.enqueued  L1 support",
        "active · ▸L1 unseen, held, in queue support",
        "conference.participant.joined  L1 c",
        f"active · ▸{state}",
        "call.dtmf.received  L1 5",
        f"active · {state}",
        "call.gather.ended  L1 5, valid",
        f"active · {state}",
    ]


def test_positions_are_printed_as_partition_and_sequence() -> None:
    # A log that was moved to several partitions has causes that are sequences.
    moved = [replace(each, seq=position_of(3, each.seq)) for each in records_of(call("s")[:2])]
    lines = shown(moved)
    assert re.findall(r"^ *(\S+)  \d\d:", lines, re.MULTILINE) == ["3:1", "3:2"]
    assert "on 3:1 by frontdesk 7" in lines


def test_an_id_is_never_broken_over_two_lines() -> None:
    leg = "v3:" + "x" * 90
    event = replace(events_of("s")[0], call_control_id=leg)
    assert f"L1  {leg}" in printed([webhook("s", event)]).splitlines()
