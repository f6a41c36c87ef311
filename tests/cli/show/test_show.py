"""`offhook show`: what it prints of a known session, and that it reads it from the log."""

import dataclasses
import json
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from rich.console import Console

from offhook.cli.embedded.nats_server import NatsServer
from offhook.cli.show.text import session_text
from offhook.codec.facts import decode, fact_id_of
from offhook.events import (
    Decided,
    IssuedCommand,
    Record,
    SessionParked,
    SessionResumed,
    TimerCancelled,
    TimerFired,
    TimerOrder,
    TimerSet,
)
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.provisioning.provision import provision
from offhook.position import position_of
from offhook.session.inserted import reason_of_hangup
from offhook.settings import Settings, environment_from
from tests import forked
from tests.example_events import example_event
from tests.projections.story import (
    NOON,
    Entry,
    call,
    dial_of,
    events_of,
    fact,
    publish,
    request_of,
    webhook,
)

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


@pytest.fixture
def own_nats() -> Iterator[NatsServer]:
    with NatsServer() as server:
        yield server


def test_each_record_is_printed_with_the_session_after_it() -> None:
    entries = [
        *call("s"),
        fact("s", request_of("s"), "in"),
        fact("s", PARKED),
        fact("s", SessionResumed(resumed_by="cli:root"), "in"),
    ]
    assert _printed("s", entries, width=100) == PRINTED
    assert all(len(line) <= 80 for line in _printed("s", entries, width=80).splitlines())


def test_a_call_whose_hangup_was_lost_has_ended_once_it_must_have() -> None:
    entries = call("s")[:6]
    printed = _printed("s", entries, width=200)
    assert printed.splitlines()[0] == "session s: 6 records, active"
    printed = _printed("s", entries, width=200, now=NOON + timedelta(days=2))
    assert printed.splitlines()[0] == "session s: 6 records, ended (no hangup)"


def test_a_timer_is_shown_from_its_decision_to_its_end() -> None:
    def decided(cause_seq: int, *timers: TimerOrder) -> Decided:
        return Decided(
            cause_seq=cause_seq,
            cause_id="e",
            flow="frontdesk",
            flow_version="7",
            worker="w",
            lease_s=3,
            timers=timers,
        )

    order = TimerOrder(timer_id="1-0", name="menu", after_s=5)
    again = TimerOrder(timer_id="2-0", name="menu", after_s=8)
    due_at = NOON + timedelta(seconds=6)
    entries = [
        fact("s", decided(1, order)),
        fact("s", TimerSet(timer_id="1-0", name="menu", due_at=due_at)),
        fact("s", decided(2, dataclasses.replace(order, after_s=None), again)),
        fact("s", TimerCancelled(timer_id="1-0", name="menu")),
        fact("s", TimerFired(timer_id="2-0", name="menu", due_at=due_at)),
    ]
    said = [line.strip() for line in _printed("s", entries, width=100).splitlines()[3:]]
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
    decided = Decided(
        cause_seq=1,
        cause_id="e",
        flow="frontdesk",
        flow_version="7",
        worker="w",
        lease_s=3,
        warnings=("speak: the incoming call was not answered yet (90034)",),
    )
    printed = _printed("s", [fact("s", decided)], width=140)
    assert "nothing; warning: speak: the incoming call was not answered yet (90034)" in printed


def test_a_hangup_that_offhook_added_has_its_name() -> None:
    hangup = IssuedCommand(
        command_id="h-1", operation="hangup", call_control_id="leg", parameters={}
    )
    decided = Decided(
        cause_seq=1,
        cause_id="e",
        flow="frontdesk",
        flow_version="7",
        worker="w",
        lease_s=3,
        commands=(hangup,),
        warnings=(reason_of_hangup("d"),),
    )
    printed = _printed("s", [fact("s", decided)], width=140)
    assert "(by unwanted-leg); warning: hangup: the leg's dial (d) has failed" in printed


def test_of_many_settled_commands_only_the_number_is_told() -> None:
    entries = [entry for _ in range(6) for entry in call("s")]
    for number, entry in enumerate(entries):
        body = entry.encoded.body.replace(b"s-answer", f"s-answer-{number // 13}".encode())
        entries[number] = _with_body(entry, body)
    lines = _printed("s", entries, width=100).splitlines()
    assert any("commands settled before" in line for line in lines)
    assert any("answer L1 #6 succeeded" in line for line in lines)


def test_the_last_records_are_printed_as_they_are_among_all() -> None:
    entries = [*call("s"), fact("s", request_of("s"), "in"), fact("s", PARKED)]
    everything = _printed("s", entries, width=100).splitlines()
    printed = _printed("s", entries, width=100, last=2).splitlines()
    assert printed[0] == "session s: 15 records, ended, parked; the last 2"
    day = next(at for at, line in enumerate(printed) if line.lstrip().startswith("seq "))
    assert printed[1 : day + 1] == everything[1 : day + 1]
    assert printed[day + 1 :] == everything[-len(printed[day + 1 :]) :]
    assert printed[day + 1].startswith("0:14  12:00:14.123  +13.000  in   CommandRequested  dial ")
    assert _printed("s", entries, width=100, last=99).splitlines() == everything


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
    lines = [line.strip() for line in _printed("s", entries, width=100).splitlines()]
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


