"""Verify a webhook's signature, and sign one. Pure: raw bytes in, time as an argument.

Signed bytes: the `Telnyx-Timestamp` header's value, a vertical bar, the raw request body; Ed25519;
the signature travels as base64 of 64 bytes, public keys as base64 of 32 bytes.
Source: developers.telnyx.com webhook fundamentals; official Python SDK 4.189.0 `webhooks.unwrap`.
"""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from offhook.errors import (
    SettingInvalid,
    SignatureInvalid,
    SignatureMissing,
    TimestampOutside,
    WebhookVersionOne,
    shown,
)

SIGNATURE_HEADER = "telnyx-signature-ed25519"
TIMESTAMP_HEADER = "telnyx-timestamp"
VERSION_ONE_HEADER = "x-telnyx-signature"

# Exactly 300 s passes and 301 s fails, in both directions, as in the official SDK.
TOLERANCE_S = 300


# Unix seconds have 10 digits until the year 2286. A clock that counts nanoseconds has 19: its
# webhooks are too new rather than forged. Hundreds of digits would not fit into a float.
_UNIX_SECONDS = re.compile(r"[0-9]{1,19}")


@dataclass(frozen=True, kw_only=True)
class Signature:
    """The two headers as received."""

    signature: str
    timestamp: str


def public_keys_from(texts: Sequence[str]) -> tuple[VerifyKey, ...]:
    """Keys from their base64 texts as the portal shows them. Raises SettingInvalid."""
    return tuple(VerifyKey(_key_bytes(text, "OFFHOOK_PUBLIC_KEYS: public key")) for text in texts)


def signing_key_from(text: str) -> SigningKey:
    """A development key from base64 of its 32-byte seed. Raises SettingInvalid."""
    return SigningKey(_key_bytes(text, "signing key (OFFHOOK_SIGNING_KEY, --key-file)"))


def public_key_text(key: SigningKey) -> str:
    """The base64 text of a signing key's public half."""
    return base64.b64encode(bytes(key.verify_key)).decode()


def verify(
    body: bytes,
    headers: Mapping[str, str],
    keys: Sequence[VerifyKey],
    now_s: float,
    tolerance_s: int = TOLERANCE_S,
) -> Signature:
    """The signature headers, if the body is authentic and fresh. `headers` have lower-case names.

    Raises WebhookVersionOne, SignatureMissing, SignatureInvalid or, for an authentic body only,
    TimestampOutside. Any of `keys` may have signed, so that keys can be rotated.
    """
    signature = headers.get(SIGNATURE_HEADER, "")
    timestamp = headers.get(TIMESTAMP_HEADER, "")
    if not signature and VERSION_ONE_HEADER in headers:
        raise WebhookVersionOne(
            'this is an API v1 webhook: set webhook_api_version of the application to "2"'
        )
    if not signature or not timestamp:
        missing = TIMESTAMP_HEADER if signature else SIGNATURE_HEADER
        raise SignatureMissing(f"header {missing} is missing or empty")
    if not _UNIX_SECONDS.fullmatch(timestamp):
        raise SignatureInvalid(f"{TIMESTAMP_HEADER} is {shown(timestamp)}; expected Unix seconds")
    received = Signature(signature=signature, timestamp=timestamp)
    if key_that_signed(body, received, keys) is None:
        raise SignatureInvalid(f"{SIGNATURE_HEADER} fits none of {len(keys)} known public keys")
    age_s = now_s - int(timestamp)
    if abs(age_s) > tolerance_s:
        raise TimestampOutside(
            f"{TIMESTAMP_HEADER} {timestamp} is {age_s:.0f} s old; the tolerance is {tolerance_s} s"
        )
    return received


def key_that_signed(body: bytes, signature: Signature, keys: Sequence[VerifyKey]) -> int | None:
    """Which of the keys signed the body, counted from 0; None if none of them did. At any time."""
    signed = signature.timestamp.encode() + b"|" + body
    return _first_that_verifies(keys, signed, signature.signature)


def sign(body: bytes, key: SigningKey, now_s: float) -> dict[str, str]:
    """The two headers the carrier would send with `body`."""
    timestamp = str(int(now_s))
    signature = key.sign(timestamp.encode() + b"|" + body).signature
    return {
        SIGNATURE_HEADER: base64.b64encode(signature).decode(),
        TIMESTAMP_HEADER: timestamp,
    }


def _first_that_verifies(
    keys: Sequence[VerifyKey], signed: bytes, signature_text: str
) -> int | None:
    try:
        signature = binascii.a2b_base64(signature_text, strict_mode=True)
    except (binascii.Error, ValueError):
        return None
    if len(signature) != 64:
        return None
    for number, key in enumerate(keys):
        try:
            key.verify(signed, signature)
        except BadSignatureError:
            continue
        return number
    return None


def _key_bytes(text: str, name: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != 32:
        # A signing key is a secret, so its text is not shown; its length is hint enough.
        raise SettingInvalid(f"{name} of {len(text)} characters is not base64 of 32 bytes")
    return key
