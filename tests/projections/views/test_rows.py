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

from offhook.codec.facts import encoded_webhook
from offhook.codec.webhooks import read_webhook
from offhook.events import (
    CallEvent,
    CommandSucceeded,
    Decided,
    IssuedCommand,
    SessionParked,
    UnknownEvent,
)
from offhook.projections.views.commands import command_rows
from offhook.projections.views.fold import Folded, advanced, folded_from
from offhook.projections.views.legs import LEGS, LegView, leg_rows
from offhook.projections.views.registry import VIEWS, Rows, rows_of
from offhook.projections.views.sessions import SESSIONS, session_rows
from offhook.projections.views.view import View, columns_of, rows_as, storable
from offhook.session import Session
from tests.example_events import AT
from tests.projections.story import Entry, call, events_of, fact, queued, webhook
from tests.projections.views.stored_entries import record, records, told


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


def leg_row_of(*events: CallEvent) -> LegView:
    [row] = leg_rows(folded_from("s", records([webhook("s", event) for event in events])))
    return row


def seconds(count: int) -> datetime:
    return AT + timedelta(seconds=count)


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
