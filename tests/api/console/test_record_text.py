"""A record's body in the panel of the session's page."""

import json
from typing import Any

from offhook.api.console.record_text import record_text, with_positions
from offhook.position import position_of

TRACEBACK = '  File "flow.py", line 3, in decide\n    orders["+1"]\nKeyError: "+1"\n'


def record(body: object, *, signature: object = None) -> dict[str, Any]:
    return {
        "seq": position_of(2, 9),
        "body": body if isinstance(body, str) else json.dumps(body),
        "body_base64": None,
        "signature": signature,
    }


def test_a_traceback_has_lines_of_its_own_and_positions_are_readable() -> None:
    found = record_text(
        record({"cause_seq": position_of(2, 8), "error": "boom", "traceback": TRACEBACK})
    )
    assert found.traceback == TRACEBACK
    assert json.loads(found.body) == {"cause_seq": "2:8", "error": "boom"}
    assert found.body.count("\n") == 3


def test_a_reference_from_before_partitions_is_in_the_record_s_own() -> None:
    assert json.loads(record_text(record({"cause_seq": 8})).body) == {"cause_seq": "2:8"}


def test_a_webhook_is_shown_as_it_was_stored() -> None:
    stored = '{"cause_seq":281474976710664,"traceback":"a\\nb","cost":1.10}'
    found = record_text(record(stored, signature={"verdict": "authentic"}))
    assert found.traceback == ""
    assert "".join(found.body.split()) == stored


def test_a_character_that_turns_the_direction_of_writing_is_seen() -> None:
    stored = '{"from":"sip:\u202eevil@x"}'
    for signature in (None, {"verdict": "authentic"}):
        found = record_text(record(stored, signature=signature))
        assert "sip:\\u202eevil@x" in found.body
        assert json.loads(found.body) == json.loads(stored)


def test_what_is_no_json_is_shown_as_it_is() -> None:
    assert record_text(record("<xml/>")).body == "<xml/>"
    odd = record("") | {"body": None, "body_base64": "/w=="}
    assert record_text(odd).body == "base64: /w=="


def test_positions_are_found_at_any_depth_and_nothing_else_is_changed() -> None:
    fields = {"a": [{"in_seq": 8, "out_seq": 0}, 7], "seq": 5, "odd_seq": True, "b": None}
    assert with_positions(fields, 9) == {
        "a": [{"in_seq": "0:8", "out_seq": 0}, 7],
        "seq": 5,
        "odd_seq": True,
        "b": None,
    }
