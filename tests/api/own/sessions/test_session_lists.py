"""Lists of sessions over HTTP: pages, filters, and what they include."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from telnyx import AsyncTelnyx

from tests.api.own.sessions.asking import ended_call, get, refused_speak
from tests.api.stack import OURS, Stack, until

NO_CHANNEL = "+12025550155"
HOUR_AGO = (datetime.now(UTC) - timedelta(hours=1)).isoformat()


async def test_lists_and_timelines_are_read_as_they_were(stack: Stack) -> None:
    connection_id = await stack.connection()
    placed = [(await stack.ring(connection_id))["call_session_id"] for _ in range(3)]
    for session_id in placed:
        await stack.session(session_id)
    query = {"connection_id": connection_id}
    newest, *older = (await get(stack, "/sessions", **query)).json()["data"]
    for as_of in (older[0]["first_seq"], older[0]["first_stored_at"]):
        then = (await get(stack, "/sessions", as_of=as_of, status="active", **query)).json()["data"]
        assert [each["session_id"] for each in then] == [each["session_id"] for each in older]
        assert then[0]["last_seq"] == older[0]["first_seq"]
    path = f"/sessions/{newest['session_id']}/timeline"
    [first] = (await get(stack, path, as_of=newest["first_seq"])).json()["data"]
    assert first["seq"] == newest["first_seq"]
    response = await get(stack, "/sessions", as_of="yesterday")
    assert response.json()["errors"][0]["source"] == {"parameter": "as_of"}


async def test_sessions_are_listed_newest_first_by_pages(stack: Stack) -> None:
    connection_id = await stack.connection()
    placed = [(await stack.ring(connection_id))["call_session_id"] for _ in range(5)]
    for session_id in placed:
        await stack.session(session_id)
    found: list[str] = []
    query: dict[str, Any] = {"connection_id": connection_id, "limit": 2}
    while True:
        page = (await get(stack, "/sessions", **query)).json()
        found += [one["session_id"] for one in page["data"]]
        if page["meta"]["next"] is None:
            break
        query["before_seq"] = page["meta"]["next"]
    assert set(found) == set(placed)
    assert len(found) == 5
    for filters in (
        {"status": "active", "to_number": OURS, "connection_id": connection_id},
        {"started_from": "2026-01-01T00:00:00Z", "connection_id": connection_id},
    ):
        assert len((await get(stack, "/sessions", **filters)).json()["data"]) == 5
    before = {"started_before": "2020-01-01T00:00:00Z", "connection_id": connection_id}
    assert (await get(stack, "/sessions", **before)).json()["data"] == []
    response = await get(stack, "/sessions", started_from="2026-01-01T00:00:00")
    assert response.status_code == 422


async def test_a_list_includes_legs_and_what_came_last(stack: Stack, sdk: AsyncTelnyx) -> None:
    connection_id = await stack.connection()
    ids = await stack.ring(connection_id)
    session_id = ids["call_session_id"]
    await stack.session(session_id)
    query = {"connection_id": connection_id, "include": "legs,last"}
    await sdk.calls.actions.answer(ids["call_control_id"])

    await stack.in_state(ids["call_control_id"], "answered")
    one = (await stack.settled(session_id))["data"]
    [talking] = (await get(stack, "/sessions", phase="talking", **query)).json()["data"]
    assert [leg["call_control_id"] for leg in talking["legs"]] == [ids["call_control_id"]]
    assert talking["last_command"]["operation"] == "answer"
    assert talking["last_event"]["event_type"].startswith("call.")
    assert talking["phase"]["since"] == talking["answered_at"]
    assert talking["legs"] == one["legs"]
    assert one["session"].items() <= talking.items()
    [plain] = (await get(stack, "/sessions", connection_id=connection_id)).json()["data"]
    assert plain.keys() == one["session"].keys()
    [alone] = (await get(stack, "/sessions", **query | {"include": "last"})).json()["data"]
    assert (alone["legs"], alone["phase"]) == (None, None)

    async def counted() -> Any:
        await stack.ring(connection_id)  # of the last 10 s, however slow all this is
        found = (await get(stack, "/live")).json()
        return found if found["data"]["calls_per_s"] else None

    counts = await until(counted, "a call of the last 10 s")
    assert counts["data"]["talking"] >= 1
    assert counts["limits"] == {"dials_per_s": stack.settings.dials_per_s}


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"include": "legs,lasts"}, "include"),
        ({"include": ","}, "include"),
        ({"phase": "ringing"}, "phase"),
        ({"phase": "waiting", "as_of": "1"}, "phase"),
        ({"include": "legs", "as_of": "1"}, "include"),
    ],
)
async def test_a_list_refuses_what_it_cannot_include(
    stack: Stack, query: dict[str, str], parameter: str
) -> None:
    response = await get(stack, "/sessions", **query)
    assert response.status_code == 422
    assert response.json()["errors"][0]["source"] == {"parameter": parameter}


async def test_sessions_are_searched_by_number_cause_and_failure(
    stack: Stack, sdk: AsyncTelnyx
) -> None:
    session_id, _ = await ended_call(stack, sdk)
    session = (await get(stack, f"/sessions/{session_id}")).json()["data"]["session"]
    of_call = {"connection_id": session["connection_id"], "limit": 250}

    async def is_found(**filters: Any) -> bool:
        reply = await get(stack, "/sessions", **of_call, **filters)
        assert reply.status_code == 200, reply.text
        return session_id in {one["session_id"] for one in reply.json()["data"]}

    assert await is_found(number=f"{OURS[:6]}*", hangup_cause=f"{session['hangup_cause']},other")
    assert await is_found(from_number=f"*{session['from_number'][-4:]}", failed="false")
    assert not await is_found(number=f"!{OURS}")
    assert not await is_found(failed="true")
    assert not await is_found(duration_s_min=3600)
    assert await is_found(any_leg="true", answered="true", answer_delay_s_min=0, talk_s_max=3600)
    assert not await is_found(any_leg="true", answered="false")
    refused = await get(stack, "/sessions", number=OURS, as_of="2026-11-22T10:00:00Z")
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["source"] == {"parameter": "number"}


async def test_sessions_are_found_by_a_command_that_failed(stack: Stack) -> None:
    session_id, connection_id = await refused_speak(stack)
    command_id = f"refused-{session_id}"
    async with stack.http() as http:
        body = {"to": NO_CHANNEL, "from": OURS, "connection_id": "1", "command_id": command_id}
        assert (await http.post("/v2/calls", json=body)).status_code == 422

    async def found(**query: Any) -> list[str]:
        reply = await get(stack, "/sessions", limit=250, **query)
        assert reply.status_code == 200, reply.text
        return [one["session_id"] for one in reply.json()["data"]]

    async def dial_is_there() -> bool:
        return command_id in await found(failed_command="dial", started_from=HOUR_AGO)

    await until(dial_is_there, "the refused dial")
    for failed_command in ("*", "speak", "refused", "422,504", "sp*", "speak,!deadline"):
        query = {"connection_id": connection_id, "failed_command": failed_command}
        assert await found(**query) == [session_id]
        now = datetime.now(UTC).isoformat()
        assert await found(**query, as_of=now) == [session_id]
    for failed_command in ("!*", "transfer", "speak,!422"):
        assert not await found(connection_id=connection_id, failed_command=failed_command)
    exported = await get(
        stack, "/sessions.jsonl", connection_id=connection_id, failed_command="speak"
    )
    assert json.loads(exported.text)["failed_commands"] == [
        {"operation": "speak", "reason": "refused", "http_status": 422, "count": 1}
    ]
    counts = (await get(stack, "/live")).json()["data"]
    assert counts["failed_commands"] >= 2
    for unknown in ("true", "ended", "speak,nope", "99"):
        refused = await get(stack, "/sessions", failed_command=unknown)
        assert refused.status_code == 422
        assert "expected an operation (transfer)" in refused.json()["errors"][0]["detail"]
