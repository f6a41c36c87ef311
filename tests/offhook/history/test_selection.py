"""Which records are meant: times, numbers and types as they are typed; wrong ones are named."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from offhook.codec.webhooks import wire_body
from offhook.errors import SelectionInvalid
from offhook.events import CallHangup
from offhook.history.selection import Selection, moment_from
from tests.offhook.history.test_lines import RECORD

NOW = datetime(2026, 11, 22, 10, 0, 0, tzinfo=UTC)
HANGUP = replace(RECORD, body=wire_body(CallHangup(event_id="e1", call_control_id="v3:a")))
DECIDED = replace(RECORD, type="Decided", side="out", body=b"{}")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("15m", NOW - timedelta(minutes=15)),
        ("2h", NOW - timedelta(hours=2)),
        ("7d", NOW - timedelta(days=7)),
        ("2026-11-22T10:00:00Z", NOW),
        ("2026-11-22T12:00:00.5+02:00", NOW + timedelta(seconds=0.5)),
    ],
)
def test_a_time_is_rfc_3339_or_how_long_ago(text: str, moment: datetime) -> None:
    assert moment_from(text, NOW) == moment


@pytest.mark.parametrize(
    "text", ["", "2", "2w", "-2h", "yesterday", "2026-11-22", "2026-11-22T10:00:00", "999999999d"]
)
def test_what_is_no_time_is_named(text: str) -> None:
    with pytest.raises(SelectionInvalid, match="is not a time") as raised:
        moment_from(text, NOW)
    assert repr(text) in str(raised.value)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"since": NOW, "until": NOW}, "the first must be the earlier one"),
        ({"first_position": 3, "last_position": 2}, "from position 0:3 to 0:2"),
        ({"numbers": ["012"]}, "number '012' is not E.164"),
        ({"types": ["call.hangup", "decided"]}, "did you mean Decided?"),
        ({"types": ["hang up"]}, "type 'hang up' is neither"),
    ],
)
def test_a_selection_that_means_nothing_is_refused(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(SelectionInvalid) as raised:
        Selection(**fields)
    assert named in str(raised.value)


@pytest.mark.parametrize(
    ("types", "taken"),
    [
        ((), [True, True]),
        (("call.hangup",), [True, False]),
        (("WebhookReceived",), [True, False]),
        (("Decided",), [False, True]),
        (("call.hangup", "Decided"), [True, True]),
        (("call.answered", "call.something_new"), [False, False]),
    ],
)
def test_a_type_is_the_carriers_or_the_logs(types: tuple[str, ...], taken: list[bool]) -> None:
    selection = Selection(types=types)
    assert [selection.takes_type_of(each) for each in (HANGUP, DECIDED)] == taken


@pytest.mark.parametrize(
    ("fields", "taken"),
    [
        ({"since": RECORD.stored_at}, True),
        ({"until": RECORD.stored_at}, False),
        ({"first_position": 7, "last_position": 7}, True),
        ({"first_position": 8}, False),
        ({"last_position": 6}, False),
        ({"sessions": ["s1"]}, True),
        ({"sessions": ["s2"]}, False),
    ],
)
def test_a_record_in_a_file_is_selected_the_same_way(fields: dict[str, Any], taken: bool) -> None:
    assert Selection(**fields).takes(RECORD) == taken
