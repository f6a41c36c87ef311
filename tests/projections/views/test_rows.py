"""A fold becomes rows: pure."""

import random
import re
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import IteratorResult
from sqlalchemy.engine.result import SimpleResultMetaData
from sqlalchemy.schema import CreateIndex

from offhook.codec.facts import decode, encoded_webhook, fact_id_of
from offhook.codec.webhooks import read_webhook
from offhook.events import (
    CallEvent,
    CommandAttempted,
    CommandFailed,
    CommandSucceeded,
    Decided,
    IssuedCommand,
    Record,
    SessionParked,
    SessionResumed,
    UnknownEvent,
)
from offhook.projections.views.commands import command_rows
from offhook.projections.views.fold import FAILURES_MAX, Folded, advanced, folded_from
from offhook.projections.views.legs import LEGS, LegView, leg_rows
from offhook.projections.views.registry import VIEWS, Rows, rows_of
from offhook.projections.views.sessions import SESSIONS, session_rows
from offhook.projections.views.view import View, columns_of, rows_as, storable
from offhook.session import Session
from tests.example_events import AT, example_event
from tests.projections.story import NOON, Entry, call, events_of, fact, queued, webhook


def record(entry: Entry, seq: int) -> Record:
    value = decode(entry.encoded.type, entry.encoded.version, entry.encoded.body)
    return Record(
        seq=seq,
        stored_at=NOON + timedelta(seconds=seq),
        session_id=entry.session_id,
        fact=value,
        fact_id=fact_id_of(value, entry.session_id),
    )


def records(entries: list[Entry]) -> list[Record]:
    return [record(entry, seq) for seq, entry in enumerate(entries, start=1)]


@pytest.mark.parametrize("view", [SESSIONS, LEGS], ids=["sessions", "legs"])
def test_an_answer_changes_no_indexed_column(view: View[Any]) -> None:
    """Or Postgres would write every index of the table, each on a page of its own."""
    entries = [webhook("s", event) for event in events_of("s")[:2]]
    before, after = (
        columns_of(view.table, view.rows_of(folded_from("s", records(entries[:until])), 0)[0])
        for until in (1, 2)
    )
    changed = {name for name in after if after[name] != before[name]}
    assert "answered_at" in changed
    indexes = " ".join(
        str(CreateIndex(index).compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]  # as SQLAlchemy leaves it
        for index in view.table.indexes
    )
    assert [name for name in changed if re.search(rf"\b{name}\b", indexes)] == []


def test_a_whole_call_becomes_one_session_two_legs_two_commands() -> None:
    folded = folded_from("s", records(call("s")))
    [session] = session_rows(folded)
    assert session.status == "ended"
    assert session.leg_count == 2
    assert session.call_control_id == "v3:s"
    assert (session.direction, session.from_number) == ("incoming", "+12025550100")
    assert (session.flow, session.flow_version) == ("frontdesk", "7")
    assert session.hangup_cause == "normal_clearing"
    assert (session.first_seq, session.last_seq) == (1, len(call("s")))
    first, second = leg_rows(folded)
    assert (first.state, first.talk_s) == ("ended", 57.0)
    assert first.quality == {"inbound": {"mos": "4.50", "packet_count": 12}}
    assert first.client_state == "c3RhdGU="
    assert second.direction == "outgoing"
    answer, hangup = command_rows(folded)
    assert (answer.status, answer.attempts, answer.http_status) == ("succeeded", 2, 200)
    assert (hangup.status, hangup.reason, hangup.ordinal) == ("failed", "refused", 1)
    assert hangup.errors == [{"code": "90015"}]


