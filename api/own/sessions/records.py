"""A record of the log as it was stored, and whether its signature is authentic.

    GET /sessions/{session_id}/timeline/{position}

A webhook is checked as `offhook verify` does it: its stored bytes against the signature that came
with them, by the keys of OFFHOOK_PUBLIC_KEYS, whatever its age.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Depends, Path

from offhook.api.auth import Tokens
from offhook.api.errors import not_found, refusal
from offhook.api.freshness import Meta, Views
from offhook.api.own.parameters import WAIT_DEFAULT_S, MinSeq, WaitS
from offhook.api.own.redact import redacted_entry
from offhook.api.replies import ReplyRoute
from offhook.codec.lenient_json import NotJson, read_json
from offhook.errors import shown
from offhook.events import WebhookReceived
from offhook.history.verifying import verdict_on
from offhook.jetstream.lookup import StreamLookup
from offhook.position import position_from, position_text
from offhook.projections.views.past.session_log import read_record
from offhook.projections.views.past.timeline import TimelineEntry, entry_of
from offhook.redact import hidden
from offhook.telnyx.signature import SIGNATURE_HEADER, TIMESTAMP_HEADER, public_keys_from


@dataclass(frozen=True, kw_only=True)
class SignatureView:
    """What the signature of a webhook says about it.

    authentic    signed by `public_key`, and not changed since
    altered      signed by none of the known keys: it was changed, or the key is not known
    unsigned     without a signature or a timestamp, as a captured webhook that was imported may be
    not_checked  this API has no keys, or the headers are not known any more
    """

    verdict: Literal["authentic", "altered", "unsigned", "not_checked"]
    detail: str
    public_key: str | None
    signature: str | None  # as received, like the timestamp
    timestamp: str | None


@dataclass(frozen=True, kw_only=True)
class RecordView(TimelineEntry):
    """A record of the timeline with its stored bytes.

    `body` is their text; `body_base64` takes its place if they are not UTF-8. If `is_redacted`,
    secrets in it are hidden, and it is not byte for byte as stored. `signature` is null for what is
    not a webhook.
    """

    headers: Mapping[str, str]
    body: str | None
    body_base64: str | None
    is_redacted: bool
    signature: SignatureView | None


@dataclass(frozen=True, kw_only=True)
class RecordReply:
    data: RecordView
    meta: Meta


def records_router(
    *, tokens: Tokens, views: Views, stream: StreamLookup, public_keys: Sequence[str]
) -> APIRouter:
    """The route above. Raises SettingInvalid for a key that is none."""
    public_keys_from(public_keys)  # a wrong one is found now
    router = APIRouter(
        route_class=ReplyRoute, tags=["sessions"], dependencies=[Depends(tokens.allow("read"))]
    )

    @router.get("/sessions/{session_id}/timeline/{position}", summary="Read one record as stored")
    async def record(
        session_id: str,
        position: Annotated[
            str, Path(description="`seq` in the timeline, or written as partition:sequence")
        ],
        min_seq: MinSeq = 0,
        timeout_s: WaitS = WAIT_DEFAULT_S,
    ) -> RecordReply:
        """The record with its raw body and headers. The signature of a webhook is checked again.

        Passwords and tokens are hidden, in the body too.
        """
        at = _position_in(position)
        async with views.snapshot(min_seq, timeout_s) as snapshot:
            found = await read_record(snapshot.connection, session_id, at)
        if found is None:
            raise not_found(
                f"There is no record at position {position_text(at)} in the timeline of session "
                f"{shown(session_id)}"
            )
        headers = found.headers
        if headers is None:
            headers = await stream.headers_at(at)
        signature = None
        if found.type == WebhookReceived.__name__:
            signature = signature_of(found.body, headers, public_keys)
        entry = redacted_entry(entry_of(found))
        body, is_redacted = _without_secrets(found.body)
        text, as_base64 = _text_of(body)
        return RecordReply(
            data=RecordView(
                **vars(entry),
                headers=headers or {},
                body=text,
                body_base64=as_base64,
                is_redacted=is_redacted,
                signature=signature,
            ),
            meta=snapshot.meta_of(found.session_id),
        )

    return router


def signature_of(
    body: bytes, headers: Mapping[str, str] | None, public_keys: Sequence[str]
) -> SignatureView:
    """What the signature of a stored webhook says. `headers` is None if they are not known."""
    verdict: Literal["authentic", "altered", "unsigned", "not_checked"] = "not_checked"
    key = None
    if headers is None:
        detail = _NO_HEADERS
    elif not public_keys:
        detail = _NO_KEYS
    else:
        verdict, number = verdict_on(body, headers, public_keys_from(public_keys))
        key = None if number is None else public_keys[number]
        detail = _DETAILS[verdict]
    known = headers or {}
    return SignatureView(
        verdict=verdict,
        detail=detail,
        public_key=key,
        signature=known.get(SIGNATURE_HEADER),
        timestamp=known.get(TIMESTAMP_HEADER),
    )


_NO_KEYS = "This API has no key to check it with. Set OFFHOOK_PUBLIC_KEYS to those of ingress."
_NO_HEADERS = (
    "An earlier version of Offhook copied it without its headers, and the log no longer has it."
)
_DETAILS = {
    "authentic": "Signed by the key of the carrier, and not changed since.",
    "altered": "Signed by none of the keys in OFFHOOK_PUBLIC_KEYS. The body, the timestamp or the "
    "signature was changed, or the key was replaced: add the earlier key to check with it too.",
    "unsigned": "It has no signature or no timestamp, as a captured webhook that was imported.",
}


def _position_in(text: str) -> int:
    position = position_from(text)
    if position is None:
        detail = f"position is {shown(text)}; expected a number, or partition:sequence"
        raise refusal(422, "10015", detail, parameter="position")
    return position


def _without_secrets(body: bytes) -> tuple[bytes, bool]:
    """The body, and whether something in it is hidden."""
    try:
        document, _ = read_json(body)
    except NotJson:
        return body, False  # it has no names by which a secret could be known
    shown_document = hidden(document)
    if shown_document == document:
        return body, False
    return msgspec.json.encode(shown_document), True


def _text_of(body: bytes) -> tuple[str | None, str | None]:
    """As text, or else as base64."""
    try:
        return body.decode(), None
    except UnicodeDecodeError:
        return None, base64.b64encode(body).decode()
