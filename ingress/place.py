"""Where in the log a webhook belongs: all that ingress needs to know of a body.

The same as `offhook.webhooks.read_webhook` would say, without building the event: about an eighth
of what a webhook would cost here.
"""

from dataclasses import dataclass

import msgspec

from offhook.events import session_id_from
from offhook.webhooks import form_of, read_webhook


@dataclass(frozen=True, kw_only=True)
class Place:
    """The session a webhook is stored under, and the id that makes it unique there."""

    session_id: str
    event_id: str


def place_of(body: bytes) -> Place:
    """Never raises: a body that is not JSON, or no known shape, has a session of its own."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        document = None
    if form_of(document) != "v2":
        webhook = read_webhook(body)
        return Place(session_id=webhook.session_id, event_id=webhook.event.event_id)
    data = document["data"]
    event_id: str = data["id"]
    payload = data.get("payload")
    for name in _SESSION_FIELDS if isinstance(payload, dict) else ():
        text = payload.get(name)
        if isinstance(text, str) and text:
            return Place(session_id=session_id_from(text), event_id=event_id)
    return Place(session_id=session_id_from(event_id), event_id=event_id)


_SESSION_FIELDS = ("call_session_id", "creator_call_session_id", "conference_id")
