"""POST /webhooks/telnyx: one webhook in, one answer out.

    case                                                        answer
    authentic, and acknowledged by the log (also a repeated one) 200, empty; its position in the log
                                                                 is in the header Offhook-Position
    no signature, a bad one, or one by another key               403, nothing stored
    authentic, but outside the tolerance                         408, so that the carrier retries
    an API v1 webhook                                            403, naming the setting to change
    over 6 MiB / not POST                                        413 / 405
    the log does not acknowledge within 1.5 s                    503, the carrier retries
    the body is not complete within 10 s                         408, nothing stored
    the sender leaves before the body is complete                none, nothing stored

Authentic but unreadable bodies are stored unchanged, read as far as possible, counted and logged.
By default the carrier waits 2 s for the answer.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from nacl.signing import VerifyKey

from offhook.codec.facts import encoded_webhook
from offhook.errors import (
    LogUnavailable,
    SignatureMissing,
    TimestampOutside,
    WebhookRefused,
    WebhookVersionOne,
)
from offhook.ingress.body import LARGE_BODIES_MAX, LargeBodySlot, SenderLeft, read_body, within
from offhook.ingress.identity import WebhookIdentity, identity_of
from offhook.ingress.metrics import IngressMetrics
from offhook.ingress.pacing import Pacer
from offhook.jetstream.log import EventLog
from offhook.jetstream.message import TRACE_HEADER, trace_headers
from offhook.jetstream.stream import MESSAGE_BYTES_MAX
from offhook.position import POSITION_HEADER
from offhook.process.asgi import Message, Receive, Scope, Send, respond
from offhook.process.limited_log import LimitedLog
from offhook.telnyx.signature import SIGNATURE_HEADER, TIMESTAMP_HEADER, VERSION_ONE_HEADER, verify

LOG_TIMEOUT_S = 1.5

BODY_TIMEOUT_S = 10.0
"""Without it, a sender that stops in the middle would be waited for forever, with part of its body
in memory, and without having shown a signature yet."""

_log = logging.getLogger(__name__)


class WebhookEndpoint:
    """An ASGI application for one path. `now_s` is Unix time."""

    def __init__(
        self,
        *,
        log: EventLog,
        keys: Sequence[VerifyKey],
        tolerance_s: int,
        now_s: Callable[[], float],
        metrics: IngressMetrics,
    ) -> None:
        self._log = log
        self._keys = tuple(keys)
        self._tolerance_s = tolerance_s
        self._now_s = now_s
        self._metrics = metrics
        self._pacer = Pacer()
        self._limited = LimitedLog(_log)
        self._large = asyncio.Semaphore(LARGE_BODIES_MAX)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            await self._refuse(send, 405, "method", "only POST is accepted here", (_ALLOW_POST,))
            return
        async with LargeBodySlot(self._large) as slot:
            await self._handle(scope, receive, send, slot)

    async def _handle(
        self, scope: Scope, receive: Receive, send: Send, slot: LargeBodySlot
    ) -> None:
        try:
            body = await within(BODY_TIMEOUT_S, read_body(receive, slot))
        except SenderLeft:
            self._metrics.answers.labels(result="left").inc()
            return
        except TimeoutError:
            text = f"the body was not complete within {BODY_TIMEOUT_S:.0f} s"
            await self._refuse(send, 408, "slow", text, (_CLOSE,))
            return
        if body is None:
            text = f"the body is over {MESSAGE_BYTES_MAX} bytes"
            # The rest of the body is not read, so the connection cannot be used again.
            await self._refuse(send, 413, "too_large", text, (_CLOSE,))
            return
        started = time.perf_counter()
        try:
            await self._pacer.admit()
            await self._receive(scope, body, send)
        finally:
            self._metrics.seconds.observe(time.perf_counter() - started)

    async def _receive(self, scope: Scope, body: bytes, send: Send) -> None:
        headers = {
            name.decode(): value.decode("latin-1")
            for name, value in scope["headers"]
            if name in _HEADERS_READ
        }
        try:
            signature = verify(body, headers, self._keys, self._now_s(), self._tolerance_s)
        except TimestampOutside as error:
            await self._refuse(send, 408, "timestamp", str(error))
            return
        except WebhookRefused as error:
            await self._refuse(send, 403, _reason_of(error), str(error))
            return
        identity = identity_of(body)
        kept = {
            SIGNATURE_HEADER: signature.signature,
            TIMESTAMP_HEADER: signature.timestamp,
            **trace_headers(headers.get(TRACE_HEADER, "")),
        }
        try:
            appended = await self._log.append(
                identity.session_id,
                "in",
                encoded_webhook(body, identity.event_id, identity.version),
                headers=kept,
                timeout_s=LOG_TIMEOUT_S,
            )
        except LogUnavailable as error:
            # It may be stored anyway; then the carrier's next attempt is a known duplicate.
            await self._refuse(send, 503, "log_unavailable", str(error))
            return
        (self._metrics.duplicate if appended.duplicate else self._metrics.stored).inc()
        if identity.oddities and not appended.duplicate:
            self._report_oddities(identity)
        await send(_stored_at(appended.seq))
        await send(_NO_BODY)

    def _report_oddities(self, identity: WebhookIdentity) -> None:
        for oddity in identity.oddities:
            self._metrics.oddities.labels(oddity=oddity).inc()
        if not _UNREADABLE.isdisjoint(identity.oddities):
            detail = {
                "oddities": identity.oddities,
                "session_id": identity.session_id,
                "event_id": identity.event_id,
            }
            kind = identity.oddities[0]
            self._limited.warning("webhook cannot be read as it is", kind=kind, extra=detail)

    async def _refuse(
        self,
        send: Send,
        status: int,
        reason: str,
        text: str,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        self._metrics.answers.labels(result=reason).inc()
        extra = {"status": status, "reason": reason, "detail": text}
        self._limited.warning("webhook refused", kind=reason, extra=extra)
        await respond(send, status, f"{text}\n".encode(), headers=headers)


def _stored_at(position: int) -> Message:
    headers = [(b"content-length", b"0"), (_POSITION, b"%d" % position)]
    return {"type": "http.response.start", "status": 200, "headers": headers}


def _reason_of(error: WebhookRefused) -> str:
    match error:
        case SignatureMissing():
            return "no_signature"
        case WebhookVersionOne():
            return "api_v1"
        case _:
            return "bad_signature"


_UNREADABLE = frozenset({"not_json", "lenient_json", "no_event"})
"""The oddities that are a fault of the carrier or a proxy; the others are only counted."""

_HEADERS_READ = frozenset(
    name.encode() for name in (SIGNATURE_HEADER, TIMESTAMP_HEADER, VERSION_ONE_HEADER, TRACE_HEADER)
)
_POSITION = POSITION_HEADER.lower().encode()
_NO_BODY: Message = {"type": "http.response.body", "body": b""}
_ALLOW_POST = (b"allow", b"POST")
_CLOSE = (b"connection", b"close")
