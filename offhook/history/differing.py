"""What of a record in a file differs from the same record in the log. Pure.

The log's copy is not kept in memory but for a digest: it is read again only if the digests differ.
"""

import hashlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec

from offhook.events import Decided, SessionParked
from offhook.history.lines import HistoryRecord
from offhook.jetstream.consuming.delivery import DeliveredRecord, lasting_headers
from offhook.jetstream.message import IMPORTED_HEADER, STORED_AT_HEADER
from offhook.position import referred
from offhook.telnyx.signature import SIGNATURE_HEADER, TIMESTAMP_HEADER

FIELDS_SHOWN_MAX = 3
"""Fields of a body that are named; the others are counted."""


def digest_of(record: DeliveredRecord | HistoryRecord) -> bytes:
    """The same for two records with the same content."""
    rest = (
        record.side,
        record.type,
        record.version,
        record.stored_at,
        sorted(lasting(record.headers).items()),
    )
    return hashlib.blake2b(_ENCODER.encode(rest) + record.body, digest_size=16).digest()


def differences(stored: DeliveredRecord, record: HistoryRecord) -> list[str]:
    """What differs; empty if nothing does."""
    found = []
    for name in ("side", "type", "version", "stored_at"):
        here, there = getattr(stored, name), getattr(record, name)
        if here != there:
            found.append(f"{name} ({_text(there)}, in the log {_text(here)})")
    headers, others = lasting(stored.headers), lasting(record.headers)
    for name in sorted({*headers, *others}):
        if headers.get(name) != others.get(name):
            found.append(f"header {name}")
    if stored.body != record.body:
        fields = _fields_that_differ(stored, record)
        if fields or record.type not in _WITH_REFERENCES:  # those are written again by an import
            found.append(_body(fields))
    return found


def capture_differences(stored: DeliveredRecord, capture: HistoryRecord) -> list[str]:
    """The same for a captured webhook. Another delivery of the same event is no difference.

    It is signed at another time, and the carrier counts its attempts in `meta`. A webhook may be
    captured without its headers.
    """
    signed = [
        name
        for name in (SIGNATURE_HEADER, TIMESTAMP_HEADER)
        if {name} <= stored.headers.keys() & capture.headers.keys()
        and stored.headers[name] != capture.headers[name]
    ]
    found = [f"header {name}" for name in signed] if len(signed) == 1 else []
    if stored.body != capture.body:
        fields = _fields_that_differ(stored, capture)
        if not fields or not all(each.startswith("meta.") for each in fields):
            found.append(_body(fields))
    return found


def _fields_that_differ(stored: DeliveredRecord, record: HistoryRecord) -> list[str]:
    """The paths of the fields that differ between the two bodies."""
    try:
        here, there = (
            msgspec.json.decode(each.body, type=dict[str, Any]) for each in (stored, record)
        )
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ["not JSON objects"]
    for each in (here, there):
        for name in _REFERENCES & each.keys():
            if type(each[name]) is int:
                each[name] = referred(each[name], stored.seq)
    return list(_paths(here, there, ""))


def lasting(headers: Mapping[str, str]) -> dict[str, str]:
    """Without those of an import, and those that an append sets."""
    return {
        name: value
        for name, value in lasting_headers(headers).items()
        if name not in (IMPORTED_HEADER, STORED_AT_HEADER)
    }


def _paths(here: dict[str, Any], there: dict[str, Any], above: str) -> Iterator[str]:
    for name in sorted({*here, *there}):
        one, other = here.get(name, ...), there.get(name, ...)
        if isinstance(one, dict) and isinstance(other, dict):
            yield from _paths(one, other, f"{above}{name}.")
        elif one is ... or other is ... or _ENCODER.encode(one) != _ENCODER.encode(other):
            yield f"{above}{name}"


def _body(fields: list[str]) -> str:
    if not fields:
        return "body (the same JSON in other bytes)"
    more = len(fields) - FIELDS_SHOWN_MAX
    return f"body ({', '.join(fields[:FIELDS_SHOWN_MAX])}{f' and {more} more' * (more > 0)})"


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


_ENCODER = msgspec.json.Encoder()
_WITH_REFERENCES = frozenset({Decided.__name__, SessionParked.__name__})
_REFERENCES = frozenset({"cause_seq", "in_seq"})
"""Their positions. Of a log that was one stream these are sequences (`referred`)."""