def test_what_a_leg_tells_beside_its_states() -> None:
    row = leg_row_of(
        told("call.hold", 1),
        told("call.enqueued", 2, queue="support"),
        told("call.dequeued", 9, queue="support", wait_time_secs=7, reason="bridged"),
        told("conference.participant.joined", 10, conference_id="c"),
        told("call.machine.detection.ended", 11, result="human"),
        told("call.machine.greeting.ended", 11, result="ended"),
        told("call.dtmf.received", 12, digit="1"),
        told("call.dtmf.received", 13, digit="#"),
        told("call.gather.ended", 14, status="valid", digits="1"),
        told("call.refer.failed", 15, sip_notify_response=603),
        told("call.playback.ended", 16),
        told("streaming.started", 17),
        told("call.transcription", 18),
        told("call.recording.error", 19, reason="Internal server error"),
    )
    assert row.held_since == seconds(1)
    assert (row.queue, row.queue_wait_s, row.queue_reason) == ("support", 7.0, "bridged")
    assert (row.enqueued_at, row.dequeued_at) == (seconds(2), seconds(9))
    assert row.conference_id == "c"
    assert (row.machine_detection, row.machine_greeting) == ("human", "ended")
    assert (row.dtmf, row.gathered) == ("1#", {"status": "valid", "digits": "1"})
    assert row.refer == {"state": "failed", "sip_status": 603}
    assert row.media == {"playback": "ended", "streaming": "started"}
    assert row.transcribed_at == seconds(18)
    assert row.recording_error == "Internal server error"


def test_a_leg_has_its_cost() -> None:
    row = leg_row_of(
        told("call.hold", 1),
        told("call.cost", 20, total_cost="0.0040", cost_parts=[{"currency": "USD"}]),
    )
    assert (row.cost, row.currency) == (Decimal("0.0040"), "USD")
    assert row.cost_parts == [{"currency": "USD"}]
    assert (row.state, row.ended_at, row.up_until) == ("ended", None, seconds(20))
    assert row.held_since is None, "the cost comes after the end"


def test_an_assistants_gather_has_its_result() -> None:
    row = leg_row_of(told("call.ai_gather.ended", status="valid", result={"age": 7}))
    assert row.gathered == {"status": "valid", "result": {"age": 7}}


def test_a_session_has_its_recordings_conferences_and_cost() -> None:
    usd = {"cost_parts": [{"currency": "USD"}]}
    entries = [
        webhook("s", event)
        for event in (
            told("call.recording.saved", 2, recording_id="late", call_control_id=None),
            told("call.recording.saved", 1, recording_id="early", channels="dual"),
            told("conference.created", 1, conference_id="c"),
            told("conference.ended", 9, conference_id="c", reason="all_left"),
            told("call.cost", 3, total_cost="0.5", **usd),
            told("call.cost", 3, total_cost="0.25", call_control_id="v3:other", **usd),
        )
    ]
    [row] = session_rows(folded_from("s", records(entries)))
    assert row.recordings is not None
    assert [each["recording_id"] for each in row.recordings] == ["early", "late"]
    assert row.recordings[0] == {
        "recording_id": "early",
        "call_control_id": "v3:example",
        "call_leg_id": "call_leg_id",
        "conference_id": None,
        "channels": "dual",
        "format": "format",
        "started_at": "2026-11-22T09:00:00.076316Z",
        "ended_at": "2026-11-22T09:00:00.076316Z",
        "urls": {"name": "recording_urls"},
        "public_urls": {"name": "public_recording_urls"},
    }
    assert row.recording_count == 2
    assert row.conferences == [
        {
            "conference_id": "c",
            "created_at": "2026-11-22T09:00:01.076316Z",
            "ended_at": "2026-11-22T09:00:09.076316Z",
            "end_reason": "all_left",
        }
    ]
    assert (row.cost, row.currency) == (Decimal("0.75"), "USD")


def told(event_type: str, second: int = 0, **values: Any) -> CallEvent:
    event_id = f"{event_type}-{second}-{values.get('call_control_id')}"
    return example_event(event_type, second=second, event_id=event_id, **values)


def leg_row_of(*events: CallEvent) -> LegView:
    [row] = leg_rows(folded_from("s", records([webhook("s", event) for event in events])))
    return row


def seconds(count: int) -> datetime:
    return AT + timedelta(seconds=count)


def failed(command_id: str, **fields: Any) -> Entry:
    values: dict[str, Any] = {"operation": "transfer", "reason": "refused", "http_status": 422}
    values |= fields
    return fact("s", CommandFailed(command_id=command_id, **values))


