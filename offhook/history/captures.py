"""Captured webhooks as records of history. `body` is kept byte for byte.

A file holds one webhook, or an array of them, or one in each line. Each is the carrier's JSON as it
was received, or an object around it with the headers that came with it, for `offhook verify`:

    {"headers": {"telnyx-signature-ed25519": "…", "telnyx-timestamp": "…"}, "body": "…"}
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import msgspec

from offhook.codec.webhooks import read_webhook
from offhook.errors import HistoryUnreadable, shown
from offhook.events import WebhookReceived
from offhook.history.lines import HistoryRecord
from offhook.jetstream.message import TRACE_HEADER
from offhook.telnyx.signature import SIGNATURE_HEADER, TIMESTAMP_HEADER

HEADERS_KEPT = frozenset({SIGNATURE_HEADER, TIMESTAMP_HEADER, TRACE_HEADER})

CONTENT_BYTES_MAX = 256 * 1024 * 1024
"""Of a file that is one webhook or one array: it is read at once. Lines have no such bound."""


def captures_in(content: bytes) -> Iterator[bytes]:
    """The webhooks of a JSON text, which is one of them or an array. Raises HistoryUnreadable."""
    try:
        if content.lstrip().startswith(b"["):
            yield from map(bytes, msgspec.json.decode(content, type=list[msgspec.Raw]))
        else:
            msgspec.json.decode(content, type=dict[str, msgspec.Raw])
            yield content.strip()
    except (msgspec.DecodeError, RecursionError) as error:
        raise HistoryUnreadable(
            f"{shown(content[:200])} is neither history nor the JSON of a webhook: {error}"
        ) from error


def captured_record(capture: bytes) -> HistoryRecord:
    """A captured webhook as a record without a position. Raises HistoryUnreadable."""
    headers, body = _unwrapped(capture)
    webhook = read_webhook(body)
    if "no_event" in webhook.oddities or "not_json" in webhook.oddities:
        raise HistoryUnreadable(f"{shown(body[:200])} has no event of the carrier in it")
    stored_at = _time_in(headers) or webhook.event.occurred_at
    if stored_at is None:
        raise HistoryUnreadable(
            f"webhook {webhook.event.event_id} has no time: neither occurred_at nor a header"
            f" {TIMESTAMP_HEADER}"
        )
    return HistoryRecord(
        position=0,
        session_id=webhook.session_id,
        side="in",
        type=WebhookReceived.__name__,
        version=webhook.version,
        stored_at=stored_at,
        fact_id=webhook.event.event_id,
        headers=headers,
        body=body,
    )


class _Wrapped(msgspec.Struct, forbid_unknown_fields=True):
    headers: dict[str, str]
    body: msgspec.Raw


def _unwrapped(capture: bytes) -> tuple[Mapping[str, str], bytes]:
    try:
        found = msgspec.json.decode(capture, type=_Wrapped)
    except (msgspec.DecodeError, RecursionError):
        return {}, capture
    body = bytes(found.body)
    if body.startswith(b'"'):
        body = msgspec.json.decode(body, type=str).encode()
    lower = {name.lower(): value for name, value in found.headers.items()}
    return {name: value for name, value in lower.items() if name in HEADERS_KEPT}, body


def _time_in(headers: Mapping[str, str]) -> datetime | None:
    text = headers.get(TIMESTAMP_HEADER, "")
    if not text.isdecimal() or len(text) > _DIGITS_MAX:
        return None
    return datetime.fromtimestamp(int(text), UTC)


_DIGITS_MAX = 10  # Unix seconds until the year 2286
