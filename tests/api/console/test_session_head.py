"""What the page of a session says of it, and what it asks of the API for that: no browser."""

from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse

from offhook.api.console.client import Api, ApiRefused
from offhook.api.console.pages.session import (
    asked_in,
    earlier_commands,
    ended_by,
    issued_before,
    legs_up,
    shown,
)
from offhook.process.asgi import Receive, Scope, Send


def test_a_leg_whose_hangup_was_lost_cannot_be_commanded() -> None:
    lost = {"state": "ended", "ended_at": None}
    legs = [{"state": "answered", "ended_at": None}, lost]
    assert legs_up(legs) == legs[:1]


def test_a_session_without_legs_shows_what_its_command_asked_for() -> None:
    at = "2026-11-22T10:00:00Z"
    dial: dict[str, Any] = {"operation": "dial", "requested_at": None, "decided_at": at}
    dial["parameters"] = {"from": "+12025550100", "to": "+12025550155"}
    asked = asked_in({"legs": [], "commands": [dial]})
    assert asked == {
        "operation": "dial",
        "from_number": "+12025550100",
        "to_number": "+12025550155",
        "asked_at": at,
    }
    assert asked_in({"legs": [{}], "commands": [dial]}) is None
    assert asked_in({"legs": [], "commands": []}) is None


def test_a_leg_that_we_hung_up_was_not_ended_by_its_callee() -> None:
    leg = {
        "call_control_id": "v3:a",
        "direction": "incoming",
        "bridged_at": None,
        "ended_at": "2026-11-22T10:00:00Z",
        "hangup_source": "callee",
    }
    hangup = {
        "operation": "hangup",
        "call_control_id": "v3:a",
        "status": "succeeded",
        "detail": None,
        "flow": "desk",
    }
    assert ended_by({"legs": [leg], "commands": [hangup]}, leg) == "the flow desk"
    assert ended_by({"legs": [leg], "commands": []}, leg) == "callee"


async def test_a_long_session_is_explained_by_commands_that_are_not_on_the_page() -> None:
    failed = {"session_id": "s", "command_id": "f 1"}
    dial = {"session_id": "s", "command_id": "d"}
    asked = []

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        query = scope["query_string"].decode()
        asked.append(f"{scope['path']}?{query}" if query else scope["path"])
        if scope["path"].startswith("/commands/"):
            reply = JSONResponse({"data": failed}, 200 if "f" in scope["path"] else 404)
        else:
            reply = JSONResponse({"data": [dial] if "dial" in query else [failed]})
        await reply(scope, receive, send)

    api = Api(api=answer, token="read")
    commands = [{"command_id": "c"}]
    session: dict[str, Any] = {"session_id": "s"}
    detail: dict[str, Any] = {"session": session, "commands": commands, "commands_next": None}
    assert await earlier_commands(api, detail, None, operation="dial") == []
    assert asked == []
    detail["commands_next"] = "c"
    assert await earlier_commands(api, detail, None, operation="dial") == [dial]
    assert await earlier_commands(api, detail, "7", status="failed") == [failed]
    path = "/sessions/s/commands?before=c&limit=20"
    assert asked == [f"{path}&operation=dial", f"{path}&as_of=7&status=failed"]

    asked.clear()
    decided = {"type": "Decided", "fields": {"commands": [{"command_id": "here"}]}}
    outcomes = [
        {"type": "CommandSucceeded", "fields": {"command_id": command_id}}
        for command_id in ("c", "here", "f 1", "gone")
    ]
    odd = {"type": "WebhookReceived", "fields": {"command_id": "x", "commands": 3}}
    unreadable = {"type": "CommandFailed", "fields": {}}
    found = await issued_before(api, detail, [odd, decided, *outcomes, unreadable])
    assert found == [failed]
    assert sorted(asked) == ["/commands/f 1", "/commands/gone"]


SESSION = {
    "session_id": "s",
    "status": "ended",
    "failed_commands": 0,
    "parked": False,
    "flow_raised_at": None,
    "fold_error": None,
    "end_inferred": False,
    "answered_at": None,
    "from_number": None,
    "to_number": None,
    "first_seq": 1,
}


@pytest.mark.parametrize(
    ("session", "query", "asked"),
    [
        ({}, "", ["/sessions/s"]),
        ({"failed_commands": 1}, "", ["/sessions/s", "/sessions/s/commands"]),
        ({"parked": True}, "", ["/sessions/s", "/sessions/s/timeline"]),
        ({"flow_raised_at": "2026-11-22T10:00:00Z"}, "", ["/sessions/s", "/sessions/s/timeline"]),
        ({"parked": True}, "before=x", ["/sessions/s", "/sessions/s/timeline"]),
    ],
)
async def test_the_head_asks_only_for_what_its_sentence_needs(
    session: dict[str, Any], query: str, asked: list[str]
) -> None:
    paths: list[str] = []

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        paths.append(scope["path"])
        if scope["path"] == "/sessions/s":
            detail = {"session": SESSION | session, "legs": [], "commands": []}
            reply = JSONResponse(
                {"data": {**detail, "commands_next": "c"}, "meta": {"as_of_seq": 1}}
            )
        elif b"before_seq=x" in scope["query_string"]:
            reply = JSONResponse({"errors": [{"title": "before_seq is x"}]}, 422)
        else:
            reply = JSONResponse({"data": [], "meta": {"next": None}})
        await reply(scope, receive, send)

    api = Api(api=answer, token="read")
    request = Request(
        {
            "type": "http",
            "path_params": {"session_id": "s"},
            "query_string": query.encode(),
            "headers": [],
        }
    )
    ladder = (await shown(request, api))["later"][0]
    assert paths == asked
    # The records that the head has read are not read again; what was refused is said by the ladder.
    paths.clear()
    if query:
        with pytest.raises(ApiRefused, match="before is x"):
            await ladder.shown()
    else:
        assert (await ladder.shown())["records"] == []
        assert ("/sessions/s/timeline" in paths) == ("/sessions/s/timeline" not in asked)
