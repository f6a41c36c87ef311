"""Queues in numbers over HTTP: who waits, what became of the others, and who answered."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from telnyx import AsyncTelnyx

from tests.api.stack import FRIEND, OURS, READER, Stack, until

SLOW = {"service_level_s": 3600, "short_abandon_s": 3600}
"""With these every wait of a test is a short one, on a busy machine too."""


async def get(stack: Stack, path: str, **query: Any) -> httpx.Response:
    async with stack.http(READER) as http:
        return await http.get(path, params=query)


async def in_queue(stack: Stack, sdk: AsyncTelnyx, queue: str) -> dict[str, str]:
    """Somebody calls in and waits."""
    ids = await stack.ring()
    await stack.session(ids["call_session_id"])
    await sdk.calls.actions.answer(ids["call_control_id"])
    await sdk.calls.actions.enqueue(ids["call_control_id"], queue_name=queue)

    async def waits() -> Any:
        found = (await get(stack, "/queues/waiting", queue=queue)).json()["data"]
        return any(each["session_id"] == ids["call_session_id"] for each in found)

    await until(waits, "the leg to wait")
    return ids


async def agent(stack: Stack, sdk: AsyncTelnyx) -> str:
    """The leg of somebody who was called and has answered."""
    connection_id = await stack.connection()
    reply = await sdk.calls.dial(connection_id=connection_id, to=FRIEND, from_=OURS)
    assert reply.data is not None
    assert reply.data.call_control_id is not None
    await stack.in_state(reply.data.call_control_id, "answered")
    return reply.data.call_control_id


async def row(stack: Stack, queue: str, until_: Any, **query: Any) -> dict[str, Any]:
    """The queue's row, once it is as expected."""

    async def reached() -> Any:
        found = (await get(stack, "/queues", queue=queue, **query)).json()["data"]
        return found and until_(found[0]) and found[0]

    there: dict[str, Any] = await until(reached, f"the row of {queue}")
    return there


async def test_a_queue_in_numbers(stack: Stack, sdk: AsyncTelnyx) -> None:
    queue = f"sales-{secrets.token_hex(4)}"
    first = await in_queue(stack, sdk, queue)
    second = await in_queue(stack, sdk, queue)
    third = await in_queue(stack, sdk, queue)
    fourth = await in_queue(stack, sdk, queue)

    reply = (await get(stack, "/queues/waiting", queue=queue, limit=2)).json()
    assert [each["session_id"] for each in reply["data"]] == [
        first["call_session_id"],
        second["call_session_id"],
    ]
    assert (reply["data"][0]["queue"], reply["data"][0]["to_number"]) == (queue, OURS)
    assert reply["data"][0]["wait_s"] >= 0

    answering = await agent(stack, sdk)
    await sdk.calls.actions.bridge(
        answering, call_control_id_to_bridge_with=first["call_control_id"]
    )
    await sdk.calls.actions.hangup(second["call_control_id"])
    await sdk.calls.actions.leave_queue(third["call_control_id"])
    found = await row(
        stack,
        queue,
        lambda each: (
            (each["waiting"], each["answered"], each["abandoned"], each["left"]) == (1, 1, 1, 1)
        ),
        **SLOW,
    )
    assert (found["queue"], found["offered"], found["end_unknown"]) == (queue, 4, 0)
    assert found["longest_wait_now_s"] > 0
    assert found["short_abandoned"] == 1
    assert found["service_level"]["value"] == 1.0
    assert (found["service_level"]["numerator"], found["service_level"]["denominator"]) == (1, 1)
    assert found["abandon_rate"]["value"] == 0.25
    assert found["asa_s"]["denominator"] == 1

    strict = await get(stack, "/queues", queue=queue, short_abandon_s=0, service_level_s=0)
    level = strict.json()["data"][0]["service_level"]
    assert level["denominator"] == 2
    assert level["formula"] == strict.json()["policy"]
    assert "within 0 s" in level["formula"]
    before = datetime.now(UTC) - timedelta(days=2)
    older = await get(stack, "/queues", queue=queue, to=before.isoformat())
    assert [(each["waiting"], each["offered"]) for each in older.json()["data"]] == [(1, 0)]

    await sdk.calls.actions.hangup(answering)

    async def over() -> Any:
        found = (await get(stack, "/queues/agents", queue=queue)).json()["data"]
        return found and not found[0]["talking"] and found

    [handled] = await until(over, "the agent's leg to end")
    assert (handled["agent"], handled["handled"], handled["queues"]) == (FRIEND, 1, [queue])
    assert handled["talk_s"] > 0
    assert handled["average_talk_s"]["value"] == handled["talk_s"]
    await sdk.calls.actions.hangup(fourth["call_control_id"])
    await row(stack, queue, lambda each: each["waiting"] == 0)


async def test_an_agent_takes_the_first_of_a_queue(stack: Stack, sdk: AsyncTelnyx) -> None:
    queue = f"first-{secrets.token_hex(4)}"
    caller = await in_queue(stack, sdk, queue)
    answering = await agent(stack, sdk)
    async with stack.http() as http:  # the SDK requires the id of a leg beside the queue
        path = f"/v2/calls/{answering}/actions/bridge"
        response = await http.post(path, json={"queue": queue})
    assert response.status_code == 200, response.text
    await row(stack, queue, lambda each: each["answered"] == 1)

    async def talking() -> Any:
        found = (await get(stack, "/queues/agents", queue=queue)).json()["data"]
        return found and found[0]["talking"] and found

    [handled] = await until(talking, "the agent to talk")
    assert (handled["agent"], handled["handled"], handled["talk_s"]) == (FRIEND, 1, 0)
    assert handled["average_talk_s"]["value"] is None
    await sdk.calls.actions.hangup(caller["call_control_id"])


@pytest.mark.parametrize(
    ("path", "query", "parameter"),
    [
        ("/queues", {"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "from"),
        ("/queues", {"from": "2026-01-01T00:00:00Z", "to": "2026-03-01T00:00:00Z"}, "from"),
        ("/queues", {"service_level_s": -1}, "service_level_s"),
        ("/queues", {"short_abandon_s": "soon"}, "short_abandon_s"),
        ("/queues", {"queue_name": "a"}, "queue_name"),
        ("/queues/waiting", {"limit": 251}, "limit"),
        ("/queues/agents", {"to": "now"}, "to"),
    ],
)
async def test_a_wrong_query_is_refused(
    stack: Stack, path: str, query: dict[str, Any], parameter: str
) -> None:
    response = await get(stack, path, **query)
    assert response.status_code == 422
    assert response.json()["errors"][0]["source"] == {"parameter": parameter}
