"""Sessions, timelines and commands over HTTP, with how new they are."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from telnyx import AsyncTelnyx

from offhook.commands import COMMANDS
from offhook.commands.catalog import method_of
from offhook.projections.retention.rows import erase_rows
from offhook.projections.views.database.engine import open_database
from tests.api.own.sessions.asking import ended_call, get
from tests.api.stack import FRIEND, OURS, Stack, until


async def test_a_session_is_read_with_its_legs_and_commands(stack: Stack, sdk: AsyncTelnyx) -> None:
    session_id, leg = await ended_call(stack, sdk)

    async def settled() -> Any:
        found = (await get(stack, f"/sessions/{session_id}")).json()
        done = [one for one in found["data"]["commands"] if one["status"] == "succeeded"]
        return found if len(done) == 2 else None

    reply = await until(settled, "both commands")
    assert reply["data"]["session"]["session_id"] == session_id
    assert reply["data"]["session"]["to_number"] == OURS
    assert [one["call_control_id"] for one in reply["data"]["legs"]] == [leg]
    assert {one["operation"] for one in reply["data"]["commands"]} == {"answer", "hangup"}
    assert reply["meta"]["as_of_seq"] >= reply["data"]["session"]["last_seq"]
    assert reply["meta"]["lag_ms"] >= 0


async def test_a_session_is_read_as_it_was(stack: Stack, sdk: AsyncTelnyx) -> None:
    session_id, _ = await ended_call(stack, sdk)
    timeline = (await get(stack, f"/sessions/{session_id}/timeline")).json()["data"]
    first, last = timeline[0], timeline[-1]
    then = await get(stack, f"/sessions/{session_id}", as_of=first["seq"])
    assert then.json()["data"]["session"]["status"] == "active"
    assert then.json()["data"]["commands"] == []
    at = await get(stack, f"/sessions/{session_id}", as_of=first["stored_at"])
    assert at.json()["data"] == then.json()["data"]
    at = await get(stack, f"/sessions/{session_id}", as_of=last["stored_at"])
    assert at.json()["data"]["session"]["status"] == "ended"
    now = await get(stack, f"/sessions/{session_id}")
    assert at.json()["data"]["session"].keys() == now.json()["data"]["session"].keys()
    assert at.json()["data"]["legs"][0].keys() == now.json()["data"]["legs"][0].keys()
    early = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    for as_of in (early, first["seq"] - 1):
        response = await get(stack, f"/sessions/{session_id}", as_of=as_of)
        assert response.status_code == 404
    for as_of in ("yesterday", "2026-01-01T00:00:00", "-1"):
        response = await get(stack, f"/sessions/{session_id}", as_of=as_of)
        assert response.status_code == 422
        assert response.json()["errors"][0]["source"] == {"parameter": "as_of"}


async def test_an_erased_session_is_not_said_to_be_unknown(stack: Stack, sdk: AsyncTelnyx) -> None:
    session_id, _ = await ended_call(stack, sdk)
    timeline = (await get(stack, f"/sessions/{session_id}/timeline")).json()["data"]
    engine = open_database(stack.settings.postgres_url)
    async with engine.begin() as connection:
        before = await _erased_ids(connection)
        await erase_rows(connection, [session_id])
        [erased] = await _erased_ids(connection) - before
    await engine.dispose()
    kept = (await get(stack, f"/sessions/{erased}")).json()["data"]["session"]
    for path in (f"/sessions/{erased}", f"/sessions/{erased}/commands"):
        response = await get(stack, path, as_of=timeline[0]["seq"])
        assert response.status_code == 404
        [error] = response.json()["errors"]
        assert f"Session '{erased}' was erased, and nothing is kept of how it was as of" in str(
            error
        )
        assert kept["last_stored_at"] in error["detail"]
        assert (await get(stack, path, as_of=kept["last_stored_at"])).status_code == 200
    response = await get(stack, "/sessions/erased:nobody", as_of=timeline[0]["seq"])
    assert "There is no session 'erased:nobody' as of" in response.text


async def _erased_ids(connection: AsyncConnection) -> set[str]:
    found = await connection.execute(
        text("select session_id from sessions where session_id like 'erased:%'")
    )
    return set(found.scalars())


async def test_the_commands_of_a_session_are_read_page_by_page(
    stack: Stack, sdk: AsyncTelnyx
) -> None:
    session_id, _ = await ended_call(stack, sdk)
    last = (await get(stack, f"/sessions/{session_id}/timeline")).json()["data"][-1]["seq"]
    for as_of in ({}, {"as_of": last}):
        detail = (await get(stack, f"/sessions/{session_id}", commands_limit=1, **as_of)).json()
        (hangup,) = detail["data"]["commands"]
        assert hangup["operation"] == "hangup"
        assert detail["data"]["commands_next"] == hangup["command_id"]
        path = f"/sessions/{session_id}/commands"
        earlier = (await get(stack, path, before=hangup["command_id"], **as_of)).json()
        assert [each["operation"] for each in earlier["data"]] == ["answer"]
        assert earlier["meta"]["next"] is None
        of_answer = (await get(stack, path, operation="answer", **as_of)).json()["data"]
        assert of_answer == earlier["data"]
        refused = await get(stack, path, before="nothing", **as_of)
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["source"] == {"parameter": "before"}
    assert (await get(stack, "/sessions/nobody/commands")).status_code == 404


async def test_a_timeline_is_read_page_by_page(stack: Stack, sdk: AsyncTelnyx) -> None:
    session_id, _ = await ended_call(stack, sdk)
    path = f"/sessions/{session_id}/timeline"
    whole = (await get(stack, path)).json()
    assert whole["meta"]["next"] is None
    assert whole["data"][0]["type"] == "WebhookReceived"
    assert whole["data"][0]["fields"]["event_type"] == "call.initiated"
    pages: list[int] = []
    page = (await get(stack, path, limit=2)).json()
    while True:
        pages += [entry["seq"] for entry in page["data"]]
        if page["meta"]["next"] is None:
            break
        page = (await get(stack, path, limit=2, after_seq=page["meta"]["next"])).json()
    assert pages == sorted(pages)
    assert pages[: len(whole["data"])] == [entry["seq"] for entry in whole["data"]]
    earlier = (await get(stack, path, limit=2, before_seq=pages[3])).json()
    assert [entry["seq"] for entry in earlier["data"]] == pages[1:3]
    assert earlier["meta"]["next"] == pages[2]
    both = await get(stack, path, after_seq=pages[0], before_seq=pages[3])
    assert (both.status_code, both.json()["errors"][0]["source"]["parameter"]) == (
        422,
        "before_seq",
    )


async def test_the_dial_is_in_the_timeline_of_the_call_it_placed(
    stack: Stack, sdk: AsyncTelnyx
) -> None:
    dialled = await sdk.calls.dial(to=FRIEND, from_=OURS, connection_id="1")
    assert dialled.data is not None
    session_id = dialled.data.call_session_id
    await stack.session(session_id)

    async def types() -> Any:
        entries = (await get(stack, f"/sessions/{session_id}/timeline")).json()["data"]
        found = [entry["type"] for entry in entries]
        return found if "CommandSucceeded" in found else None

    assert (await until(types, "the dial's outcome"))[:2] == ["CommandRequested", "Decided"]


async def test_a_dialled_call_is_one_session_with_its_command_by_either_id(
    stack: Stack, sdk: AsyncTelnyx
) -> None:
    connection_id = await stack.connection()
    dialled = await sdk.calls.with_raw_response.dial(
        to=FRIEND, from_=OURS, connection_id=connection_id
    )
    command_id = dialled.headers["offhook-command-id"]
    ids = (await dialled.parse()).data
    assert ids is not None
    session_id = ids.call_session_id
    await stack.session(session_id)

    async def settled() -> Any:
        response = await get(stack, f"/sessions/{command_id}")
        if response.status_code == 404:  # the partition of the command may be behind
            return None
        found = [
            each for each in response.json()["data"]["commands"] if each["status"] == "succeeded"
        ]
        return found and found[0]

    command = await until(settled, "the dial's outcome")
    assert (command["session_id"], command["answer_session_id"]) == (command_id, session_id)
    listed = (await get(stack, "/sessions", connection_id=connection_id)).json()["data"]
    assert [each["session_id"] for each in listed] == [session_id]
    everything = (await get(stack, "/sessions", limit=250)).json()["data"]
    assert command_id not in {each["session_id"] for each in everything}
    one, other = [
        (await get(stack, f"/sessions/{each}")).json()["data"] for each in (command_id, session_id)
    ]
    assert one["session"]["session_id"] == other["session"]["session_id"] == session_id
    assert [each["command_id"] for each in one["commands"]] == [command_id]
    timelines = [
        [each["seq"] for each in (await get(stack, f"/sessions/{each}/timeline")).json()["data"]]
        for each in (command_id, session_id)
    ]
    assert set(timelines[0]) <= set(timelines[1])


async def test_a_call_whose_webhooks_go_elsewhere_is_known_from_its_dial_on(
    stack: Stack, sdk: AsyncTelnyx
) -> None:
    connection_id = await stack.connection()
    elsewhere = "http://127.0.0.1:9/another/program"
    dialled = await sdk.calls.dial(
        to=FRIEND, from_=OURS, connection_id=connection_id, webhook_url=elsewhere
    )
    assert dialled.data is not None
    leg, session_id = dialled.data.call_control_id, dialled.data.call_session_id
    status = await sdk.calls.retrieve_status(leg)
    assert status.data is not None
    assert (status.data.is_alive, status.data.call_session_id) == (True, session_id)
    assert status.data.call_leg_id == dialled.data.call_leg_id
    active = (await get(stack, f"/v2/connections/{connection_id}/active_calls")).json()["data"]
    assert [each["call_control_id"] for each in active] == [leg]
    session = (await stack.session(session_id))["data"]
    (found,) = session["legs"]
    assert (found["direction"], found["to_number"]) == ("outgoing", FRIEND)
    # So its commands are recorded with it.
    await sdk.calls.actions.hangup(leg)

    async def recorded() -> bool:
        commands = (await stack.session(session_id))["data"]["commands"]
        return [each["operation"] for each in commands] == ["dial", "hangup"]

    await until(recorded, "the hangup among the call's commands")


async def test_min_seq_waits_for_the_views(stack: Stack, sdk: AsyncTelnyx) -> None:
    session_id, _ = await ended_call(stack, sdk)
    as_of = (await get(stack, f"/sessions/{session_id}")).json()["meta"]["as_of_seq"]
    reached = await get(stack, f"/sessions/{session_id}", min_seq=as_of)
    assert reached.status_code == 200
    assert reached.json()["meta"]["as_of_seq"] >= as_of
    response = await get(stack, "/sessions", min_seq=as_of + 10**6, timeout_s=0.2)
    assert response.status_code == 504
    assert response.json()["errors"][0]["code"] == "10008"


async def test_a_command_is_read_by_its_id(stack: Stack, sdk: AsyncTelnyx) -> None:
    dialled = await sdk.calls.with_raw_response.dial(to=FRIEND, from_=OURS, connection_id="1")
    command_id = dialled.headers["offhook-command-id"]

    async def succeeded() -> Any:
        response = await get(stack, f"/commands/{command_id}")
        if response.status_code == 404:  # not in the views yet
            return None
        reply = response.json()
        return reply if reply["data"]["status"] == "succeeded" else None

    reply = await until(succeeded, "the dial's outcome")
    assert reply["data"]["operation"] == "dial"
    assert reply["data"]["parameters"]["to"] == FRIEND
    assert reply["data"]["answer"]["data"]["call_control_id"]
    assert reply["others"] == []


async def test_passwords_are_not_told_again(stack: Stack, sdk: AsyncTelnyx) -> None:
    dialled = await sdk.calls.with_raw_response.dial(
        to=FRIEND, from_=OURS, connection_id="1", sip_auth_password="open sesame"
    )
    command_id = dialled.headers["offhook-command-id"]

    async def known() -> Any:
        return (await get(stack, f"/commands/{command_id}")).json().get("data")

    command = await until(known, "the command in the views")
    assert command["parameters"]["sip_auth_password"] == "(hidden)"
    for path in ("", "/timeline"):
        reply = await get(stack, f"/sessions/{command['session_id']}{path}")
        assert reply.status_code == 200
        assert "(hidden)" in reply.text
        assert "open sesame" not in reply.text


@pytest.mark.parametrize(
    "path", ["/sessions/nothing", "/sessions/nothing/timeline", "/commands/nothing"]
)
async def test_what_nobody_heard_of(stack: Stack, path: str) -> None:
    response = await get(stack, path)
    assert response.status_code == 404
    (error,) = response.json()["errors"]
    assert error["code"] == "10005"
    assert "'nothing'" in error["detail"]


@pytest.mark.parametrize(
    "path", ["/sessions", "/sessions/x", "/sessions/x/timeline", "/commands/x"]
)
async def test_sessions_need_a_token(stack: Stack, path: str) -> None:
    async with stack.http(None) as http:
        assert (await http.get(path)).status_code == 401
    async with stack.http("wrong") as http:
        assert (await http.get(path)).status_code == 401


async def test_health_metrics_and_docs(stack: Stack, sdk: AsyncTelnyx) -> None:
    await sdk.calls.dial(to=FRIEND, from_=OURS, connection_id="1")
    async with stack.http(None) as http:
        assert (await http.get("/health/live")).json() == {"live": True}
        assert (await http.get("/health/ready")).json()["ready"] is True
        metrics = (await http.get("/metrics")).text
        assert (await http.get("/docs")).status_code == 200
        openapi = (await http.get("/openapi.json")).json()
    assert 'offhook_api_requests_total{method="POST",route="/v2/calls",status="200"}' in metrics
    assert 'offhook_api_command_seconds_count{operation="dial",status="200"}' in metrics
    assert "v3:" not in metrics
    dial = openapi["paths"]["/v2/calls"]["post"]
    schema = dial["requestBody"]["content"]["application/json"]["schema"]
    assert {"to", "from", "connection_id"} == set(schema["required"])
    assert "command_id" in schema["properties"]
    for operation in COMMANDS:
        if operation != "dial":
            path = openapi["paths"][f"/v2/calls/{{call_control_id}}/actions/{operation}"]
            assert list(path) == [method_of(operation).lower()]
    assert "/v2/calls/{call_control_id}/actions/{operation}" not in openapi["paths"]
    referred_to = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(openapi)))
    assert referred_to <= openapi["components"]["schemas"].keys()
    assert r"\Z" not in json.dumps(openapi)
    assert {tag["name"] for tag in openapi["tags"]} == {
        tag
        for path in openapi["paths"].values()
        for operation in path.values()
        for tag in operation["tags"]
    }
