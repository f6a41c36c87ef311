"""Importing on the stand-in log: what is rewritten, what is the same, what another log does."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from offhook.codec.facts import Encoded, encode, encoded_webhook
from offhook.codec.webhooks import wire_body
from offhook.errors import LogUnavailable, OperatorFault
from offhook.events import (
    CallAnswered,
    CommandRequested,
    Decided,
    Fact,
    IssuedCommand,
    SessionParked,
    SessionResumed,
    WebhookReceived,
    side_of,
)
from offhook.history.importing import REFUSED_MAX, Importer, Named
from offhook.history.lines import HistoryRecord, PlacedRecord
from offhook.jetstream.message import imported_headers
from offhook.position import position_of
from tests.memory_log import MemoryLog

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def record(position: int, fact: Fact | CallAnswered, session_id: str = "s") -> HistoryRecord:
    if isinstance(fact, CallAnswered):
        encoded: Encoded = encoded_webhook(wire_body(fact), fact.event_id)
        side = side_of(WebhookReceived)
    else:
        encoded, side = encode(fact, session_id), side_of(type(fact))
    return HistoryRecord(
        position=position,
        session_id=session_id,
        side=side,
        type=encoded.type,
        version=encoded.version,
        stored_at=NOON + timedelta(seconds=position % 1000),
        fact_id=encoded.fact_id,
        body=encoded.body,
    )


def answered(event_id: str = "e1") -> CallAnswered:
    return CallAnswered(event_id=event_id, call_control_id="v3:a", call_session_id="s")


def decided(cause_seq: int, in_seq: int | None = None) -> Decided:
    return Decided(
        cause_seq=cause_seq, cause_id="e", flow="f", flow_version="1", worker="w", lease_s=3.0,
        in_seq=in_seq,
    )  # fmt: skip


async def into(log: MemoryLog, records: Sequence[HistoryRecord]) -> Importer:
    importer = Importer(log, has_left=stays)
    await importer.take(placed(records))
    return importer


async def stays(session_id: str) -> bool:
    return False


def placed(records: Sequence[HistoryRecord]) -> list[PlacedRecord]:
    return [(f"file, line {number}", each) for number, each in enumerate(records, start=1)]


async def causes(log: MemoryLog) -> list[tuple[int, int | None]]:
    """Of each decision: the position that it is on, and how far it says that `.in` was read."""
    found = [each.fact for each in await log.read("s")]
    return [
        (each.cause_seq, each.in_seq) for each in found if isinstance(each, Decided | SessionParked)
    ]


@pytest.mark.parametrize(
    ("positions", "cause_seq"),
    [
        ((40, 41), 40),
        # Of a log that was one stream and has partitions now, references are sequences.
        ((position_of(3, 40), position_of(3, 41)), 40),
        ((position_of(3, 40), position_of(3, 41)), position_of(3, 40)),
    ],
)
async def test_what_a_decision_is_about_is_found_here(
    positions: tuple[int, int], cause_seq: int
) -> None:
    log = MemoryLog()
    await log.append("other", "in", encoded_webhook(wire_body(answered("x")), "x"))
    both = [
        record(positions[0], answered()),
        record(positions[1], decided(cause_seq)),
        record(positions[1] + 1, decided(cause_seq, in_seq=cause_seq)),
    ]
    await into(log, both)
    assert await causes(log) == [(2, None), (2, 2)]


async def test_what_was_not_exported_is_referred_to_as_0() -> None:
    log = MemoryLog()
    parked = SessionParked(cause_seq=9, error="no", attempts=5)
    await into(log, [record(10, decided(9, 9)), record(11, parked), record(12, decided(9, 0))])
    assert await causes(log) == [(0, None), (0, None), (0, 0)]


async def test_fields_that_this_version_does_not_know_are_kept() -> None:
    stored = record(41, decided(40))
    fields = msgspec.json.decode(stored.body) | {"new_field": [1]}
    kept: list[bytes] = []

    class Keeping(MemoryLog):
        async def append(self, session_id, side, encoded, **more):  # type: ignore[no-untyped-def]
            kept.append(encoded.body)
            return await super().append(session_id, side, encoded, **more)

    log = Keeping()
    await into(log, [record(40, answered()), replace(stored, body=msgspec.json.encode(fields))])
    assert msgspec.json.decode(kept[1]) == fields | {"cause_seq": 1}


async def test_repeated_facts_and_facts_without_an_id_are_all_kept() -> None:
    log = MemoryLog()
    command = IssuedCommand(command_id="c", operation="hangup", call_control_id="v3:a")
    request = CommandRequested(command=command)
    records = [
        *(record(number, request) for number in (1, 2)),
        *(record(number, SessionResumed(resumed_by="me")) for number in (3, 4)),
        *(record(number, answered()) for number in (5, 6)),
    ]
    importer = await into(log, records)
    assert importer.done.added == 6
    assert [each.imported_from for each in await log.read("s")] == [1, 2, 3, 4, 5, 6]
    assert (await into(log, records)).done.known == 6


async def test_an_id_that_the_log_remembers_from_elsewhere_hides_no_record() -> None:
    log = MemoryLog()
    await log.append("another", "in", encoded_webhook(wire_body(answered("e1")), "e1"))
    importer = await into(log, [record(7, answered("e1"))])
    assert importer.done.added == 1
    assert [each.imported_from for each in await log.read("s")] == [7]


async def test_two_imports_at_once_come_to_the_same() -> None:
    log = MemoryLog()
    records = [record(1, answered("e1")), record(2, decided(1)), record(3, answered("e2"))]
    one, other = Importer(log, has_left=stays), Importer(log, has_left=stays)
    for each in records:
        await one.take(placed([each]))
        await other.take(placed([each]))
    assert [each.imported_from for each in await log.read("s")] == [1, 2, 3]
    assert await causes(log) == [(1, None)]
    assert (one.done.refused, other.done.refused) == ({}, {})


async def test_a_read_while_another_import_appends_refuses_no_session() -> None:
    class Torn(MemoryLog):
        """Its first read has the second record on one side, and not the first on the other."""

        reads = 0

        async def messages(self, session_id, **more):  # type: ignore[no-untyped-def]
            self.reads += 1
            found = await super().messages(session_id, **more)
            return found[1:] if self.reads == 1 else found

    log = Torn()
    records = [record(1, answered("e1")), record(2, decided(1)), record(3, answered("e2"))]
    for each in records[:2]:
        await log.append(
            "s",
            "in" if each.side == "in" else "out",
            Encoded(type=each.type, version=1, fact_id=each.fact_id, body=each.body),
            headers=imported_headers(each.position, each.stored_at),
        )
    importer = await into(log, records)
    assert importer.done.refused == {}
    assert (importer.done.added, importer.done.known) == (1, 2)


async def test_a_record_on_the_wrong_side_is_left_out() -> None:
    log = MemoryLog()
    importer = await into(log, [replace(record(1, answered()), side="")])
    assert importer.done.unreadable == Named(
        count=1, first=["file, line 1: WebhookReceived is on side '' of s: no session's record"]
    )
    assert list(await log.read("s")) == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"session_id": "a b"}, "session is 'a b'; expected 1 to 64 letters, digits, - or _"),
        ({"session_id": ""}, "session is ''"),
        ({"session_id": "a.b.>"}, "session is 'a.b.>'"),
        ({"session_id": "a\0b"}, r"session is 'a\x00b'"),
        ({"session_id": "a" * 65}, "session is 'aaaa"),
        ({"stored_at": datetime.min.replace(tzinfo=UTC)}, "stored_at is 0001-01-01T00:00:00+00:00"),
        ({"stored_at": datetime.max.replace(tzinfo=UTC)}, "expected a time from 1970 to 2199"),
        ({"headers": {"a\r\nb": "c"}}, r"header 'a\r\nb' is 'c'; expected a name without"),
        ({"headers": {"a:b": "c"}}, "header 'a:b' is 'c'"),
        ({"headers": {"a b": "c"}}, "header 'a b' is 'c'"),
        ({"headers": {"": "c"}}, "header '' is 'c'"),
        ({"headers": {"a": "b\nc: d"}}, r"header 'a' is 'b\nc: d'"),
        ({"headers": {"a": " b"}}, "header 'a' is ' b'"),
    ],
)
async def test_what_a_log_cannot_store_is_left_out_and_named(
    change: dict[str, Any], named: str
) -> None:
    log = MemoryLog()
    good, bad = record(1, answered("e1"), "other"), replace(record(2, answered("e2")), **change)
    importer = await into(log, [good, bad, record(3, answered("e3"), "other")])
    assert [each.imported_from for each in await log.read("other")] == [1, 3]
    assert (importer.done.added, importer.done.unreadable.count) == (2, 1)
    assert importer.done.unreadable.first[0].startswith("file, line 2: ")
    assert named in importer.done.unreadable.first[0]


async def test_headers_of_a_file_do_not_take_the_place_of_the_records_own() -> None:
    kept: list[Mapping[str, str]] = []

    class Keeping(MemoryLog):
        async def append(self, session_id, side, encoded, **more):  # type: ignore[no-untyped-def]
            kept.append(more["headers"])
            return await super().append(session_id, side, encoded, **more)

    odd = {"Offhook-Type": "Decided", "Offhook-Version": "9", "Nats-Rollup": "all", "mine": "kept"}
    await into(Keeping(), [replace(record(1, answered()), headers=odd)])
    assert kept[0] == {"mine": "kept"} | imported_headers(1, record(1, answered()).stored_at)


async def test_a_log_that_refuses_a_record_is_quoted_with_its_place() -> None:
    class Refusing(MemoryLog):
        async def append(self, session_id, side, encoded, **more):  # type: ignore[no-untyped-def]
            if encoded.fact_id == "e2":
                raise LogUnavailable("calls.0.s.in: 9 bytes; NATS says: message size exceeds")
            return await super().append(session_id, side, encoded, **more)

    with pytest.raises(LogUnavailable, match=r"file, line 2: calls\.0\.s\.in: 9 bytes"):
        await into(Refusing(), [record(1, answered("e1")), record(2, answered("e2"))])


async def test_the_wrong_installation_is_given_up() -> None:
    log = MemoryLog()
    records = []
    for number in range(REFUSED_MAX):
        name, body = f"s{number}", wire_body(answered(f"e{number}"))
        await log.append(name, "in", encoded_webhook(body, f"e{number}"))
        records.append(record(number + 5000, answered("other"), name))
    with pytest.raises(
        OperatorFault,
        match="1,000 sessions were refused; the last: file, line 1000: session s999 has other",
    ):
        await into(log, records)
