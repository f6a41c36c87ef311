"""Signatures: every case is put to the official SDK as well, with keys made at run time."""

import base64
import json
import time
from dataclasses import dataclass, field

import pytest
import telnyx
from hypothesis import example, given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from offhook.errors import (
    OffhookError,
    SettingInvalid,
    SignatureInvalid,
    SignatureMissing,
    TimestampOutside,
    WebhookVersionOne,
)
from offhook.telnyx.signature import (
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    VERSION_ONE_HEADER,
    Signature,
    public_key_text,
    public_keys_from,
    sign,
    signing_key_from,
    verify,
)

KEY = SigningKey.generate()
OTHER_KEY = SigningKey.generate()
NOW_S = 1_763_868_600
BODY = b'{"data":{"event_type":"call.initiated","id":"b97d4d5e","payload":{"to":"+12025550199"}}}'
SIGNED = sign(BODY, KEY, NOW_S)


@dataclass(frozen=True)
class Case:
    """A delivery, and what becomes of it; `error` is None if it is authentic and fresh."""

    name: str
    error: type[OffhookError] | None
    body: bytes = BODY
    headers: dict[str, str] = field(default_factory=lambda: dict(SIGNED))
    now_s: float = NOW_S


def signed_with(text: str) -> dict[str, str]:
    return {**SIGNED, SIGNATURE_HEADER: text}


