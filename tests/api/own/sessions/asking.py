"""What the tests of sessions over HTTP share."""

from collections.abc import Sequence
from typing import Any

import httpx
from telnyx import AsyncTelnyx

from tests.api.stack import READER, Stack


async def get(stack: Stack, path: str, **query: Any) -> httpx.Response:
    async with stack.http(READER) as http:
        return await http.get(path, params=query)


async def ended_call(stack: Stack, telnyx: AsyncTelnyx) -> tuple[str, str]:
    """The session and leg of a call that was answered and hung up, once the views have it."""
    ids = await stack.ring()
    await stack.session(ids["call_session_id"])
    await telnyx.calls.actions.answer(ids["call_control_id"])
    await telnyx.calls.actions.hangup(ids["call_control_id"])
    await stack.session(ids["call_session_id"], "ended")
    return ids["call_session_id"], ids["call_control_id"]


async def refused_speak(stack: Stack) -> tuple[str, str]:
    """The session and connection of an ended call, once the views have it: before its answer a
    speak was refused with 422."""
    connection_id = await stack.connection()
    ids = await stack.ring(connection_id)
    session_id, leg = ids["call_session_id"], ids["call_control_id"]
    await stack.session(session_id)
    async with stack.http() as http:
        speak = {"payload": "Good morning", "voice": "female"}
        actions: Sequence[tuple[str, dict[str, str], int]]
        actions = (("speak", speak, 422), ("answer", {}, 200), ("hangup", {}, 200))
        for action, body, status in actions:
            response = await http.post(f"/v2/calls/{leg}/actions/{action}", json=body)
            assert response.status_code == status, response.text
    await stack.session(session_id, "ended")
    return session_id, connection_id