def test_a_session_has_each_kind_of_failed_command_once() -> None:
    entries = [
        *call("s"),
        failed("a"),
        failed("b"),
        failed("b", http_status=500),  # the first outcome counts
        failed("c", reason="deadline", http_status=None),
        failed("d", reason="call_ended", attempts=1),  # a consequence of the end
        failed("g", reason="call_ended", http_status=None, attempts=0),  # likewise
        failed("f", reason="call_ended", http_status=None, attempts=3),
        fact("s", CommandSucceeded(command_id="e", http_status=200)),
        failed("e"),
    ]
    [session] = session_rows(folded_from("s", records(entries)))
    hangup, refused, late, overtaken = session.failed_commands or ()
    assert hangup["operation"] == "hangup"  # in the story itself
    assert refused == {
        "operation": "transfer",
        "reason": "refused",
        "http_status": 422,
        "count": 2,
    }
    assert (late["reason"], late["http_status"], late["count"]) == ("deadline", None, 1)
    assert (overtaken["reason"], overtaken["count"]) == ("call_ended", 1)
    attempted = CommandAttempted(command_id="h", attempt=3, because="503", worker="w", lease_s=3.0)
    # From before outcomes counted attempts: those recorded on the way count, as in its row.
    old = [*call("s"), fact("s", attempted), failed("h", reason="call_ended", http_status=None)]
    folded = folded_from("s", records(old))
    [session] = session_rows(folded)
    assert [each["reason"] for each in session.failed_commands or ()][1:] == ["call_ended"]
    assert {each.command_id: each.attempts for each in command_rows(folded)}["h"] == 3
    [fine] = session_rows(folded_from("q", records(queued("q"))))
    assert fine.failed_commands is None
    many = [failed(str(each), http_status=each) for each in range(400, 450)]
    [session] = session_rows(folded_from("s", records(many)))
    assert len(session.failed_commands or ()) == FAILURES_MAX


def decided(flow: str, seq: int = 1) -> Entry:
    order = IssuedCommand(command_id=f"{flow}-{seq}", operation="hangup", call_control_id="v3:s")
    return fact(
        "s",
        Decided(
            cause_seq=seq,
            cause_id="x",
            flow=flow,
            flow_version="7",
            worker="w",
            lease_s=3.0,
            commands=(order,),
        ),
    )


def test_a_parked_session_keeps_its_own_flow() -> None:
    def flows(*entries: Entry) -> set[tuple[str | None, str | None]]:
        folded = folded_from("s", records([*entries]))
        [row] = session_rows(folded)
        legs = {(leg.flow, leg.flow_version) for leg in leg_rows(folded)}
        return {(row.flow, row.flow_version), *legs}

    began, policy = call("s")[0], decided("parked-policy")
    raised = SessionParked(
        cause_seq=1, error="flow menu 7: KeyError", attempts=5, flow="menu", flow_version="7"
    )
    from_before = SessionParked(cause_seq=1, error="flow menu 7: KeyError", attempts=5)
    assert flows(began, decided("menu"), fact("s", from_before), policy) == {("menu", "7")}
    assert flows(began, fact("s", raised), policy) == {("menu", "7")}
    assert flows(began, fact("s", from_before), policy) == {(None, None)}


def test_a_session_keeps_when_its_flow_raised_last() -> None:
    raised = fact("s", SessionParked(cause_seq=1, error="flow menu 7: KeyError", attempts=5))
    resumed = fact("s", SessionResumed())
    stored = records([*call("s"), raised, resumed, raised, resumed, decided("menu")])
    [row] = session_rows(folded_from("s", stored))
    assert (row.parked, row.flow_raised_at) == (False, stored[-3].stored_at)
    assert stored[-3].stored_at > stored[-5].stored_at
    [fine] = session_rows(folded_from("s", records(call("s"))))
    assert fine.flow_raised_at is None


def test_every_column_has_a_value() -> None:
    rows = rows_of(folded_from("s", records([*call("s"), *queued("s")])))
    for view in VIEWS:
        assert rows[view.name]
        for row in rows[view.name]:
            assert columns_of(view.table, row).keys() == {column.name for column in view.table.c}


def test_what_is_read_is_as_the_constructor_makes_it() -> None:
    names = [name for name in LegView.__dataclass_fields__ if name != "end_inferred"]
    metadata = SimpleResultMetaData(names)
    (read,) = rows_as(LegView, IteratorResult(metadata, iter([tuple(names)])))
    values: Any = {name: name for name in names}
    made = LegView(**values)
    assert read == made
    assert vars(read) == vars(made)
    assert replace(read, state="ended") == replace(made, state="ended")