CASES = [
    Case("valid", None),
    Case("valid with a body that is no call", None, b"{}", sign(b"{}", KEY, NOW_S)),
    Case("valid with text beyond ASCII", None, '"ü"'.encode(), sign('"ü"'.encode(), KEY, NOW_S)),
    Case("one byte changed", SignatureInvalid, BODY.replace(b"+12025550199", b"+12025550198")),
    Case("one byte appended", SignatureInvalid, BODY + b"\n"),
    Case("serialised again", SignatureInvalid, json.dumps(json.loads(BODY)).encode()),
    Case(
        "time stamp changed",
        SignatureInvalid,
        headers={**SIGNED, TIMESTAMP_HEADER: str(NOW_S + 1)},
    ),
    Case("too old by one second", TimestampOutside, now_s=NOW_S + 301),
    Case("exactly 300 s old", None, now_s=NOW_S + 300),
    Case("too new by one second", TimestampOutside, now_s=NOW_S - 301),
    Case("exactly 300 s ahead", None, now_s=NOW_S - 300),
    Case("too old by a fraction", TimestampOutside, now_s=NOW_S + 300.001),
    Case("signature not base64", SignatureInvalid, headers=signed_with("not-base64!!")),
    Case("signature not ASCII", SignatureInvalid, headers=signed_with("ümlaut==")),
    Case(
        "signature too short",
        SignatureInvalid,
        headers=signed_with(base64.b64encode(b"x" * 63).decode()),
    ),
    Case("signature all zero", SignatureInvalid, headers=signed_with("A" * 86 + "==")),
    Case("signature empty", SignatureMissing, headers=signed_with("")),
    Case(
        "signature header missing",
        SignatureMissing,
        headers={TIMESTAMP_HEADER: SIGNED[TIMESTAMP_HEADER]},
    ),
    Case(
        "time stamp header missing",
        SignatureMissing,
        headers={SIGNATURE_HEADER: SIGNED[SIGNATURE_HEADER]},
    ),
    Case("time stamp empty", SignatureMissing, headers={**SIGNED, TIMESTAMP_HEADER: ""}),
    Case("time stamp a word", SignatureInvalid, headers={**SIGNED, TIMESTAMP_HEADER: "now"}),
    Case("signed by another key", SignatureInvalid, headers=sign(BODY, OTHER_KEY, NOW_S)),
    Case("an API v1 webhook", WebhookVersionOne, headers={VERSION_ONE_HEADER: "c2lnbmVk"}),
]
IDS = [case.name for case in CASES]


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_what_is_kept_and_why_the_rest_is_not(case: Case) -> None:
    keys = public_keys_from([public_key_text(KEY)])
    if case.error is None:
        assert verify(case.body, case.headers, keys, case.now_s) == Signature(
            signature=case.headers[SIGNATURE_HEADER], timestamp=case.headers[TIMESTAMP_HEADER]
        )
        return
    with pytest.raises(OffhookError) as raised:
        verify(case.body, case.headers, keys, case.now_s)
    assert type(raised.value) is case.error


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_the_official_sdk_agrees(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    client = telnyx.Telnyx(api_key="none", public_key=public_key_text(KEY))
    monkeypatch.setattr(time, "time", lambda: case.now_s)
    payload = case.body.decode()
    if case.error is None:
        assert client.webhooks.unwrap(payload, headers=case.headers) is not None
    else:
        with pytest.raises(ValueError, match=r"header|timestamp|signature|Signature|Invalid"):
            client.webhooks.unwrap(payload, headers=case.headers)
    client.close()


def test_any_key_of_the_list_may_have_signed() -> None:
    keys = public_keys_from([public_key_text(OTHER_KEY), public_key_text(KEY)])
    assert verify(BODY, SIGNED, keys, NOW_S).timestamp == str(NOW_S)
    with pytest.raises(SignatureInvalid, match="fits none of 0 known public keys"):
        verify(BODY, SIGNED, (), NOW_S)


def test_an_unauthentic_body_is_never_called_too_old() -> None:
    """Only the carrier is told to try again (408); a forger learns nothing of our clock."""
    with pytest.raises(SignatureInvalid):
        verify(b"other", SIGNED, public_keys_from([public_key_text(KEY)]), NOW_S + 9_999)


def test_messages_say_what_to_do() -> None:
    keys = public_keys_from([public_key_text(KEY)])
    with pytest.raises(
        WebhookVersionOne, match='set webhook_api_version of the application to "2"'
    ):
        verify(BODY, {VERSION_ONE_HEADER: "x"}, keys, NOW_S)
    with pytest.raises(TimestampOutside, match="is 301 s old; the tolerance is 300 s"):
        verify(BODY, SIGNED, keys, NOW_S + 301)
    with pytest.raises(SignatureMissing, match="header telnyx-timestamp is missing or empty"):
        verify(BODY, {SIGNATURE_HEADER: "x"}, keys, NOW_S)


def test_the_tolerance_can_be_set() -> None:
    keys = public_keys_from([public_key_text(KEY)])
    with pytest.raises(TimestampOutside):
        verify(BODY, SIGNED, keys, NOW_S + 11, tolerance_s=10)
    assert verify(BODY, SIGNED, keys, NOW_S + 10, tolerance_s=10)


@given(
    body=st.binary(max_size=300),
    now_s=st.floats(0, 2**33),
    seed=st.binary(min_size=32, max_size=32),
)
def test_what_is_signed_verifies_and_nothing_else_does(
    body: bytes, now_s: float, seed: bytes
) -> None:
    key = SigningKey(seed)
    headers = sign(body, key, now_s)
    assert verify(body, headers, [key.verify_key], now_s).signature == headers[SIGNATURE_HEADER]
    with pytest.raises(SignatureInvalid):
        verify(body + b"x", headers, [key.verify_key], now_s)


@given(
    st.dictionaries(
        st.sampled_from([SIGNATURE_HEADER, TIMESTAMP_HEADER, VERSION_ONE_HEADER]), st.text()
    )
)
def test_no_header_makes_it_raise_anything_else(headers: dict[str, str]) -> None:
    with pytest.raises((SignatureMissing, SignatureInvalid, WebhookVersionOne)):
        verify(BODY, headers, [KEY.verify_key], NOW_S)


@given(st.one_of(st.integers(0, 10**400).map(str), st.text("0123456789", min_size=1, max_size=500)))
@example("9" * 400)
@example("9" * 5000)
def test_a_signed_time_of_any_length_is_judged(timestamp: str) -> None:
    signature = KEY.sign(timestamp.encode() + b"|" + BODY).signature
    headers = {
        SIGNATURE_HEADER: base64.b64encode(signature).decode(),
        TIMESTAMP_HEADER: timestamp,
    }
    if len(timestamp) <= 19 and abs(int(timestamp) - NOW_S) <= 300:
        assert verify(BODY, headers, [KEY.verify_key], NOW_S).timestamp == timestamp
        return
    with pytest.raises((SignatureInvalid, TimestampOutside)) as raised:
        verify(BODY, headers, [KEY.verify_key], NOW_S)
    assert len(str(raised.value)) < 200


# ------------------------------------------------------------------ keys


def test_keys_come_from_their_texts() -> None:
    seed = base64.b64encode(b"s" * 32).decode()
    assert bytes(signing_key_from(seed)) == b"s" * 32
    (key,) = public_keys_from([public_key_text(signing_key_from(seed))])
    assert key == SigningKey(b"s" * 32).verify_key


@pytest.mark.parametrize("text", ["", "not base64!", base64.b64encode(b"x" * 31).decode(), "ü"])
def test_a_wrong_key_is_refused(text: str) -> None:
    with pytest.raises(SettingInvalid, match="is not base64 of 32 bytes"):
        public_keys_from([text])
    with pytest.raises(SettingInvalid, match="OFFHOOK_SIGNING_KEY"):
        signing_key_from(text)
