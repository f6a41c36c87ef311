"""The session and id of a webhook: all that ingress needs to know of a body.

The result is that of `offhook.codec.webhooks.read_webhook`, without building the event, which
would be about an eighth of the cost of a webhook here.
"""

from dataclasses import dataclass

import msgspec

from offhook.codec.webhooks import Oddity, concerns_call, read_webhook, session_id_in


@dataclass(frozen=True, kw_only=True)
class WebhookIdentity:
    """The session a webhook is stored under, and the id that makes it unique there.

    `version` is the version of the stored record; ingress counts `oddities`.
    """

    session_id: str
    event_id: str
    version: int = 1
    oddities: tuple[Oddity, ...] = ()


def identity_of(body: bytes) -> WebhookIdentity:
    """Never raises: a body that is not JSON, or has no event, gets a session of its own."""
    try:
        data = msgspec.json.decode(body)["data"]
        event_id, payload = data["id"], data.get("payload")
        is_usual = _is_text(event_id) and _is_text(data["event_type"])
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        is_usual = False
    if not is_usual:
        webhook = read_webhook(body)
        return WebhookIdentity(
            session_id=webhook.session_id,
            event_id=webhook.event.event_id,
            version=webhook.version,
            oddities=webhook.oddities,
        )
    oddities = () if concerns_call(data["event_type"], payload) else _NO_CALL
    session_id = session_id_in(payload, event_id)
    return WebhookIdentity(session_id=session_id, event_id=event_id, oddities=oddities)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


_NO_CALL: tuple[Oddity, ...] = ("no_call",)
