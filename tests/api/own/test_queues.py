"""Visits to queues over HTTP, as the simulator's calls make them."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from telnyx import AsyncTelnyx

from offhook.position import partition_of, position_of
from tests.api.stack import COMMANDER, READER, Stack, until

VISIT = {
    "session_id",
    "call_control_id",
    "number",
    "queue",
    "enqueued_at",
    "dequeued_at",
    "wait_s",
    "reason",
    "first_seq",
    "first_stored_at",
    "last_seq",
}


async def get(stack: Stack, **query: Any) -> httpx.Response:
    async with stack.http(READER) as http:
        return await http.get("/queues/visits", params=query)


async def visits(stack: Stack, count: int, **query: Any) -> list[dict[str, Any]]:
    """The visits, once all of them have ended."""

    async def ended() -> Any:
        found = (await get(stack, **query)).json()["data"]
        is_over = len(found) == count and all(each["dequeued_at"] for each in found)
        return found if is_over else None

    found: list[dict[str, Any]] = await until(ended, f"{count} visits of {query}")
    return found


async def test_every_visit_of_a_leg_is_listed(stack: Stack, sdk: AsyncTelnyx) -> None:
    queue = f"support-{secrets.token_hex(4)}"
    ids = await stack.ring()
    session_id, leg = ids["call_session_id"], ids["call_control_id"]
    await stack.session(session_id)
    await sdk.calls.actions.answer(leg)
    for number in (1, 2):
        await sdk.calls.actions.enqueue(leg, queue_name=queue)

        async def waits(number: int = number) -> Any:
            found = (await get(stack, queue=queue)).json()["data"]
            return found if len(found) == number else None

        [newest, *_] = await until(waits, f"visit {number}")
        assert newest.keys() == VISIT
        assert (newest["dequeued_at"], newest["wait_s"], newest["reason"]) == (None, None, None)
        await sdk.calls.actions.leave_queue(leg)
        await visits(stack, number, queue=queue)
    await stack.settled(session_id)
    second, first = await visits(stack, 2, session_id=session_id)
    assert (first["number"], second["number"]) == (1, 2)
    assert {first["queue"], second["queue"]} == {queue}
    assert first["call_control_id"] == leg
    assert first["reason"] == "leave"
    assert first["wait_s"] >= 0
    assert first["first_seq"] < second["first_seq"]

    page = (await get(stack, queue=queue, limit=1)).json()
    assert page["data"] == [second]
    following = await get(stack, queue=queue, limit=1, before_seq=page["meta"]["next"])
    assert following.json()["data"] == [first]
    last = await get(stack, queue=queue, before_seq=first["first_seq"])
    assert (last.json()["data"], last.json()["meta"]["next"]) == ([], None)

    at = datetime.now(UTC)
    lately = {"enqueued_from": (at - timedelta(hours=1)).isoformat(), "queue": queue}
    assert (await get(stack, **lately)).json()["data"] == [second, first]
    later = {"enqueued_before": (at - timedelta(hours=1)).isoformat(), "queue": queue}
    assert (await get(stack, **later)).json()["data"] == []
    for as_of in (first["first_seq"], first["first_stored_at"]):
        [then] = (await get(stack, queue=queue, as_of=as_of)).json()["data"]
        assert then["first_seq"] == then["last_seq"] == first["first_seq"]
        assert (then["dequeued_at"], then["reason"]) == (None, None)
    meta = (await get(stack, min_seq=second["last_seq"])).json()["meta"]
    last_seq = second["last_seq"]
    assert meta["checkpoints"][partition_of(last_seq)] >= last_seq


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"queue_name": "support"}, "queue_name"),
        ({"queue": ""}, "queue"),
        ({"enqueued_from": "yesterday"}, "enqueued_from"),
        ({"enqueued_before": "2026-01-01T00:00:00"}, "enqueued_before"),
        ({"limit": 251}, "limit"),
        ({"limit": 0}, "limit"),
        ({"before_seq": -1}, "before_seq"),
        ({"before_seq": position_of(10, 30)}, "before_seq"),
        ({"as_of": "yesterday"}, "as_of"),
        ({"as_of": "10:30"}, "as_of"),
    ],
)
async def test_a_wrong_query_is_refused(
    stack: Stack, query: dict[str, Any], parameter: str
) -> None:
    response = await get(stack, **query)
    assert response.status_code == 422
    assert response.json()["errors"][0]["source"] == {"parameter": parameter}


async def test_visits_are_read_with_a_token(stack: Stack) -> None:
    async with stack.http(None) as http:
        assert (await http.get("/queues/visits")).status_code == 401
    async with stack.http(COMMANDER) as http:
        assert (await http.get("/queues/visits")).status_code == 200
