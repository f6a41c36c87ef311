"""The sentence on top, for calls that fail at the simulator as they do at the carrier."""

import asyncio
from typing import Any

import httpx

from offhook.wording.why import why
from tests.api.stack import OURS, Stack, until

NOT_ANSWERED = {
    "+12025550186": ["busy", "user_busy, SIP 486 Busy Here, ended by the callee"],
    "+12025550183": ["rejected", "call_rejected, SIP 603 Decline, ended by the callee"],
    "+12025550184": ["does not exist", "not_found, SIP 404 Not Found, ended by the callee"],
    "+12025550185": [
        "rejected",
        "call_rejected, SIP 403 Forbidden",
        "the caller ID is not allowed",
    ],
    "+12025550181": ["unspecified, SIP 480 Temporarily Unavailable, ended by the callee"],
    "+12025550182": ["unspecified, SIP 503 Service Unavailable", "Another attempt may succeed"],
}
REFUSED = {
    "+12025550154": ["HTTP 403, 10010", "the API key"],
    "+12025550155": ["HTTP 422, 90041", "the carrier refused it"],
}


async def sentence(http: httpx.AsyncClient, session_id: str) -> str:
    """Of the session, once it has ended or its dial has failed."""

    async def settled() -> Any:
        reply = await http.get(f"/sessions/{session_id}")
        if reply.status_code != 200:
            return None
        data = reply.json()["data"]
        is_over = data["session"]["status"] == "ended"
        return (
            data
            if is_over or any(each["status"] == "failed" for each in data["commands"])
            else None
        )

    return " ".join(why(await until(settled, f"session {session_id} to be over")))


async def dialled(http: httpx.AsyncClient, to: str) -> str:
    """The session of the call, or of the dial that was refused."""
    body = {"to": to, "from": OURS, "connection_id": "1"}
    reply = await http.post("/v2/calls", json=body)
    if reply.is_success:
        return str(reply.json()["data"]["call_session_id"])
    return reply.headers["offhook-command-id"]


async def test_it_names_cause_source_and_code_of_each_failed_call(stack: Stack) -> None:
    async with stack.http() as http:

        async def said(to: str) -> str:
            return await sentence(http, await dialled(http, to))

        numbers = [*NOT_ANSWERED, *REFUSED]
        found = dict(zip(numbers, await asyncio.gather(*map(said, numbers)), strict=True))
    for to, parts in NOT_ANSWERED.items():
        assert found[to].startswith(f"The call to {to} was not answered: ")
        assert [part for part in parts if part not in found[to]] == [], found[to]
    for to, parts in REFUSED.items():
        assert found[to].startswith(f"The command dial to {to} failed: ")
        assert found[to].endswith("No call was placed.")
        assert [part for part in parts if part not in found[to]] == [], found[to]


async def test_it_says_that_the_caller_gave_up(stack: Stack) -> None:
    ids = await stack.ring()
    await stack.session(ids["call_session_id"])
    await stack.hung_up(ids["call_control_id"])
    async with stack.http() as http:
        found = await sentence(http, ids["call_session_id"])
    assert found.startswith("The caller +12025550101 hung up ")
    assert "before an answer (originator_cancel, SIP 487" in found
