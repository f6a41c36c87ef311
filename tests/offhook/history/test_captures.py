"""Captured webhooks as files: one, an array, or one a line; with headers or without."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from offhook.codec.webhooks import wire_body
from offhook.errors import HistoryUnreadable
from offhook.events import CallAnswered
from offhook.history.files import writing
from offhook.history.lines import line_of
from offhook.history.sources import records_of
from tests.offhook.history.test_lines import RECORD

AT = datetime(2026, 11, 22, 10, 0, 0, tzinfo=UTC)


def body(number: int) -> bytes:
    event = CallAnswered(
        event_id=f"e{number}", occurred_at=AT, call_control_id="v3:a", call_session_id="s"
    )
    return wire_body(event)


PRETTY = json.dumps(json.loads(body(1)), indent=2).encode()
HEADERS = {"Telnyx-Signature-Ed25519": "c2ln", "Telnyx-Timestamp": "1763805600", "Host": "x"}
WRAPPED = json.dumps({"headers": HEADERS, "body": body(1).decode()}).encode()


@pytest.mark.parametrize(
    ("content", "bodies"),
    [
        (body(1), [body(1)]),
        (body(1) + b"\n", [body(1)]),
        (PRETTY + b"\n", [PRETTY]),
        (body(1) + b"\n" + body(2) + b"\n", [body(1), body(2)]),
        (b"[" + body(1) + b", " + body(2) + b"]", [body(1), body(2)]),
        (b"[\n" + PRETTY + b"\n]\n", [PRETTY]),
        (WRAPPED + b"\n" + body(2), [body(1), body(2)]),
        (b"", []),
        (b"[]", []),
    ],
)
def test_a_file_of_webhooks_is_read_byte_for_byte(
    tmp_path: Path, content: bytes, bodies: list[bytes]
) -> None:
    path = tmp_path / "captured.json"
    path.write_bytes(content)
    found = [record for _, record in records_of(str(path))]
    assert [each.body for each in found] == bodies
    assert {each.session_id for each in found} <= {"s"}
    assert {each.position for each in found} <= {0}


def test_headers_that_were_captured_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "captured.json"
    path.write_bytes(WRAPPED)
    [(_, found)] = records_of(str(path))
    assert found.headers == {"telnyx-signature-ed25519": "c2ln", "telnyx-timestamp": "1763805600"}
    assert found.stored_at == datetime.fromtimestamp(1763805600, UTC)
    path.write_bytes(body(1))
    [(_, found)] = records_of(str(path))
    assert (found.headers, found.stored_at) == ({}, AT)


def test_a_file_of_history_is_read_as_one(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl.zst"
    with writing(str(path)) as file:
        file.write(line_of(RECORD))
    assert list(records_of(str(path))) == [(f"{path}, line 1", RECORD)]


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"hello\n", r": b'hello\n' is neither"),
        (b"[1, 2]", "webhook 1: b'1' has no event"),
        (body(1) + b'\n{"a": 1}\n', "line 2: "),
        (line_of(RECORD) + b"\n{}\n", "line 3: b'{}' is not a line of history"),
        (line_of(RECORD).replace(b'"v":1', b'"v":9'), "line 1: a line has format v 9"),
        (
            b'{"data":{"event_type":"call.answered","id":"e9","payload":{"call_session_id":"s"}}}',
            "webhook e9 has no time",
        ),
    ],
)
def test_what_is_neither_is_named(tmp_path: Path, content: bytes, named: str) -> None:
    path = tmp_path / "odd.json"
    path.write_bytes(content)
    with pytest.raises(HistoryUnreadable) as raised:
        list(records_of(str(path)))
    assert str(raised.value).startswith(str(path))
    assert named in str(raised.value)
