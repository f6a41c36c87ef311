"""JSON from outside, read as far as possible. Pure.

A strict reader (msgspec, fast) is tried first. If it fails, the body is read again, with each odd
part replaced and the rest kept:

    half a surrogate pair, a byte that is not UTF-8             U+FFFD
    CESU-8 (a surrogate pair as two three-byte sequences)       the character
    a raw tab, newline or NUL in a string, an escape like \\x   as it is
    NaN, Infinity, nan, undefined, None                         null
    1e999, 007, +1, 0x1f, an integer over 64 bits               text
    True, FALSE                                                 true, false
    a trailing comma, a byte order mark, text after the end     left out
    more than DEPTH_MAX levels, if that is too deep to read     null

The result can be written as JSON again and stored in Postgres (except for NULs, which `storable`
in `projections/views/view.py` replaces): it has no lone surrogates and no floats that are not
finite.
"""

import json
import math
import re
from typing import Any

import msgspec

DEPTH_MAX = 64
"""Levels kept of a document that is nested too deep for a strict reader."""


class NotJson(ValueError):
    """These bytes cannot be read as JSON, even leniently."""


def read_json(body: bytes) -> tuple[Any, bool]:
    """The document, and whether a strict reader accepts it. Raises NotJson."""
    try:
        return msgspec.json.decode(body), True
    except (ValueError, RecursionError):  # msgspec's errors and UnicodeDecodeError are ValueErrors
        return _lenient(body), False


def _lenient(body: bytes) -> Any:
    text = _text_of(body)
    if not text.startswith(("{", "[")):
        raise NotJson("expected an object or an array")
    try:
        return _document_in(text)
    except (ValueError, RecursionError):
        text = _mended(text)
    try:
        try:
            return _document_in(text)
        except RecursionError:
            return _document_in(_shallow(text))
    except ValueError as error:
        raise NotJson(str(error)) from error


def _document_in(text: str) -> Any:
    document, _ = _DECODER.raw_decode(text)
    return _with_whole_characters(document)


def _text_of(body: bytes) -> str:
    try:
        text = body.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        text = body.decode("utf-8", "replace")
    return text.lstrip("\ufeff\0 \t\r\n")


def _mended(text: str) -> str:
    """The text with every token that is not JSON as text or null, and without trailing commas."""
    return _TOKEN.sub(_mended_token, text)


def _mended_token(match: re.Match[str]) -> str:
    token = match[0]
    if token[0] == '"':
        return _ESCAPES.sub(_mended_escape, token) if "\\" in token else token
    if token == ",":
        return ""
    word = token.lower()
    if word in _WORDS or _NUMBER.fullmatch(token):
        return word
    return "null" if word.lstrip("+-") in _NO_VALUES else json.dumps(token)


def _mended_escape(match: re.Match[str]) -> str:
    return match[1] or "\\\\"  # a backslash that starts no JSON escape stands for itself


def _shallow(text: str) -> str:
    """The text without levels below DEPTH_MAX. Raises NotJson if the end is missing."""
    kept: list[str] = []
    depth = start = 0
    for match in _BRACKET.finditer(text):
        bracket = match[0]
        if bracket in "[{":
            depth += 1
            if depth == DEPTH_MAX + 1:
                kept += (text[start : match.start()], "null")
        elif bracket in "]}":
            if depth == DEPTH_MAX + 1:
                start = match.end()
            depth -= 1
    if depth > DEPTH_MAX:
        raise NotJson("the document ends in the middle")
    return "".join((*kept, text[start:]))


def _with_whole_characters(value: Any) -> Any:
    """The value with halves of surrogate pairs joined, and lone ones replaced."""
    match value:
        case str():
            if not _SURROGATE.search(value):
                return value
            return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        case list():
            return [_with_whole_characters(item) for item in value]
        case dict():
            return {
                _with_whole_characters(name): _with_whole_characters(item)
                for name, item in value.items()
            }
        case _:
            return value


def _float(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text


def _integer(text: str) -> int | str:
    # Over 20 characters do not fit into 64 bits, and Python refuses thousands of digits.
    number = int(text) if len(text) <= _INTEGER_CHARS_MAX else _INTEGERS_BELOW
    return number if abs(number) < _INTEGERS_BELOW else text


def _no_number(text: str) -> None:
    """NaN, Infinity, -Infinity: as text they could be taken for an id or a name."""


_INTEGER_CHARS_MAX = 20
_INTEGERS_BELOW = 2**63
_DECODER = json.JSONDecoder(
    strict=False, parse_float=_float, parse_int=_integer, parse_constant=_no_number
)

_STRING = r'"[^"\\]*+(?:\\.?[^"\\]*+)*+(?:"|\Z)'  # the last one may lack its end
_TOKEN = re.compile(_STRING + r'|,(?=\s*[\]}])|[^\s,:\[\]{}"]++', re.DOTALL)
_BRACKET = re.compile(_STRING + r"|[\[\]{}]", re.DOTALL)
_ESCAPES = re.compile(r'((?:[^\\]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))++)|\\')
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_SURROGATE = re.compile("[\ud800-\udfff]")
_WORDS = frozenset({"true", "false", "null"})
_NO_VALUES = frozenset({"nan", "inf", "infinity", "undefined", "none", "nil"})
