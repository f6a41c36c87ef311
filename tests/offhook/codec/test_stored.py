"""What was stored once is read forever: a sample of every fact and version, byte for byte."""

from datetime import UTC, datetime
from typing import get_args

import pytest

from offhook.codec.facts import (
    FACTS,
    VERSIONS,
    decode,
    encode,
    fact_id_of,
)
from offhook.events import (
    CallHangup,
    CommandAttempted,
    CommandFailed,
    CommandRequested,
    CommandSucceeded,
    Decided,
    Fact,
    IssuedCommand,
    LegPlaced,
    PlacedLeg,
    SessionParked,
    SessionResumed,
    TimerCancelled,
    TimerFired,
    TimerOrder,
    TimerSet,
    WebhookReceived,
)

# ------------------------------------------------------------------ samples

# What version 1 wrote. A test that fails here says that stored calls can no longer be read:
# do not change the samples; raise the version and add the step to UPCASTS.
DUE_AT = datetime(2026, 11, 22, 9, 0, 20, 1, tzinfo=UTC)

PLACED = PlacedLeg(
    call_control_id="v3:b",
    session_id="s-b",
    call_leg_id="b",
    connection_id="1",
    from_number="+12025550100",
    to_number="+12025550110",
    client_state="YQ==",
)

STORED: list[tuple[str, bytes, Fact]] = [
    (
        "WebhookReceived",
        b'{"data":{"record_type":"event","event_type":"call.hangup","id":"e-1",'
        b'"occurred_at":"2026-11-22T09:00:01.000002Z","payload":{"call_control_id":"v3:a",'
        b'"client_state":null,"hangup_cause":"user_busy","from":"+12025550123"}},'
        b'"meta":{"attempt":2,"delivered_to":"https://hooks.example.com"}}',
        WebhookReceived(
            event=CallHangup(
                event_id="e-1",
                occurred_at=datetime(2026, 11, 22, 9, 0, 1, 2, tzinfo=UTC),
                call_control_id="v3:a",
                hangup_cause="user_busy",
                from_="+12025550123",
                payload={
                    "call_control_id": "v3:a",
                    "client_state": None,
                    "hangup_cause": "user_busy",
                    "from": "+12025550123",
                },
            ),
            attempt=2,
        ),
    ),
    (
        "CommandRequested",
        b'{"command":{"command_id":"c-1","operation":"dial","call_control_id":null,'
        b'"parameters":{"to":"+12025550123","from":"+12025550199","connection_id":"1"}},'
        b'"requested_by":"crm"}',
        CommandRequested(
            command=IssuedCommand(
                command_id="c-1",
                operation="dial",
                parameters={"to": "+12025550123", "from": "+12025550199", "connection_id": "1"},
            ),
            requested_by="crm",
        ),
    ),
    (
        "LegPlaced",
        b'{"leg":{"call_control_id":"v3:b","session_id":"s-b","call_leg_id":"b","connection_id":"1",'
        b'"from_number":"+12025550100","to_number":"+12025550110","client_state":"YQ==",'
        b'"time_limit_s":null},"command_id":"c-1","command_session_id":"s-a"}',
        LegPlaced(leg=PLACED, command_id="c-1", command_session_id="s-a"),
    ),
    ("SessionResumed", b'{"resumed_by":"operator"}', SessionResumed(resumed_by="operator")),
    (
        "Decided",
        b'{"cause_seq":7,"cause_id":"e-1","flow":"frontdesk","flow_version":"2026-11-22",'
        b'"worker":"w-1","lease_s":4.0,"commands":[{"command_id":"c-2","operation":"answer",'
        b'"call_control_id":"v3:a","parameters":{"client_state":"YQ=="}}],'
        b'"timers":[{"timer_id":"7-0","name":"no-answer","call_control_id":"v3:a","after_s":20.0},'
        b'{"timer_id":"3-0","name":"menu","call_control_id":null,"after_s":null}],'
        b'"warnings":["speak: too early"],"caused_at":"2026-11-22T12:00:00.123456Z","in_seq":9}',
        Decided(
            cause_seq=7,
            cause_id="e-1",
            flow="frontdesk",
            flow_version="2026-11-22",
            worker="w-1",
            lease_s=4.0,
            commands=(
                IssuedCommand(
                    command_id="c-2",
                    operation="answer",
                    call_control_id="v3:a",
                    parameters={"client_state": "YQ=="},
                ),
            ),
            timers=(
                TimerOrder(timer_id="7-0", name="no-answer", call_control_id="v3:a", after_s=20.0),
                TimerOrder(timer_id="3-0", name="menu"),
            ),
            warnings=("speak: too early",),
            caused_at=datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC),
            in_seq=9,
        ),
    ),
    (
        "CommandAttempted",
        b'{"command_id":"c-2","attempt":2,"because":"503","worker":"w-1","lease_s":4.5,'
        b'"renewal":3}',
        CommandAttempted(
            command_id="c-2", attempt=2, because="503", worker="w-1", lease_s=4.5, renewal=3
        ),
    ),
    (
        "CommandSucceeded",
        b'{"command_id":"c-2","http_status":200,"answer":{"data":{"result":"ok"}},"note":"why",'
        b'"attempts":1,"placed":{"call_control_id":"v3:b","session_id":"s-b","call_leg_id":"b",'
        b'"connection_id":"1","from_number":"+12025550100","to_number":"+12025550110",'
        b'"client_state":"YQ==","time_limit_s":null}}',
        CommandSucceeded(
            command_id="c-2",
            http_status=200,
            answer={"data": {"result": "ok"}},
            note="why",
            attempts=1,
            placed=PLACED,
        ),
    ),
    (
        "CommandFailed",
        b'{"command_id":"c-2","operation":"answer","reason":"call_ended","detail":"422 90018",'
        b'"call_control_id":"v3:a","http_status":422,"errors":[{"code":"90018","title":"Call '
        b'has already ended"}],"group":"call_ended","maybe_performed":true,"attempts":2}',
        CommandFailed(
            command_id="c-2",
            operation="answer",
            reason="call_ended",
            detail="422 90018",
            call_control_id="v3:a",
            http_status=422,
            errors=[{"code": "90018", "title": "Call has already ended"}],
            group="call_ended",
            maybe_performed=True,
            attempts=2,
        ),
    ),
    (
        "SessionParked",
        b'{"cause_seq":7,"error":"ValueError: no","attempts":5,"traceback":"line 3",'
        b'"flow":"frontdesk","flow_version":"7","in_seq":9}',
        SessionParked(
            cause_seq=7,
            error="ValueError: no",
            attempts=5,
            traceback="line 3",
            flow="frontdesk",
            flow_version="7",
            in_seq=9,
        ),
    ),
    (
        "TimerSet",
        b'{"timer_id":"7-0","name":"no-answer","due_at":"2026-11-22T09:00:20.000001Z"}',
        TimerSet(timer_id="7-0", name="no-answer", due_at=DUE_AT),
    ),
    (
        "TimerCancelled",
        b'{"timer_id":"7-0","name":"no-answer"}',
        TimerCancelled(timer_id="7-0", name="no-answer"),
    ),
    (
        "TimerFired",
        b'{"name":"no-answer","timer_id":"7-0","due_at":"2026-11-22T09:00:20.000001Z",'
        b'"call_control_id":"v3:a"}',
        TimerFired(name="no-answer", timer_id="7-0", due_at=DUE_AT, call_control_id="v3:a"),
    ),
]

