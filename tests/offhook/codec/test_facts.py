"""Facts and bytes: decode undoes encode, and what cannot be decoded says what it is."""

from collections.abc import Callable
from datetime import UTC
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

import offhook.codec.facts
from offhook.codec.facts import (
    FACTS,
    VERSIONS,
    decode,
    encode,
    encoded_webhook,
    fact_id_of,
    fields_of,
)
from offhook.codec.webhooks import wire_body
from offhook.errors import RecordUnreadable
from offhook.events import (
    CallHangup,
    CommandAttempted,
    CommandFailed,
    CommandRequested,
    CommandSucceeded,
    Decided,
    Fact,
    FailureReason,
    IssuedCommand,
    LegPlaced,
    PlacedLeg,
    SessionParked,
    SessionResumed,
    TimerCancelled,
    TimerFired,
    TimerOrder,
    TimerSet,
    UnknownEvent,
    WebhookReceived,
)

# ------------------------------------------------------------------ decode undoes encode

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
whole = st.integers(-(2**63), 2**63 - 1)
json_values = st.recursive(
    st.none() | st.booleans() | whole | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
json_objects = st.dictionaries(text, json_values, max_size=4)
seqs = st.integers(1, 2**63 - 1)
leases = st.floats(0, 60)

issued_commands = st.builds(
    IssuedCommand,
    command_id=text,
    operation=text,
    call_control_id=st.none() | text,
    parameters=json_objects,
)
timer_orders = st.builds(
    TimerOrder,
    timer_id=text,
    name=text,
    call_control_id=st.none() | text,
    after_s=st.none() | st.floats(0, 86_400, exclude_min=True),
)
times = st.datetimes(timezones=st.just(UTC))
facts: st.SearchStrategy[Fact] = st.one_of(
    st.builds(CommandRequested, command=issued_commands, requested_by=text),
    st.builds(SessionResumed, resumed_by=text),
    st.builds(
        Decided,
        cause_seq=seqs,
        cause_id=text,
        flow=text,
        flow_version=text,
        worker=text,
        lease_s=leases,
        commands=st.lists(issued_commands, max_size=3).map(tuple),
        timers=st.lists(timer_orders, max_size=3).map(tuple),
    ),
    st.builds(
        CommandAttempted,
        command_id=text,
        attempt=st.integers(2, 99),
        because=text,
        worker=text,
        lease_s=leases,
    ),
    st.builds(
        CommandSucceeded,
        command_id=text,
        http_status=st.none() | st.integers(100, 599),
        answer=json_objects,
        note=text,
    ),
    st.builds(
        CommandFailed,
        command_id=text,
        operation=text,
        reason=st.sampled_from(get_args(FailureReason)),
        detail=text,
        call_control_id=st.none() | text,
        http_status=st.none() | st.integers(100, 599),
        errors=st.lists(json_objects, max_size=3),
        maybe_performed=st.none() | st.booleans(),
        attempts=st.none() | st.integers(0, 99),
    ),
    st.builds(
        LegPlaced,
        leg=st.builds(
            PlacedLeg,
            call_control_id=text,
            session_id=text,
            call_leg_id=st.none() | text,
            to_number=st.none() | text,
        ),
        command_id=text,
        command_session_id=text,
    ),
    st.builds(
        SessionParked, cause_seq=seqs, error=text, attempts=st.integers(0, 99), traceback=text
    ),
    st.builds(TimerSet, timer_id=text, name=text, due_at=times),
    st.builds(TimerCancelled, timer_id=text, name=text),
    st.builds(
        TimerFired,
        timer_id=text,
        name=text,
        due_at=st.none() | times,
        call_control_id=st.none() | text,
    ),
)


@given(facts)
def test_decode_undoes_encode(fact: Fact) -> None:
    encoded = encode(fact, "session-1")
    assert decode(encoded.type, encoded.version, encoded.body) == fact
    assert encoded.fact_id == fact_id_of(fact, "session-1")


def test_a_webhook_is_stored_as_the_bytes_that_were_signed() -> None:
    event = CallHangup(event_id="e1", call_control_id="leg-a", hangup_cause="user_busy")
    body = wire_body(event, attempt=3)
    encoded = encoded_webhook(body, "e1")
    assert (encoded.type, encoded.fact_id, encoded.body) == ("WebhookReceived", "e1", body)
    fact = decode(encoded.type, encoded.version, encoded.body)
    assert isinstance(fact, WebhookReceived)
    assert isinstance(fact.event, CallHangup)
    assert (fact.attempt, fact.event.hangup_cause) == (3, "user_busy")


def test_a_webhook_cannot_be_encoded_from_its_event() -> None:
    with pytest.raises(AssertionError, match="bytes that were signed"):
        encode(WebhookReceived(event=UnknownEvent(event_id="e1")), "session-1")


# ------------------------------------------------------------------ unreadable records


@pytest.mark.parametrize(
    ("name", "version", "body", "message"),
    [
        (
            "CallForwarded",
            1,
            b"{}",
            "record type 'CallForwarded' is not known to this version of Offhook",
        ),
        ("Decided", 2, b"{}", "Decided has version 2; known: 1 to 1"),
        ("Decided", 0, b"{}", "Decided has version 0; known: 1 to 1"),
        ("WebhookReceived", 3, b"{}", "WebhookReceived has version 3; known: 1 to 2"),
        (
            "SessionParked",
            1,
            b'{"cause_seq":1}',
            "SessionParked version 1: Object missing required field `error`",
        ),
        ("SessionParked", 1, b"\xff\xfe", "SessionParked version 1: JSON is malformed"),
        ("SessionParked", 1, b"", "SessionParked version 1: Input data was truncated"),
        (
            "CommandFailed",
            1,
            b'{"command_id":"c","operation":"dial","reason":"whim"}',
            "CommandFailed version 1: Invalid enum value 'whim' - at `$.reason`",
        ),
    ],
)
def test_an_unreadable_record_says_what_it_is(
    name: str, version: int, body: bytes, message: str
) -> None:
    with pytest.raises(RecordUnreadable) as raised:
        decode(name, version, body)
    assert str(raised.value).startswith(message)


def test_a_body_nested_too_deep_is_unreadable() -> None:
    deep = b'{"command_id":"c","answer":{"a":' + b"[" * 100_000
    with pytest.raises(RecordUnreadable):
        decode("CommandSucceeded", 1, deep)


@given(st.sampled_from(sorted(FACTS)), st.binary(max_size=60))
def test_junk_is_unreadable_or_an_unknown_event(name: str, body: bytes) -> None:
    try:
        fact = decode(name, 1, body)
    except RecordUnreadable:
        return
    assert type(fact) is FACTS[name]


# ------------------------------------------------------------------ versions


def test_old_versions_are_raised_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """A made-up history: version 1 had `why`, version 2 `error`, version 3 counts attempts."""

    def from_1(fields: dict[str, Any]) -> dict[str, Any]:
        return {"cause_seq": fields["cause_seq"], "error": fields["why"]}

    def from_2(fields: dict[str, Any]) -> dict[str, Any]:
        return {**fields, "attempts": 5}

    steps: dict[tuple[str, int], Callable[[dict[str, Any]], dict[str, Any]]] = {
        ("SessionParked", 1): from_1,
        ("SessionParked", 2): from_2,
    }
    monkeypatch.setattr(offhook.codec.facts, "UPCASTS", steps)
    monkeypatch.setitem(VERSIONS, "SessionParked", 3)
    wanted = SessionParked(cause_seq=7, error="boom", attempts=5)
    assert decode("SessionParked", 1, b'{"cause_seq":7,"why":"boom"}') == wanted
    assert decode("SessionParked", 2, b'{"cause_seq":7,"error":"boom"}') == wanted
    assert decode("SessionParked", 3, b'{"cause_seq":7,"error":"boom","attempts":5}') == wanted
    assert encode(wanted, "s").version == 3
    with pytest.raises(RecordUnreadable, match="has version 4; known: 1 to 3"):
        decode("SessionParked", 4, b"{}")


def test_every_old_version_has_a_step_to_the_next() -> None:
    wanted = {
        (name, step)
        for name, newest in VERSIONS.items()
        for step in range(1, newest)
        if name != "WebhookReceived"  # its version says how its bytes are read
    }
    assert set(offhook.codec.facts.UPCASTS) == wanted


# ------------------------------------------------------------------ ids


def test_ids_are_spelt_to_be_unique_in_the_stream() -> None:
    decided = Decided(
        cause_seq=7, cause_id="e", flow="f", flow_version="1", worker="w-1", lease_s=4.0
    )
    on_leg = IssuedCommand(command_id="c-1", operation="hangup", call_control_id="v3:a")
    dial = IssuedCommand(command_id="c-1", operation="dial")
    failed = CommandFailed(command_id="c-1", operation="dial", reason="refused")
    attempted = CommandAttempted(
        command_id="c-1", attempt=2, because="503", worker="w-1", lease_s=4.0
    )
    assert [
        fact_id_of(fact, "s-1")
        for fact in (
            WebhookReceived(event=UnknownEvent(event_id="e-1")),
            CommandRequested(command=on_leg),
            CommandRequested(command=dial),
            decided,
            attempted,
            CommandSucceeded(command_id="c-1"),
            failed,
            SessionParked(cause_seq=1, error="", attempts=5),
            SessionResumed(),
        )
    ] == [
        "e-1",
        "request:v3:a:c-1",
        "request:dial:c-1",
        "decided:s-1:7:w-1",
        "attempt:s-1:c-1:2:w-1",
        "outcome:s-1:c-1",
        "outcome:s-1:c-1",
        "",
        "",
    ]


def test_fields_of_a_fact_are_plain_json() -> None:
    webhook = WebhookReceived(event=UnknownEvent(event_type="call.x", event_id="e-1"), attempt=1)
    shown = fields_of(webhook)
    assert (shown["attempt"], shown["event_type"], shown["event_id"]) == (1, "call.x", "e-1")
    parked = SessionParked(cause_seq=1, error="no", attempts=5)
    fields = {"cause_seq": 1, "error": "no", "attempts": 5, "traceback": ""}
    assert fields_of(parked) == fields | {"flow": "", "flow_version": "", "in_seq": None}