async def test_the_session_comes_from_the_log_alone(own_nats: NatsServer) -> None:
    client = await connect(own_nats.url, "test")
    await provision(client, [own_nats.monitor_url])
    secret = {"sip_auth_password": "hunter2"}
    dial = request_of("s").command
    dial = IssuedCommand(command_id=dial.command_id, operation="dial", parameters=secret)
    asked = fact("s", type(request_of("s"))(command=dial), "in")
    await publish(JetStreamLog(client), [*call("s"), asked])
    await close(client)

    shown = _show(own_nats, "s")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith(
        "session s: 14 records, ended\n"
        "The command hangup failed: the carrier refused it (HTTP 422, 90015).\n"
        "The caller +12025550100 hung up 57 s after the answer (normal_clearing, SIP 200 OK, "
        "ended by the caller).\n"
        "L1  v3:s\n"
        "L2  v3:s-2\n"
    )

    shown_text = shown.stdout
    shown = _show(own_nats, "s", "--json")
    assert "hunter2" not in shown.stdout
    found = json.loads(shown.stdout)
    assert found["session_id"] == "s"
    assert found["why"] == shown_text.splitlines()[1:3]
    assert found["links"] == []
    assert [record["elapsed_s"] for record in found["records"]] == sorted(
        record["elapsed_s"] for record in found["records"]
    )
    assert [record["seq"] for record in found["records"]] == list(range(1, 15))
    first, last = found["records"][0], found["records"][-1]
    assert (first["side"], first["type"]) == ("in", "WebhookReceived")
    assert first["fields"]["event_type"] == "call.initiated"
    assert [leg["state"] for leg in first["after"]["legs"]] == ["initiated"]
    assert [leg["state"] for leg in last["after"]["legs"]] == ["ended", "ended"]
    assert last["after"]["session"]["status"] == "ended"
    shown = _show(own_nats, "s", "--json", "--last", "2")
    assert json.loads(shown.stdout)["records"] == found["records"][-2:]
    statuses = [command["status"] for command in last["after"]["commands"]]
    assert statuses == ["succeeded", "failed", "requested"]


async def test_a_dial_and_the_call_it_placed_are_shown_together_by_either_id(
    own_nats: NatsServer,
) -> None:
    client = await connect(own_nats.url, "test")
    await provision(client, [own_nats.monitor_url])
    await publish(JetStreamLog(client), [*call("other"), *dial_of("asked", "placed")])
    await publish(JetStreamLog(client), [webhook("placed", events_of("placed")[0])])
    await close(client)

    shown = {session: _show(own_nats, session) for session in ("asked", "placed")}
    assert shown["asked"].stdout == shown["placed"].stdout
    lines = shown["asked"].stdout.splitlines()
    assert lines[0] == "session placed: 5 records, ended (no hangup)"
    assert "dialled by request asked" in lines
    kinds = ("CommandRequested", "Decided", "LegPlaced", "CommandSucceeded", "call.initiated")
    for kind in kinds:
        assert any(f"  {kind}  " in line for line in lines), kind
    placed = "LegPlaced  L1 outgoing, None → +12025550102, by dial in session asked"
    assert any(placed in line for line in lines)
    found = json.loads(_show(own_nats, "asked", "--json").stdout)
    assert found["session_id"] == "placed"
    assert found["links"] == [{"how": "requested", "session_id": "asked", "to": None}]
    sessions = [record["session_id"] for record in found["records"]]
    assert sessions == ["asked", "asked", "placed", "asked", "placed"]
    last = found["records"][-1]["after"]
    assert [leg["call_control_id"] for leg in last["legs"]] == ["v3:placed"]
    assert [command["status"] for command in last["commands"]] == ["succeeded"]


async def test_of_a_call_that_dialled_another_only_the_dial_is_shown_with_the_other(
    own_nats: NatsServer,
) -> None:
    client = await connect(own_nats.url, "test")
    await provision(client, [own_nats.monitor_url])
    # The dial is recorded among the commands of a call of its own.
    await publish(JetStreamLog(client), [*call("asked"), *dial_of("asked", "placed")])
    await close(client)
    placed = json.loads(_show(own_nats, "placed", "--json").stdout)
    types = [record["type"] for record in placed["records"]]
    assert types == ["CommandRequested", "Decided", "LegPlaced", "CommandSucceeded"]
    asked = json.loads(_show(own_nats, "asked", "--json").stdout)
    assert asked["session_id"] == "asked"
    assert len(asked["records"]) == len(call("asked")) + 3


