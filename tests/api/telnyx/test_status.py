"""What is read of calls comes from the views, whatever the carrier remembers of them."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from telnyx import AsyncTelnyx

from offhook.codec.facts import encoded_webhook
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.log import JetStreamLog
from tests.api.recorder import Recorder
from tests.api.stack import DEADLINE_S, FRIEND, OURS, READER, Stack, sdk_at, until

MANY = 261
LONG_AGO = datetime(2021, 3, 4, 5, 6, 7, 890123, tzinfo=UTC)


@pytest.fixture
async def reader(recorded: Stack) -> AsyncIterator[AsyncTelnyx]:
    async with sdk_at(f"{recorded.api_url}/v2", READER) as client:
        yield client


def webhook(event_type: str, occurred_at: datetime, **payload: Any) -> dict[str, Any]:
    return {
        "data": {
            "event_type": event_type,
            "id": secrets.token_hex(16),
            "occurred_at": occurred_at.isoformat().replace("+00:00", "Z"),
            "payload": payload,
            "record_type": "event",
        }
    }


async def heard(stack: Stack, webhooks: list[dict[str, Any]]) -> None:
    """Put webhooks into the log, as ingress would."""
    client = await connect(stack.settings.nats_url, "test")
    log = JetStreamLog(client)
    await asyncio.gather(
        *(
            log.append(
                each["data"]["payload"]["call_session_id"],
                "in",
                encoded_webhook(json.dumps(each).encode(), each["data"]["id"]),
                timeout_s=DEADLINE_S,
            )
            for each in webhooks
        )
    )
    await close(client)


async def test_the_status_of_a_call_that_ended_years_ago(
    recorded: Stack, recorder: Recorder, reader: AsyncTelnyx
) -> None:
    """The carrier itself forgets it after 10 minutes."""
    ids = {
        "call_control_id": f"v3:{secrets.token_hex(16)}",
        "call_leg_id": secrets.token_hex(16),
        "call_session_id": secrets.token_hex(16),
        "client_state": "aGVsbG8=",
    }
    start = (LONG_AGO - timedelta(seconds=61)).isoformat()
    end = LONG_AGO.isoformat()
    about = ids | {"connection_id": "1", "from": OURS, "to": FRIEND, "start_time": start}
    await heard(
        recorded,
        [
            webhook("call.initiated", LONG_AGO, **about, direction="incoming"),
            webhook("call.answered", LONG_AGO - timedelta(seconds=50), **about),
            webhook("call.hangup", LONG_AGO, **about, end_time=end, hangup_cause="normal_clearing"),
        ],
    )

    async def told() -> Any:
        status = (await reader.calls.retrieve_status(ids["call_control_id"])).data
        return status if status is not None and status.end_time is not None else None

    status = await until(told, "the call's end")
    assert status.is_alive is False
    assert status.record_type == "call"
    assert {name: getattr(status, name) for name in ids} == ids
    assert status.start_time == "2021-03-04T05:05:06.890Z"
    assert status.end_time == "2021-03-04T05:06:07.890Z"
    assert status.call_duration == 50  # from the answer on, which came 11 s after the start
    assert recorder.asked(ids["call_control_id"]) == []


async def test_a_webhook_that_is_nested_deep_is_told_as_far_as_can_be(recorded: Stack) -> None:
    session_id, nested = secrets.token_hex(16), "[" * 300 + "]" * 300
    deep = webhook(
        "call.initiated", datetime.now(UTC), call_session_id=session_id, odd=json.loads(nested)
    )
    await heard(recorded, [deep])

    async def told() -> Any:
        async with recorded.http() as http:
            response = await http.get(f"/sessions/{session_id}/timeline")
        return None if response.status_code == 404 else response

    response = await until(told, "the session")
    assert response.status_code == 200
    assert "(nested too deep)" in response.text


async def test_more_active_calls_than_any_page_holds_are_all_listed(
    recorded: Stack, reader: AsyncTelnyx
) -> None:
    connection_id = str(secrets.randbelow(10**18) + 10)
    placed = [f"v3:{secrets.token_hex(16)}" for _ in range(MANY)]
    await heard(
        recorded,
        [
            webhook(
                "call.initiated",
                datetime.now(UTC),
                call_control_id=leg,
                call_session_id=secrets.token_hex(16),
                connection_id=connection_id,
                direction="incoming",
            )
            for leg in placed
        ],
    )

    async def page(**query: Any) -> Any:
        return await reader.get(
            f"/connections/{connection_id}/active_calls",
            cast_to=object,
            options={"params": {f"page[{name}]": value for name, value in query.items()}},
        )

    async def all_there() -> bool:
        return bool((await page())["meta"]["total_items"] == MANY)

    await until(all_there, f"{MANY} active calls")
    for choice in ({}, {"page_size": 250}, {"page_size": 7, "page_number": 1}):
        pages = reader.connections.list_active_calls(connection_id, **choice)  # type: ignore[arg-type]
        assert [call.call_control_id async for call in pages] == sorted(placed)
    forward: list[str] = []
    found: Any = None
    while found is None or "next" in found["meta"]:
        after = {} if found is None else {"after": found["meta"]["cursors"]["after"]}
        found = await page(limit=100, **after)
        forward += [call["call_control_id"] for call in found["data"]]
    assert forward == sorted(placed)
    back = [call["call_control_id"] for call in found["data"]]
    while "previous" in found["meta"]:
        found = await page(limit=100, before=found["meta"]["cursors"]["before"])
        back = [call["call_control_id"] for call in found["data"]] + back
    assert back == sorted(placed)
