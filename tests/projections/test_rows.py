"""A fold becomes rows: pure."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from nats.aio.msg import Msg

from offhook.codec import decode, encoded_webhook, fact_id_of
from offhook.events import CommandSucceeded, Decided, IssuedCommand, Record
from offhook.session import Session
from offhook.webhooks import read_webhook
from projections import tables
from projections.arrivals import INDEXED_CHARS_MAX, arrival_from, indexable, read_stored
from projections.fold import Folded, advanced, folded_from
from projections.rows import Rows, rows_of, storable
from tests.projections.story import NOON, Entry, call, fact


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


def test_a_whole_call_becomes_one_session_two_legs_two_commands() -> None:
    rows = rows_of(folded_from("s", records(call("s"))))
    [session] = rows.sessions
    assert session["status"] == "ended"
    assert session["leg_count"] == 2
    assert session["call_control_id"] == "v3:s"
    assert (session["direction"], session["from_number"]) == ("incoming", "+12025550100")
    assert (session["flow"], session["flow_version"]) == ("frontdesk", "7")
    assert session["hangup_cause"] == "normal_clearing"
    assert (session["first_seq"], session["last_seq"]) == (1, len(call("s")))
    first, second = rows.legs
    assert (first["state"], first["talk_s"]) == ("ended", 57.0)
    assert first["quality"] == {"inbound": {"mos": "4.50", "packet_count": 12}}
    assert first["client_state"] == "c3RhdGU="
    assert second["direction"] == "outgoing"
    answer, hangup = rows.commands
    assert (answer["status"], answer["attempts"], answer["http_status"]) == ("succeeded", 2, 200)
    assert (hangup["status"], hangup["reason"], hangup["ordinal"]) == ("failed", "refused", 1)
    assert hangup["errors"] == [{"code": "90015"}]


def test_every_column_has_a_value() -> None:
    rows = rows_of(folded_from("s", records(call("s"))))
    for table in (tables.sessions, tables.legs, tables.commands):
        for row in getattr(rows, table.name):
            assert list(row) == [column.name for column in table.columns]


def test_only_what_changed_comes_after_a_sequence() -> None:
    entries = call("s")
    folded = folded_from("s", records(entries))
    last_hangup = len(entries)
    rows = rows_of(folded, last_hangup - 1)
    assert [row["command_id"] for row in rows.commands] == ["s-hangup"]
    assert rows.legs == []
    assert len(rows.sessions) == 1


def test_a_record_already_in_the_fold_changes_nothing() -> None:
    folded = folded_from("s", records(call("s")))
    assert advanced(folded, record(call("s")[0], 1)) is folded


def test_permuted_records_give_the_same_rows() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    entries = call("s")
    expected = without_positions(rows_of(folded_from("s", records(entries))))
    stored = records(entries)
    for shuffle in range(200):
        random.Random(seed + shuffle).shuffle(stored)
        folded = Folded(session=Session(session_id="s"))
        for each in stored:
            # A record keeps its sequence and time; the order in which it is read is another one.
            folded = advanced(replace(folded, last_seq=0), each)
        assert without_positions(rows_of(folded)) == expected


def without_positions(rows: Rows) -> Rows:
    def cut(several: list[dict[str, object]]) -> list[dict[str, object]]:
        cleaned = [
            {key: value for key, value in row.items() if key not in ("first_seq", "last_seq")}
            for row in several
        ]
        return sorted(
            cleaned, key=lambda row: str([row.get("call_control_id"), row.get("command_id")])
        )

    return Rows(sessions=cut(rows.sessions), legs=cut(rows.legs), commands=cut(rows.commands))


def test_a_dial_tells_the_session_of_the_leg_it_placed() -> None:
    dial = IssuedCommand(command_id="d", operation="dial", parameters={"to": "+12025550102"})
    decided = Decided(
        cause_seq=1, cause_id="x", flow="none", flow_version="1", worker="w", lease_s=3.0,
        commands=(dial,),
    )  # fmt: skip
    answer = {"data": {"call_session_id": "placed", "call_control_id": "v3:placed"}}
    entries = [fact("s", decided), fact("s", CommandSucceeded(command_id="d", answer=answer))]
    rows = rows_of(folded_from("s", records(entries)))
    assert rows.commands[0]["answer_session_id"] == "placed"
    assert rows.sessions[0]["flow"] is None  # no flow made that decision
    assert rows.sessions[0]["status"] == "empty"


@pytest.mark.parametrize(
    "answer", [{}, {"data": None}, {"data": []}, {"data": {"call_session_id": 5}}]
)
def test_an_odd_answer_tells_no_session(answer: dict[str, object]) -> None:
    entries = [fact("s", CommandSucceeded(command_id="d", answer=answer))]
    assert rows_of(folded_from("s", records(entries))).commands[0]["answer_session_id"] is None


def test_what_postgres_cannot_store_is_replaced() -> None:
    assert storable({"a\0": ["b\0", {"c": "\0"}], "n": 1}) == {"a�": ["b�", {"c": "�"}], "n": 1}


def test_ids_that_no_index_entry_holds_are_hashed() -> None:
    assert indexable("") is None
    assert indexable("x" * INDEXED_CHARS_MAX) == "x" * INDEXED_CHARS_MAX
    assert str(indexable("x" * (INDEXED_CHARS_MAX + 1))).startswith("sha256-")
    assert str(indexable("a\0")).startswith("sha256-")


@pytest.mark.parametrize(
    ("type_name", "version", "body"),
    [("Unheard", 1, b"{}"), ("Decided", 9, b"{}"), ("Decided", 1, b"not json"), ("", 0, b"")],
)
def test_an_unreadable_record_says_why(type_name: str, version: int, body: bytes) -> None:
    arrival = read_stored(
        seq=7, session_id="s", side="out", type=type_name, version=version,
        stored_at=NOON, body=body,
    )  # fmt: skip
    assert arrival.record is None
    assert "seq 7" in arrival.error
    assert arrival.row()["body"] == body


@pytest.mark.parametrize(
    "reply",
    [
        "$JS.ACK.CALLS.projector.1.42.7.1795348800123456999.0",
        "$JS.ACK._.account.CALLS.projector.1.42.7.1795348800123456999.0.token",
    ],
)
def test_a_delivery_is_dated_in_whole_microseconds_cut_off(reply: str) -> None:
    headers = {"Offhook-Type": "Decided", "Offhook-Version": "one"}
    # Only what a message carries matters here, not the client it came from.
    message = Msg(_client=None, subject="calls.odd", reply=reply, data=b"{}", headers=headers)  # type: ignore[arg-type]
    arrival = arrival_from(message)
    assert arrival.stored_at == datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)
    assert (arrival.seq, arrival.version, arrival.session_id) == (42, 0, "calls.odd")
    assert arrival.record is None


def test_captured_webhooks_become_rows(capture_files: list[Path]) -> None:
    for file in capture_files:
        body = file.read_bytes()
        read = read_webhook(body)
        stored = Entry(
            session_id=read.session_id,
            side="in",
            encoded=encoded_webhook(body, read.event.event_id),
        )
        rows = rows_of(folded_from(read.session_id, records([stored])))
        assert len(rows.sessions) == 1
        if read.event.call_control_id is not None:
            assert rows.legs[0]["call_control_id"] == read.event.call_control_id
