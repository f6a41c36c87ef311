"""A record as it was stored, and what its signature says."""

from typing import Any

import httpx
import pytest
from nacl.signing import SigningKey

from offhook.api.own.sessions.records import signature_of
from offhook.telnyx.signature import public_key_text, sign
from tests.api.imported import imported, received
from tests.api.stack import COMMANDER, FRIEND, OURS, READER, Stack, until

KEY, OTHER = SigningKey.generate(), SigningKey.generate()
BODY = b'{"data":{}}'
SIGNED = sign(BODY, KEY, 1_700_000_000)


@pytest.mark.parametrize(
    ("body", "headers", "keys", "verdict", "key"),
    [
        (BODY, SIGNED, [OTHER, KEY], "authentic", KEY),
        (BODY + b" ", SIGNED, [KEY], "altered", None),
        (BODY, SIGNED, [OTHER], "altered", None),
        (BODY, {}, [KEY], "unsigned", None),
        (BODY, SIGNED, [], "not_checked", None),
        (BODY, None, [KEY], "not_checked", None),
    ],
)
def test_the_verdict_on_a_webhook(
    body: bytes,
    headers: dict[str, str] | None,
    keys: list[SigningKey],
    verdict: str,
    key: SigningKey | None,
) -> None:
    found = signature_of(body, headers, [public_key_text(each) for each in keys])
    assert found.verdict == verdict
    assert found.public_key == (None if key is None else public_key_text(key))
    assert found.timestamp == (headers or {}).get("telnyx-timestamp")


def test_without_a_key_it_says_which_setting() -> None:
    assert "OFFHOOK_PUBLIC_KEYS" in signature_of(BODY, SIGNED, []).detail


async def record(stack: Stack, session_id: str, seq: Any) -> httpx.Response:
    async with stack.http(READER) as http:
        return await http.get(f"/sessions/{session_id}/timeline/{seq}")


async def test_a_received_webhook_is_authentic(stack: Stack) -> None:
    session_id = (await stack.ring())["call_session_id"]
    await stack.session(session_id)
    async with stack.http(READER) as http:
        (entry, *_) = (await http.get(f"/sessions/{session_id}/timeline")).json()["data"]
    found = (await record(stack, session_id, entry["seq"])).json()["data"]
    assert {name: found[name] for name in entry} == entry
    assert found["signature"]["verdict"] == "authentic"
    assert found["signature"]["public_key"] == stack.settings.public_keys[0]
    assert found["headers"]["telnyx-signature-ed25519"] == found["signature"]["signature"]
    assert '"event_type":"call.initiated"' in found["body"].replace(" ", "")
    assert (found["body_base64"], found["is_redacted"]) == (None, False)
    for seq in (entry["seq"] + 1_000_000, 0):
        assert (await record(stack, session_id, seq)).status_code == 404
    assert (await record(stack, "nobody", entry["seq"])).status_code == 404
    assert (await record(stack, session_id, "first")).status_code == 422


async def test_an_imported_webhook_without_headers_is_unsigned(stack: Stack) -> None:
    session_id = await imported(stack, received("unsigned"), headers=lambda body: {})
    async with stack.http(READER) as http:
        (first, *others) = (await http.get(f"/sessions/{session_id}/timeline")).json()["data"]
    assert (await record(stack, session_id, first["seq"])).json()["data"]["signature"][
        "verdict"
    ] == "unsigned"
    decided = next(each["seq"] for each in others if each["type"] == "Decided")
    assert (await record(stack, session_id, decided)).json()["data"]["signature"] is None


async def test_secrets_in_a_body_are_hidden(stack: Stack) -> None:
    async with stack.http(COMMANDER) as http:
        dialled = await http.post(
            "/v2/calls",
            json={
                "to": FRIEND,
                "from": OURS,
                "connection_id": "1",
                "sip_auth_username": "me",
                "sip_auth_password": "hunter2",
            },
        )
    session_id = dialled.json()["data"]["call_session_id"]
    await stack.session(session_id)

    async def entries() -> Any:
        async with stack.http(READER) as http:
            found = (await http.get(f"/sessions/{session_id}/timeline")).json()["data"]
        return found if found[0]["type"] == "CommandRequested" else None

    requested, *_ = await until(entries, "the dial in the timeline")
    found = (await record(stack, session_id, requested["seq"])).json()["data"]
    assert found["session_id"] != session_id
    assert found["is_redacted"]
    assert "hunter2" not in found["body"]
    assert '"sip_auth_username":"me"' in found["body"]
