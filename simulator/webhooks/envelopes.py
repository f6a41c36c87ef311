"""The forms of a webhook on the wire.

    "2"            {data: {event_type, id, occurred_at, payload}, meta}, signed with Ed25519
    "1"            {event_type: "call_initiated", id, created_at, payload}, under an HMAC header
    "2", flat      {event_type, id, payload}, for conference.floor.changed alone, signed likewise
    "2" by GET     the fields of `data` and of its payload as query parameters, and no body

Sources: real webhooks; team-telnyx/knowledge-base `call-control-migration-to-voice-api` and
`voice-api-webhooks`; team-telnyx/openapi spec3.yml 12de4dd0 for the flat form. None of them says
how the HMAC of form "1" is computed; here only the presence of its header matters, by which a
receiver of form "2" recognises the other form.
"""

import base64
import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Any

import msgspec
from nacl.signing import SigningKey

from offhook.carrier_events import ConferenceFloorChanged
from offhook.simulator.call.changes import OutgoingWebhook
from offhook.simulator.timestamps import iso_microseconds
from offhook.telnyx.applications import ApiVersion
from offhook.telnyx.signature import VERSION_ONE_HEADER, sign


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """A request to send: a body, or for a GET a query."""

    headers: dict[str, str]
    body: bytes = b""
    query: dict[str, str] = field(default_factory=dict)


def envelope_of(
    webhook: OutgoingWebhook,
    attempt: int,
    url: str,
    version: ApiVersion,
    key: SigningKey,
    sent_at: float,
) -> Envelope:
    """The request of one attempt, freshly signed; `sent_at` is in Unix seconds."""
    if version == "1":
        body = _version_one(webhook)
        return Envelope(headers=_json_headers(_hmac_header(body, key, sent_at)), body=body)
    if webhook.method == "GET":
        return Envelope(headers=sign(b"", key, sent_at), query=_query(webhook))
    if webhook.event_type == ConferenceFloorChanged.event_type:
        body = _flat(webhook)
    else:
        meta = {"attempt": attempt, "delivered_to": url}
        body = msgspec.json.encode({"data": data_of(webhook), "meta": meta})
    return Envelope(headers=_json_headers(sign(body, key, sent_at)), body=body)


def data_of(webhook: OutgoingWebhook) -> dict[str, Any]:
    """The event itself, in form "2"."""
    return {
        "event_type": webhook.event_type,
        "id": webhook.id,
        "occurred_at": iso_microseconds(webhook.occurred_at),
        "payload": webhook.payload,
        "record_type": "event",
    }


def _flat(webhook: OutgoingWebhook) -> bytes:
    """The time is in the payload only."""
    data = data_of(webhook)
    occurred_at = data.pop("occurred_at")
    return msgspec.json.encode({**data, "payload": {**webhook.payload, "occurred_at": occurred_at}})


def _version_one(webhook: OutgoingWebhook) -> bytes:
    occurred_at = iso_microseconds(webhook.occurred_at)
    return msgspec.json.encode(
        {
            "record_type": "event",
            "id": webhook.id,
            "event_type": webhook.event_type.replace(".", "_"),
            "created_at": occurred_at,
            "payload": {**webhook.payload, "occurred_at": occurred_at},
        }
    )


def _query(webhook: OutgoingWebhook) -> dict[str, str]:
    """Text as it is, anything else in JSON."""
    data = data_of(webhook)
    fields = {**data.pop("payload"), **data}
    return {
        name: value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for name, value in fields.items()
        if value is not None
    }


def _json_headers(signed: dict[str, str]) -> dict[str, str]:
    return {"content-type": "application/json", **signed}


def _hmac_header(body: bytes, key: SigningKey, sent_at: float) -> dict[str, str]:
    signed = b"%d.%b" % (int(sent_at), body)
    digest = base64.b64encode(hmac.digest(bytes(key), signed, hashlib.sha256)).decode()
    return {VERSION_ONE_HEADER: f"t={int(sent_at)},h={digest}"}
