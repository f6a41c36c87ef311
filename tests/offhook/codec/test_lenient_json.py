"""JSON that readers differ over: the odd part is replaced, and all else is as it was."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.codec.lenient_json import DEPTH_MAX, NotJson, read_json

ODD: list[tuple[bytes, Any]] = [
    (rb'"Zoe \ud83d"', "Zoe \ufffd"),
    (rb'"\ude00 Zoe"', "\ufffd Zoe"),
    (rb'"\ude00\ud83d"', "\ufffd\ufffd"),
    (b'"Jos\xe9"', "Jos\ufffd"),
    (b'"\xed\xa0\xbd\xed\xb8\x80"', "\U0001f600"),
    (b'"\xed\xa0\xbd"', "\ufffd"),
    (b'"a\tb\nc\x00d"', "a\tb\nc\0d"),
    (rb'"O\'Brien"', r"O\'Brien"),
    (rb'"\x41 \\ \u12 \u0041 \n"', "\\x41 \\ \\u12 A \n"),
    (rb'"\""', '"'),
    (b"NaN", None),
    (b"-Infinity", None),
    (b"-nan", None),
    (b"undefined", None),
    (b"None", None),
    (b"True", True),
    (b"1e999", "1e999"),
    (b"-1e999", "-1e999"),
    (b"007", "007"),
    (b"+12025550123", "+12025550123"),
    (b"0x1f", "0x1f"),
    (b"9" * 5_000, "9" * 5_000),
    (b"[1,2,]", [1, 2]),
    (b'{"b":1,}', {"b": 1}),
]


@pytest.mark.parametrize(("odd", "value"), ODD, ids=[repr(odd)[:24] for odd, _ in ODD])
def test_an_odd_value_costs_only_itself(odd: bytes, value: Any) -> None:
    body = b'{"before": ["x", 1.5, {"y": null}], "odd": %s , "after": "z\\u00e9"}' % odd
    document, _ = read_json(body)
    assert document == {"before": ["x", 1.5, {"y": None}], "odd": value, "after": "z\xe9"}


def test_several_odd_values_are_all_replaced() -> None:
    document, is_strict = read_json(rb'{"a": nan, "b": "\ud83d", "c": 01, "\ud800": "' + b'\xe9"}')
    assert document == {"a": None, "b": "\ufffd", "c": "01", "\ufffd": "\ufffd"}
    assert not is_strict


@pytest.mark.parametrize(
    "body",
    [
        b'\xef\xbb\xbf{"a": 1}',
        b'{"a": 1}\0\0',
        b'{"a": 1}{"b": 2}',
        b'\0 {"a": 1} and more',
    ],
)
def test_what_is_around_the_document_is_left_out(body: bytes) -> None:
    assert read_json(body) == ({"a": 1}, False)


@pytest.mark.parametrize("levels", [900, 1_500, 100_000])
def test_what_is_nested_too_deep_is_left_out_alone(levels: int) -> None:
    deep = b"[" * levels + rb'"]\""' + b"]" * levels
    document, is_strict = read_json(b'{"a": 1, "deep": %s, "b": 2}' % deep)
    assert (document["a"], document["b"]) == (1, 2)
    if not is_strict:
        kept, inner = 1, document["deep"]
        while inner is not None:
            (inner,) = inner
            kept += 1
        assert kept == DEPTH_MAX


@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe", b"x=1", b"nan", b'"a\t"', b'{"a": "b', b'{"a" 1}', b"[" * 100_000]
)
def test_what_is_no_document_is_refused(body: bytes) -> None:
    with pytest.raises(NotJson):
        read_json(body)


def test_a_repeated_name_has_its_last_value_however_it_is_read() -> None:
    assert read_json(b'{"a": 1, "a": 2}') == ({"a": 2}, True)
    assert read_json(b'{"a": 1, "a": 2, "b": NaN}') == ({"a": 2, "b": None}, False)


texts = st.text(st.characters(), max_size=8)  # halves of surrogate pairs too
documents = st.dictionaries(
    texts,
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | texts,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)


@given(documents)
def test_whatever_is_read_can_be_written_again(document: dict[str, Any]) -> None:
    again, is_strict = read_json(json.dumps(document).encode())
    msgspec.json.encode(again)
    if is_strict:
        assert again == document


@given(st.binary(max_size=80) | st.text('{}[]",:\\\\ud8n1e9\t ', max_size=40).map(str.encode))
def test_bytes_of_any_kind_are_read_or_refused(body: bytes) -> None:
    try:
        document, _ = read_json(body)
    except NotJson:
        return
    msgspec.json.encode(document)