BEFORE_TRACEBACKS: tuple[str, bytes, Fact] = (
    "SessionParked",
    b'{"cause_seq":7,"error":"ValueError: no","attempts":5}',
    SessionParked(cause_seq=7, error="ValueError: no", attempts=5),
)
BEFORE_FLOWS: tuple[str, bytes, Fact] = (
    "SessionParked",
    b'{"cause_seq":7,"error":"ValueError: no","attempts":5,"traceback":"line 3"}',
    SessionParked(cause_seq=7, error="ValueError: no", attempts=5, traceback="line 3"),
)
BEFORE_TIMERS = (
    "Decided",
    b'{"cause_seq":7,"cause_id":"e-1","flow":"frontdesk","flow_version":"2026-11-22",'
    b'"worker":"w-1","lease_s":4.0,"commands":[{"command_id":"c-2","operation":"answer",'
    b'"call_control_id":"v3:a","parameters":{"client_state":"YQ=="}}]}',
    Decided(
        cause_seq=7,
        cause_id="e-1",
        flow="frontdesk",
        flow_version="2026-11-22",
        worker="w-1",
        lease_s=4.0,
        commands=(
            IssuedCommand(
                command_id="c-2",
                operation="answer",
                call_control_id="v3:a",
                parameters={"client_state": "YQ=="},
            ),
        ),
    ),
)
"""As it was written before a decision could set timers, have warnings or say when it was caused."""