async def test_a_session_is_shown_as_it_was_and_what_changed_since(own_nats: NatsServer) -> None:
    client = await connect(own_nats.url, "test")
    await provision(client, [own_nats.monitor_url])
    log = JetStreamLog(client)
    await publish(log, call("s"))
    records = await log.read("s")
    await close(client)
    whole = json.loads(_show(own_nats, "s", "--json").stdout)["records"]
    eighth = records[7]
    for moment in (str(eighth.seq), f"0:{eighth.seq}", eighth.stored_at.isoformat()):
        shown = json.loads(_show(own_nats, "s", "--as-of", moment, "--json").stdout)
        assert shown["records"] == whole[:8]
    text = _show(own_nats, "s", "--as-of", str(eighth.seq), "--last", "1").stdout
    assert text.startswith("session s: 8 records, ")
    assert len(re.findall(r"^ *0:\d+  \d\d:", text, re.MULTILINE)) == 1
    diff = _show(own_nats, "s", "--diff", str(records[3].seq), str(records[10].seq)).stdout
    lines = [line.strip() for line in diff.splitlines()]
    assert lines[0] == "session s"
    assert re.fullmatch(r"status +active → ended", lines[lines.index("session") + 1])
    assert "leg v3:s-2  new" in lines
    of_command = lines.index("command answer s-answer")
    assert re.fullmatch(r"status +pending → succeeded", lines[of_command + 1])
    assert "command hangup s-hangup" not in lines
    reversed_diff = _show(own_nats, "s", "--diff", str(records[10].seq), str(records[3].seq))
    assert reversed_diff.stdout == diff
    none = json.loads(_show(own_nats, "s", "--diff", "3", "3", "--json").stdout)
    assert none == {"session_id": "s", "changes": []}
    assert json.loads(_show(own_nats, "s", "--as-of", "0s", "--json").stdout)["records"] == whole
    for wrong in (("--as-of", "64:1"), ("--as-of", "0")):
        assert _show(own_nats, "s", *wrong).returncode != 0


def test_positions_are_printed_as_partition_and_sequence() -> None:
    first, decided = _records("s", call("s")[:2])
    # A log that was moved to several partitions has causes that are sequences.
    moved = [replace(each, seq=position_of(3, each.seq)) for each in (first, decided)]
    console = Console(width=200)
    with console.capture() as captured:
        console.print(session_text("s", moved, now=NOON))
    shown = captured.get()
    assert re.findall(r"^ *(\S+)  \d\d:", shown, re.MULTILINE) == ["3:1", "3:2"]
    assert "on 3:1 by frontdesk 7" in shown


def test_an_id_is_never_broken_over_two_lines() -> None:
    leg = "v3:" + "x" * 90
    event = replace(events_of("s")[0], call_control_id=leg)
    console = Console(width=40)
    with console.capture() as captured:
        records = [*_records("s", [webhook("s", event)])]
        console.print(session_text("s", records, now=NOON), crop=False)
    assert f"L1  {leg}" in captured.get().splitlines()


async def test_an_unknown_session_is_an_error(own_nats: NatsServer) -> None:
    client = await connect(own_nats.url, "test")
    await provision(client, [own_nats.monitor_url])
    await close(client)
    shown = _show(own_nats, "nobody")
    assert shown.returncode == 1
    assert shown.stdout == ""
    assert shown.stderr.startswith(
        "offhook: there is no record of session nobody in the log, and the archive cannot be read:"
    )
    assert "the start of an id, the API is needed to look it up: there is no tok" in shown.stderr
    for options in (("--as-of", "10:30"), ("--diff", "1", "10:30")):
        shown = _show(own_nats, "nobody", *options)
        assert shown.returncode == 1
        assert "10:30 is a position in partition 10; expected one of this log" in shown.stderr


def _printed(
    session_id: str,
    entries: Sequence[Entry],
    *,
    width: int,
    last: int | None = None,
    now: datetime = NOON,
) -> str:
    console = Console(width=width)
    with console.capture() as captured:
        console.print(
            session_text(session_id, [*_records(session_id, entries)], last, now=now, width=width)
        )
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def _records(session_id: str, entries: Sequence[Entry]) -> Iterator[Record]:
    for seq, entry in enumerate(entries, start=1):
        value = decode(entry.encoded.type, entry.encoded.version, entry.encoded.body)
        yield Record(
            seq=seq,
            stored_at=NOON + timedelta(seconds=seq),
            session_id=session_id,
            fact=value,
            fact_id=fact_id_of(value, session_id),
        )


def _with_body(entry: Entry, body: bytes) -> Entry:
    return replace(entry, encoded=replace(entry.encoded, body=body))


def _show(server: NatsServer, *arguments: str) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OFFHOOK_")}
    settings = Settings(nats_url=server.url, postgres_url="postgresql://nobody@127.0.0.1:1/none")
    env = {**kept, **environment_from(settings), "COLUMNS": "100"}
    return forked.offhook("show", *arguments, env=env)
