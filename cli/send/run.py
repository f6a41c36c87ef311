"""What `offhook send` does: read captured webhooks, sign them, post them to ingress."""

import hashlib
import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec

from offhook.codec.webhooks import Form, form_of
from offhook.errors import OperatorFault, SenderFault
from offhook.telnyx.signature import sign, signing_key_from

POST_TIMEOUT_S = 5.0

_FORM_WORDS: dict[Form, str] = {
    "v2": "the HTTP body form",
    "flat": "the HTTP body form without `data` around it",
    "v1": "an API v1 webhook",
    "portal": "the form that the portal and the manuals show",
    "call_events": "a record of GET /call_events",
    "payload": "the inside of data.payload alone",
    "unknown": "not a form of webhook that Offhook knows",
}


class NotSendable(SenderFault):
    """A file whose content is not the body of a webhook."""


@dataclass(frozen=True, kw_only=True)
class Sent:
    """The answer to one file."""

    path: Path
    status: int
    answer: str


def body_of(path: Path, *, rebuild: bool = False, event_type: str = "") -> bytes:
    """The HTTP body in the file, byte for byte. Raises NotSendable, naming the form it has.

    With `rebuild` the body is made from another form of the same event. A payload alone does not
    contain its `event_type`, which must then be given.
    """
    try:
        text = path.read_bytes()
        document = msgspec.json.decode(text)
    except OSError as error:
        raise NotSendable(f"{path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotSendable(f"{path} is not JSON: {error}") from error
    form = form_of(document)
    if form in ("v2", "flat"):
        return text
    if rebuild:
        return msgspec.json.encode(_rebuilt(path, form, document, event_type))
    more = " (--rebuild makes one from it)" if form in ("portal", "payload") else ""
    raise NotSendable(
        f"{path} is {_FORM_WORDS[form]}, not the body of a webhook: "
        f"{{data: {{event_type, id, occurred_at, payload}}, meta}}{more}"
    )


def key_in(path: Path) -> str:
    """The text of a file or of standard input; the process list would show an option's value."""
    if path == Path("-"):
        return sys.stdin.read().strip()
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorFault(f"--key-file {path} cannot be read: {error}") from error


def send(
    bodies: Sequence[tuple[Path, bytes]], *, url: str, signing_key: str, now_s: float
) -> list[Sent]:
    """Post each body, in order. Raises httpx.HTTPError if nothing answers at `url`."""
    key = signing_key_from(signing_key)
    sent = []
    with httpx.Client(timeout=POST_TIMEOUT_S) as http:
        for path, body in bodies:
            headers = {"content-type": "application/json", **sign(body, key, now_s)}
            answer = http.post(url, content=body, headers=headers)
            sent.append(Sent(path=path, status=answer.status_code, answer=answer.text.strip()))
    return sent


def _rebuilt(path: Path, form: Form, document: dict[str, Any], event_type: str) -> dict[str, Any]:
    match form:
        case "portal":
            payload = dict(document.get("payload") or {})
            data = {
                "event_type": document["event_type"],
                "id": document["webhook_id"],
                "occurred_at": payload.pop("occurred_at", document.get("created_at")),
            }
        case "payload":
            payload = document
            if not event_type:
                raise NotSendable(f"{path} does not contain its event type: give --event-type")
            # The file has no event id, so one is made of its content: a copy of it is a duplicate.
            digest = hashlib.sha256(event_type.encode() + msgspec.json.encode(document))
            data = {"event_type": event_type, "id": str(uuid.UUID(bytes=digest.digest()[:16]))}
            if event_type == "call.initiated" and "start_time" in payload:
                data["occurred_at"] = payload["start_time"]
        case _:
            raise NotSendable(f"{path} is {_FORM_WORDS[form]}; no webhook can be made from it")
    return {
        "data": {"record_type": "event", **data, "payload": payload},
        "meta": {"attempt": 1, "delivered_to": ""},
    }