def test_only_what_changed_comes_after_a_sequence() -> None:
    entries = call("s")
    folded = folded_from("s", records(entries))
    last_hangup = len(entries)
    assert [row.command_id for row in command_rows(folded, last_hangup - 1)] == ["s-hangup"]
    assert leg_rows(folded, last_hangup - 1) == []
    assert len(session_rows(folded, last_hangup - 1)) == 1


def test_a_record_already_in_the_fold_changes_nothing() -> None:
    folded = folded_from("s", records(call("s")))
    assert advanced(folded, record(call("s")[0], 1)) is folded


def test_permuted_records_give_the_same_rows() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    entries = [*call("s"), *queued("s")]
    expected = without_positions(rows_of(folded_from("s", records(entries))))
    stored = records(entries)
    for shuffle in range(200):
        random.Random(seed + shuffle).shuffle(stored)
        folded = Folded(session=Session(session_id="s"))
        for each in stored:
            # A record keeps its sequence and time; the order in which it is read is another one.
            folded = advanced(replace(folded, last_seq=0), each)
        assert without_positions(rows_of(folded)) == expected


def without_positions(rows: Rows) -> dict[str, list[str]]:
    return {
        view.name: sorted(
            str(
                {
                    name: value
                    for name, value in columns_of(view.table, row).items()
                    if name not in _OF_THE_ORDER
                }
            )
            for row in rows[view.name]
        )
        for view in VIEWS
    }


_OF_THE_ORDER = ("first_seq", "last_seq", "first_stored_at", "last_stored_at")


def test_a_dial_tells_the_session_of_the_leg_it_placed() -> None:
    dial = IssuedCommand(command_id="d", operation="dial", parameters={"to": "+12025550102"})
    decided = Decided(
        cause_seq=1, cause_id="x", flow="none", flow_version="1", worker="w", lease_s=3.0,
        commands=(dial,),
    )  # fmt: skip
    answer = {"data": {"call_session_id": "placed", "call_control_id": "v3:placed"}}
    entries = [fact("s", decided), fact("s", CommandSucceeded(command_id="d", answer=answer))]
    folded = folded_from("s", records(entries))
    assert command_rows(folded)[0].answer_session_id == "placed"
    [session] = session_rows(folded)
    assert session.flow is None  # no flow made that decision
    assert session.status == "empty"


@pytest.mark.parametrize(
    "answer", [{}, {"data": None}, {"data": []}, {"data": {"call_session_id": 5}}]
)
def test_an_odd_answer_tells_no_session(answer: dict[str, object]) -> None:
    entries = [fact("s", CommandSucceeded(command_id="d", answer=answer))]
    assert command_rows(folded_from("s", records(entries)))[0].answer_session_id is None


def test_what_postgres_cannot_store_is_replaced() -> None:
    assert storable({"a\0": ["b\0", {"c": "\0"}], "n": 1}) == {"a�": ["b�", {"c": "�"}], "n": 1}


def test_captured_webhooks_become_rows(capture_files: list[Path]) -> None:
    for file in capture_files:
        body = file.read_bytes()
        read = read_webhook(body)
        stored = Entry(
            session_id=read.session_id,
            side="in",
            encoded=encoded_webhook(body, read.event.event_id, read.version),
        )
        folded = folded_from(read.session_id, records([stored]))
        is_of_a_call = not {"no_event", "no_call"}.intersection(read.oddities)
        assert len(session_rows(folded)) == is_of_a_call
        if read.event.call_control_id is not None:
            assert leg_rows(folded)[0].call_control_id == read.event.call_control_id


def test_an_event_of_another_product_is_no_session_until_a_flow_acts_on_it() -> None:
    message = webhook("m", UnknownEvent(event_type="message.received", event_id="m"))
    idle: dict[str, Any] = {"flow": "f", "flow_version": "1", "worker": "w", "lease_s": 3.0}
    nothing = fact("m", Decided(cause_seq=1, cause_id="m", **idle))
    dial = IssuedCommand(command_id="d", operation="dial", parameters={"to": "+12025550101"})
    dialled = fact("m", Decided(cause_seq=1, cause_id="m", commands=(dial,), **idle))
    parked = fact("m", SessionParked(cause_seq=1, error="boom", attempts=5))
    assert session_rows(folded_from("m", records([message, nothing]))) == []
    for then in (dialled, parked):
        [row] = session_rows(folded_from("m", records([message, then])))
        assert (row.session_id, row.status, row.first_seq) == ("m", "empty", 1)
