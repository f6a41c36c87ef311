"""A record as a line: what comes back is what went in, and nothing unknown is dropped."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.errors import HistoryUnreadable
from offhook.history.lines import FORMAT, HistoryRecord, line_of, record_from

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
history_records = st.builds(
    HistoryRecord,
    position=st.integers(0, 2**53 - 1),
    session_id=text,
    side=st.sampled_from(["in", "out", ""]),
    type=text,
    version=st.integers(0, 10**8),
    stored_at=st.datetimes(timezones=st.just(UTC)),
    fact_id=text,
    headers=st.dictionaries(text, text, max_size=4),
    body=st.binary(max_size=60) | text.map(str.encode),
)

RECORD = HistoryRecord(
    position=7,
    session_id="s1",
    side="in",
    type="WebhookReceived",
    version=1,
    stored_at=datetime(2026, 11, 22, 10, 0, 0, 123456, tzinfo=UTC),
    fact_id="e1",
    headers={"telnyx-timestamp": "1763805600"},
    body='{"a": "é"}\n'.encode(),
)


@given(history_records)
def test_a_record_comes_back_from_its_line_as_it_was(record: HistoryRecord) -> None:
    line = line_of(record)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert record_from(line) == record
    assert line_of(record_from(line)) == line


def test_the_line_is_as_its_decision_note_says() -> None:
    assert line_of(RECORD).decode() == (
        '{"v":1,"position":7,"session":"s1","side":"in","type":"WebhookReceived","version":1,'
        '"stored_at":"2026-11-22T10:00:00.123456Z","id":"e1",'
        '"headers":{"telnyx-timestamp":"1763805600"},"body":"{\\"a\\": \\"é\\"}\\n"}\n'
    )


def test_bytes_that_are_no_utf_8_are_written_as_base64() -> None:
    line = json.loads(line_of(_with(body=b"\xff\x00")))
    assert line["body_base64"] == "/wA="
    assert "body" not in line


def test_a_time_of_another_zone_is_the_same_moment() -> None:
    there = RECORD.stored_at.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert line_of(_with(stored_at=there)) == line_of(RECORD)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"lease": 1}, "unknown field `lease`"),
        ({"v": FORMAT + 1}, "a line has format v 2; this version of Offhook reads v 1"),
        ({"v": FORMAT + 1, "lease": 1}, "a line has format v 2"),
        ({"v": None}, "`$.v`"),
        ({"position": -1}, "`$.position`"),
        ({"position": "7"}, "`$.position`"),
        ({"side": "up"}, "`$.side`"),
        ({"stored_at": "yesterday"}, "`$.stored_at`"),
        ({"stored_at": "2026-11-22T10:00:00"}, "`$.stored_at`"),
        ({"stored_at": "9999-12-31T23:00:00-01:00"}, "stored_at is 9999-12-31T23:00:00-01:00"),
        ({"stored_at": "0001-01-01T00:59:00+01:00"}, "stored_at is 0001-01-01T00:59:00+01:00"),
        ({"headers": {"a": 1}}, "`$.headers[...]`"),
        ({"body_base64": "AA=="}, "expected either body or body_base64"),
        ({"body": None}, "expected either body or body_base64"),
        ({"body": None, "body_base64": "a"}, "body_base64 is not base64"),
    ],
)
def test_a_line_that_would_lose_something_is_refused(change: dict[str, Any], named: str) -> None:
    line = json.dumps(json.loads(line_of(RECORD)) | change).encode()
    with pytest.raises(HistoryUnreadable) as raised:
        record_from(line)
    assert named in str(raised.value)


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"\xff", b'{"v":1}', b"[" * 100_000])
def test_what_is_no_line_of_history_is_refused(line: bytes) -> None:
    with pytest.raises(HistoryUnreadable):
        record_from(line)


def test_a_side_that_does_not_exist_is_not_written() -> None:
    with pytest.raises(ValueError, match="side is 'up'"):
        line_of(_with(side="up"))


def _with(**changes: Any) -> HistoryRecord:
    return HistoryRecord(**(vars(RECORD) | changes))