BEFORE_IN_SEQ = (
    "Decided",
    b'{"cause_seq":7,"cause_id":"e-1","flow":"frontdesk","flow_version":"1","worker":"w-1",'
    b'"lease_s":4.0,"commands":[],"timers":[],"warnings":[],"caused_at":null}',
    Decided(
        cause_seq=7, cause_id="e-1", flow="frontdesk", flow_version="1", worker="w-1", lease_s=4.0
    ),
)


@pytest.mark.parametrize(
    ("name", "body", "fact"),
    [*STORED, BEFORE_TIMERS, BEFORE_TRACEBACKS, BEFORE_FLOWS, BEFORE_IN_SEQ],
    ids=[
        *(name for name, _, _ in STORED),
        "Decided before timers",
        "before tracebacks",
        "before flows",
        "Decided before in_seq",
    ],
)
def test_what_version_1_stored_is_readable_for_ever(name: str, body: bytes, fact: Fact) -> None:
    assert decode(name, 1, body) == fact


@pytest.mark.parametrize(
    ("name", "body", "fact"), STORED[1:], ids=[name for name, _, _ in STORED[1:]]
)
def test_version_1_is_still_written_byte_for_byte(name: str, body: bytes, fact: Fact) -> None:
    encoded = encode(fact, "session-1")
    assert VERSIONS[name] == 1, "a new version: store a sample of it here as well"
    assert (encoded.type, encoded.version, encoded.body) == (name, 1, body)


def test_every_fact_has_a_stored_sample_and_a_version() -> None:
    assert {name for name, _, _ in STORED} == set(FACTS) == set(VERSIONS)
    assert {kind.__name__ for kind in get_args(Fact)} == set(FACTS)


def test_fields_that_a_writer_left_out_have_their_defaults() -> None:
    fact = decode("CommandSucceeded", 1, b'{"command_id":"c-2"}')
    assert fact == CommandSucceeded(command_id="c-2")


def test_an_outcome_stored_before_its_tries_were_counted_says_nothing_of_them() -> None:
    body = b'{"command_id":"c-2","operation":"dial","reason":"deadline","group":"no_answer"}'
    failed = decode("CommandFailed", 1, body)
    assert isinstance(failed, CommandFailed)
    assert (failed.maybe_performed, failed.attempts) == (None, None)
    succeeded = decode("CommandSucceeded", 1, b'{"command_id":"c-2","http_status":200}')
    assert isinstance(succeeded, CommandSucceeded)
    assert succeeded.attempts is None


def test_a_success_stored_before_it_named_a_leg_names_none() -> None:
    body = b'{"command_id":"c","http_status":200,"answer":{"data":{"call_control_id":"v3:b"}}}'
    fact = decode("CommandSucceeded", 1, body)
    assert isinstance(fact, CommandSucceeded)
    assert fact.placed is None


def test_a_failure_stored_before_it_had_a_group_has_none() -> None:
    body = b'{"command_id":"c-2","operation":"answer","reason":"refused","errors":[]}'
    fact = decode("CommandFailed", 1, body)
    assert fact == CommandFailed(command_id="c-2", operation="answer", reason="refused", group="")


def test_an_attempt_stored_before_leases_were_renewed_is_the_first_record_of_its_attempt() -> None:
    body = b'{"command_id":"c-2","attempt":2,"because":"503","worker":"w-1","lease_s":4.5}'
    fact = decode("CommandAttempted", 1, body)
    assert fact == CommandAttempted(
        command_id="c-2", attempt=2, because="503", worker="w-1", lease_s=4.5, renewal=0
    )
    assert fact_id_of(fact, "s") == "attempt:s:c-2:2:w-1"


def test_a_field_that_a_newer_writer_added_is_passed_over() -> None:
    fact = decode("SessionResumed", 1, b'{"resumed_by":"op","because":"new"}')
    assert fact == SessionResumed(resumed_by="op")
