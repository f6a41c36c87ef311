"""Webhooks as the carrier would send them, straight to a stack's ingress."""

import uuid
from datetime import UTC, datetime

import httpx

from offhook.cli.embedded.stack import Stack
from offhook.codec.webhooks import wire_body
from offhook.events import CallAnswered, CallEvent, CallInitiated
from offhook.telnyx.signature import sign, signing_key_from

TRIES = 8


class Caller:
    """One leg of one session."""

    def __init__(self) -> None:
        self.session_id = str(uuid.uuid4())
        self.call_control_id = f"v3:{uuid.uuid4().hex}"

    def initiated(self) -> CallInitiated:
        return CallInitiated(
            event_id=str(uuid.uuid4()),
            occurred_at=datetime.now(UTC),
            call_control_id=self.call_control_id,
            call_session_id=self.session_id,
            direction="incoming",
            from_="+12025550170",
            to="+12025550101",
        )

    def answered(self) -> CallAnswered:
        return CallAnswered(
            event_id=str(uuid.uuid4()),
            occurred_at=datetime.now(UTC),
            call_control_id=self.call_control_id,
            call_session_id=self.session_id,
        )


async def post(http: httpx.AsyncClient, stack: Stack, event: CallEvent) -> None:
    """Deliver a webhook; it must be taken."""
    await post_body(http, stack, wire_body(event))


async def post_body(http: httpx.AsyncClient, stack: Stack, body: bytes) -> int:
    """The same, as bytes: again, as the carrier does, if the log is slower than it may be.

    How often it was posted.
    """
    key = signing_key_from(stack.settings.signing_key)
    tries, status = 0, httpx.codes.SERVICE_UNAVAILABLE.value
    while status == httpx.codes.SERVICE_UNAVAILABLE and tries < TRIES:
        tries += 1
        headers = sign(body, key, datetime.now(UTC).timestamp())
        answer = await http.post(stack.settings.webhook_url, content=body, headers=headers)
        status = answer.status_code
    assert answer.status_code == httpx.codes.OK, answer.text
    return tries
