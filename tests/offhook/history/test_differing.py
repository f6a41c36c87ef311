"""What of a record differs from the log: of references, only what they mean counts."""

from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import pytest

from offhook.events import Decided
from offhook.history.differing import differences, digest_of
from offhook.history.lines import HistoryRecord
from offhook.jetstream.consuming.delivery import DeliveredRecord
from offhook.position import position_of

HERE = position_of(3, 41)


def decided(cause_seq: int, in_seq: int | None = None) -> bytes:
    return msgspec.json.encode(
        Decided(
            cause_seq=cause_seq,
            cause_id="e",
            flow="f",
            flow_version="1",
            worker="w",
            lease_s=3.0,
            in_seq=in_seq,
        )
    )


def both(kind: str, stored: bytes, body: bytes) -> tuple[DeliveredRecord, HistoryRecord]:
    at = datetime(2026, 11, 22, 12, tzinfo=UTC)
    delivered = DeliveredRecord(
        seq=HERE, session_id="s", side="out", type=kind, version=1, stored_at=at, body=stored,
        headers={"Offhook-Imported": "7", "Offhook-Stored-At": at.isoformat()},
    )  # fmt: skip
    record = HistoryRecord(
        position=7, session_id="s", side="out", type=kind, version=1, stored_at=at, body=body
    )
    return delivered, record


@pytest.mark.parametrize(
    ("stored", "body", "what"),
    [
        # Of a log that was one stream and has partitions now, references are sequences.
        (decided(40), decided(position_of(3, 40)), []),
        (decided(40, 39), decided(position_of(3, 40), position_of(3, 39)), []),
        (decided(40), decided(position_of(2, 40)), ["body (cause_seq)"]),
        (decided(40), decided(39), ["body (cause_seq)"]),
        (decided(40), decided(40, 0), ["body (in_seq)"]),
        (decided(0), decided(40), ["body (cause_seq)"]),
    ],
)
def test_a_reference_is_compared_as_the_position_that_it_means(
    stored: bytes, body: bytes, what: list[str]
) -> None:
    assert differences(*both("Decided", stored, body)) == what


@pytest.mark.parametrize(
    ("stored", "body", "what"),
    [
        (b'{"a":1}', b'{"a":true}', ["body (a)"]),
        (b'{"a":1}', b'{"a":1.0}', ["body (a)"]),
        (b'{"a":null}', b"{}", ["body (a)"]),
        (b'{"a":{"b":1,"c":2}}', b'{"a":{"b":2,"c":2}}', ["body (a.b)"]),
        (b'{"a":1,"b":1,"c":1,"d":1,"e":1}', b"{}", ["body (a, b, c and 2 more)"]),
        (b'{"a":1}', b'{"a": 1}', ["body (the same JSON in other bytes)"]),
        (b"no JSON", b'{"a":1}', ["body (not JSON objects)"]),
        (b"\xff", b"[]", ["body (not JSON objects)"]),
    ],
)
def test_the_fields_of_a_body_that_differ_are_named(
    stored: bytes, body: bytes, what: list[str]
) -> None:
    delivered, record = both("WebhookReceived", stored, body)
    assert differences(delivered, record) == what
    assert digest_of(delivered) != digest_of(record)


def test_the_headers_of_an_import_are_no_difference() -> None:
    delivered, record = both("WebhookReceived", b"{}", b"{}")
    assert differences(delivered, record) == []
    assert digest_of(delivered) == digest_of(record)
    signed = replace(record, headers={"telnyx-timestamp": "1"})
    assert differences(delivered, signed) == ["header telnyx-timestamp"]
    assert digest_of(delivered) != digest_of(signed)
