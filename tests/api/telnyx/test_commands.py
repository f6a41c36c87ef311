"""What the API adds to the carrier: one effect for ever, honest answers when nobody knows."""

import asyncio
import re
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text
from telnyx import AsyncTelnyx, InternalServerError, PermissionDeniedError, UnprocessableEntityError

from offhook.events import Decided, session_id_from
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.log import JetStreamLog
from offhook.projections.views.database.engine import open_database
from tests.api.stack import (
    ADMIN,
    COMMANDER,
    FRIEND,
    OURS,
    READER,
    Stack,
    api_with,
    sdk_at,
    until,
)

PERFORMED_BUT_500 = "+12025550151"
LATE = "+12025550152"
UNAVAILABLE = "+12025550153"
LIMITED = "+12025550159"
DIAL = {"to": FRIEND, "from": OURS, "connection_id": "1"}
LATE_DIALS_MAX = 10
HURRIED_S = 5.0
"""Long enough for all but the carrier's answer."""


@pytest.fixture(scope="module")
def hurried(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack behind another API, which waits less for an answer."""
    with api_with(stack, tmp_path_factory.mktemp("hurried"), answer_timeout_s=HURRIED_S) as other:
        yield other


async def post(stack: Stack, path: str, body: Any = None, token: str | None = COMMANDER) -> Any:
    async with stack.http(token) as http:
        return await http.post(path, json=body)


def error_in(response: Any) -> dict[str, Any]:
    (error,) = response.json()["errors"]
    return dict(error)


async def test_the_command_id_made_here_is_told(stack: Stack) -> None:
    response = await post(stack, "/v2/calls", DIAL)
    assert response.status_code == 200
    command_id = response.headers["offhook-command-id"]
    assert response.headers["offhook-session-id"] == command_id
    assert len(await stack.performed(command_id)) == 1
    assert (await post(stack, "/v2/calls", DIAL)).headers["offhook-command-id"] != command_id


async def test_webhooks_by_get_are_refused_and_nothing_is_sent(stack: Stack) -> None:
    body = DIAL | {"command_id": secrets.token_hex(8), "webhook_url_method": "GET"}
    response = await post(stack, "/v2/calls", body)
    assert response.status_code == 422
    assert error_in(response)["source"] == {"pointer": "/webhook_url_method"}
    assert "ingress answers 405" in error_in(response)["detail"]
    assert await stack.performed(body["command_id"]) == []


async def test_webhooks_to_another_program_are_warned_of_in_answer_and_timeline(
    stack: Stack,
) -> None:
    body = DIAL | {"command_id": secrets.token_hex(8), "webhook_url": "http://127.0.0.1:9/my/app"}
    response = await post(stack, "/v2/calls", body)
    assert response.status_code == 200
    warning = response.headers["offhook-warning"]
    assert warning.startswith("dial: the call's webhooks go to webhook_url 'http://127.0.0.1:9/my/")
    client = await connect(stack.settings.nats_url, "test")
    records = await JetStreamLog(client).read(session_id_from(body["command_id"]))
    await close(client)
    decided = [record.fact for record in records if isinstance(record.fact, Decided)]
    assert [fact.warnings for fact in decided] == [(warning,)]
    assert "offhook-warning" not in (await post(stack, "/v2/calls", DIAL)).headers


async def test_ten_requests_at_once_with_one_command_id_have_one_effect(stack: Stack) -> None:
    body = DIAL | {"command_id": secrets.token_hex(8)}
    answers = await asyncio.gather(*(post(stack, "/v2/calls", body) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    (effect,) = await stack.performed(body["command_id"])
    assert effect["count"] == 1
    (dial,) = (await stack.session(body["command_id"]))["data"]["commands"]
    assert dial["command_id"] == body["command_id"]


async def test_a_command_id_for_something_else_is_refused(stack: Stack) -> None:
    command_id = secrets.token_hex(8)
    placed = (await post(stack, "/v2/calls", DIAL | {"command_id": command_id})).json()["data"]
    other = await post(stack, "/v2/calls", DIAL | {"command_id": command_id, "timeout_secs": 9})
    assert other.status_code == 422
    assert error_in(other)["code"] == "10015"
    assert error_in(other)["source"] == {"pointer": "/command_id"}
    assert command_id in error_in(other)["detail"]
    assert "timeout_secs" in error_in(other)["detail"]
    actions = f"/v2/calls/{placed['call_control_id']}/actions"
    assert (await post(stack, f"{actions}/hangup", {"command_id": "x"})).status_code == 200
    renamed = await post(stack, f"{actions}/reject", {"command_id": "x", "cause": "USER_BUSY"})
    assert renamed.status_code == 422
    assert "hangup" in error_in(renamed)["detail"]


async def test_one_dial_by_a_command_id_among_all_dials(stack: Stack) -> None:
    """Linked to a call it belongs to another session, and still is the same command_id."""
    command_id = secrets.token_hex(8)
    leg = (await stack.ring())["call_control_id"]
    assert (await post(stack, "/v2/calls", DIAL | {"command_id": command_id})).status_code == 200
    linked = DIAL | {"command_id": command_id, "link_to": leg}
    response = await post(stack, "/v2/calls", linked)
    assert response.status_code == 422
    assert "link_to" in error_in(response)["detail"]


async def test_a_linked_dial_joins_the_session(stack: Stack, sdk: AsyncTelnyx) -> None:
    leg = await stack.ring()
    await sdk.calls.actions.answer(leg["call_control_id"])
    dialled = await sdk.calls.dial(
        to=FRIEND,
        from_=OURS,
        connection_id="1",
        link_to=leg["call_control_id"],
        bridge_on_answer=True,
        bridge_intent=True,
    )
    assert dialled.data is not None
    assert dialled.data.call_session_id == leg["call_session_id"]
    await stack.in_state(leg["call_control_id"], "bridged")


async def test_a_dial_that_the_carrier_performs_and_answers_500_is_one_call(stack: Stack) -> None:
    body = DIAL | {"to": PERFORMED_BUT_500, "command_id": secrets.token_hex(8)}
    response = await post(stack, "/v2/calls", body)
    assert response.status_code == 200
    assert response.json()["data"]["call_control_id"]
    (effect,) = await stack.performed(body["command_id"])
    assert effect["count"] == 1


async def test_a_busy_carrier_is_waited_for(stack: Stack) -> None:
    response = await post(stack, "/v2/calls", DIAL | {"to": LIMITED})
    assert response.status_code == 200


async def test_an_unknown_outcome_is_not_repeated_by_the_sdk(hurried: Stack) -> None:
    """The SDK would send a second command: it repeats what gets a 5xx, and knows no command_id."""
    async with sdk_at(f"{hurried.api_url}/v2", ADMIN, max_retries=2) as patient:
        with pytest.raises(InternalServerError) as raised:
            await patient.calls.dial(to=UNAVAILABLE, from_=OURS, connection_id="1")
    response = raised.value.response
    assert response.status_code == 504
    assert response.headers["x-should-retry"] == "false"
    assert response.request.headers["x-stainless-retry-count"] == "0"
    command_id = response.headers["offhook-command-id"]
    error = error_in(response)
    assert error["code"] == "10008"
    assert command_id in error["detail"]
    assert f"{HURRIED_S:g} s" in error["detail"]

    async def decided() -> Any:
        async with hurried.http(READER) as http:
            found = (await http.get(f"/commands/{command_id}")).json().get("data")
        return found if found and found["status"] != "requested" else None

    assert (await until(decided, "a decision on the command"))["status"] == "pending"


async def test_an_unknown_outcome_may_be_asked_for_again_by_its_own_command_id(
    hurried: Stack,
) -> None:
    body = DIAL | {"to": UNAVAILABLE, "command_id": secrets.token_hex(8)}
    response = await post(hurried, "/v2/calls", body)
    assert response.status_code == 504
    assert "x-should-retry" not in response.headers


async def test_a_performed_dial_whose_caller_left_is_not_said_to_be_unsent_nor_left_up(
    stack: Stack,
) -> None:
    """The number answers later than a try waits; the caller is gone before the next try."""
    for _ in range(LATE_DIALS_MAX):
        caller, answer = await dialled_while_the_caller_left(stack)
        if answer.status_code != 200:
            break
    command_id = answer.headers["offhook-command-id"]
    assert len(await stack.performed(command_id)) == 1
    assert (answer.status_code, error_in(answer)["code"]) == (504, "10008")
    tried = r"\d+ attempts?, which may have been performed"
    assert re.search(tried, error_in(answer)["detail"])
    assert answer.headers["x-should-retry"] == "false"

    async def failed() -> Any:
        async with stack.http(READER) as http:
            found = (await http.get(f"/commands/{command_id}")).json().get("data")
        return found if found and found["status"] == "failed" else None

    command = await until(failed, "the dial's outcome")
    assert (command["reason"], command["maybe_performed"]) == ("call_ended", True)
    assert command["attempts"] >= 1
    (effect,) = await stack.performed(command_id)
    assert effect["count"] == 1
    assert await stack.in_state(effect["call_control_id"], "ended")
    session = (await stack.session(caller["call_session_id"], "ended"))["data"]
    assert [each["operation"] for each in session["commands"]] == ["answer", "dial", "hangup"]


async def dialled_while_the_caller_left(stack: Stack) -> tuple[dict[str, str], Any]:
    """The caller and the answer to a dial to LATE: 200 if the hangup came after the next try, which
    the carrier answers at once."""
    caller = await stack.ring()
    await stack.session(caller["call_session_id"])
    leg = caller["call_control_id"]
    assert (await post(stack, f"/v2/calls/{leg}/actions/answer")).status_code == 200
    dialling = asyncio.create_task(post(stack, "/v2/calls", DIAL | {"to": LATE, "link_to": leg}))

    async def is_placed() -> bool:
        legs = (await stack.effects())["legs"]
        session_id = caller["call_session_id"]
        return any((each["to"], each["call_session_id"]) == (LATE, session_id) for each in legs)

    await until(is_placed, "the carrier to perform the dial")
    await stack.hung_up(leg)
    return caller, await dialling


async def test_hanging_up_a_call_that_has_ended_is_no_error(stack: Stack, sdk: AsyncTelnyx) -> None:
    leg = await stack.ring()
    for _ in range(2):
        answer = await sdk.calls.actions.hangup(leg["call_control_id"])
        assert answer.data is not None
        assert answer.data.result == "ok"
    await stack.session(leg["call_session_id"], "ended")
    await sdk.calls.actions.hangup(leg["call_control_id"])
    with pytest.raises(UnprocessableEntityError) as raised:
        await sdk.calls.actions.answer(leg["call_control_id"])
    assert error_in(raised.value.response)["code"] == "90018"


async def test_actions_are_recorded_in_the_session_of_their_leg(
    stack: Stack, sdk: AsyncTelnyx
) -> None:
    leg = await stack.ring()
    await stack.session(leg["call_session_id"])
    await sdk.calls.actions.answer(leg["call_control_id"], command_id="first")

    async def recorded() -> Any:
        found = await stack.session(leg["call_session_id"])
        return [one for one in found["data"]["commands"] if one["status"] == "succeeded"]

    (command,) = await until(recorded, "the command in its session")
    assert command["command_id"] == "first"
    assert command["operation"] == "answer"
    assert command["flow"] == "api"


async def test_no_token_and_too_small_a_scope(stack: Stack, sdk: AsyncTelnyx) -> None:
    for path in ("/v2/calls", "/v2/calls/x/actions/hangup", "/v2/calls/x/actions/nonsense"):
        response = await post(stack, path, DIAL, token=None)
        assert response.status_code == 401
        assert error_in(response)["code"] == "10009"
        assert response.headers["www-authenticate"] == "Bearer"
        response = await post(stack, path, DIAL, token=READER)
        assert response.status_code == 403
        assert error_in(response)["code"] == "10010"
    with pytest.raises(PermissionDeniedError):
        await sdk.with_options(api_key=READER).calls.actions.hangup("x")
    response = await post(stack, "/v2/call_control_applications", {}, token=COMMANDER)
    assert response.status_code == 403


@pytest.mark.parametrize(
    ("body", "code"),
    [
        *((body, "10023") for body in (b"{", b"[1]", b'"text"', b"[" * 100_000)),
        (b"\xff", "10028"),
    ],
)
async def test_a_body_that_is_no_json_object(stack: Stack, body: bytes, code: str) -> None:
    async with stack.http() as http:
        response = await http.post("/v2/calls", content=body)
    assert response.status_code == 400
    assert error_in(response)["code"] == code


async def test_a_body_over_the_bound(stack: Stack) -> None:
    response = await post(stack, "/v2/calls", DIAL | {"audio_url": "x" * 200_000})
    assert response.status_code == 413


@pytest.mark.parametrize("command_id", ["", " x", "a\r\nNats-Msg-Id: b", "ä", "x" * 129, 7])
async def test_a_command_id_that_no_header_can_carry(stack: Stack, command_id: Any) -> None:
    response = await post(stack, "/v2/calls", DIAL | {"command_id": command_id})
    assert response.status_code == 422
    assert error_in(response)["source"] == {"pointer": "/command_id"}


@pytest.mark.parametrize("leg", ["a%0d%0aNats-Msg-Id:b", "x" * 300, "%C3%A4"])
async def test_a_call_control_id_that_no_header_can_carry(stack: Stack, leg: str) -> None:
    response = await post(stack, f"/v2/calls/{leg}/actions/hangup")
    assert response.status_code == 422
    assert error_in(response)["code"] == "90015"
    response = await post(stack, "/v2/calls", DIAL | {"link_to": "a\r\nb"})
    assert response.status_code == 422


async def test_a_wrong_method_is_told_the_right_one(stack: Stack) -> None:
    async with stack.http() as http:
        for method, operation, right in (
            ("GET", "speak", "POST"),
            ("PUT", "hangup", "POST"),
            ("POST", "client_state_update", "PUT"),
        ):
            response = await http.request(method, f"/v2/calls/v3:x/actions/{operation}")
            assert response.status_code == 405
            assert response.headers["allow"] == right
            expected = f"{operation} is sent with {right}, not with {method}"
            assert error_in(response)["detail"] == expected


FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    ("method", "path", "sent", "status", "code"),
    [
        ("GET", "/nowhere", {}, 404, "10005"),
        ("GET", "/v2/call_control_applications/1/2", {}, 404, "10005"),
        ("POST", "/v2/calls/v3:x/actions/speek", {}, 404, "10005"),
        ("GET", "/v2/calls/v3:%00", {}, 422, "90015"),
        ("GET", "/sessions/%00", {}, 404, "10005"),
        ("GET", "/sessions/%00/timeline", {}, 404, "10005"),
        ("GET", "/sessions/%00?as_of=1", {}, 404, "10005"),
        ("PUT", "/v2/calls", {}, 405, "10030"),
        ("OPTIONS", "/v2/calls", {}, 405, "10030"),
        ("POST", "/sessions", {}, 405, "10030"),
        ("GET", "/v2/calls/v3:x/actions/speak", {}, 405, "10030"),
        ("POST", "/v2/calls/v3:x/actions/client_state_update", {}, 405, "10030"),
        ("POST", "/v2/calls", {"content": "to=1&from=2", "headers": FORM}, 400, "10023"),
        ("POST", "/v2/calls", {"files": {"to": b"1"}}, 400, "10023"),
        ("POST", "/v2/calls", {"content": b"\x1f\x8b"}, 400, "10028"),
        ("POST", "/v2/calls", {"content": b"{" + b" " * 200_000}, 413, "10015"),
        ("GET", "/sessions?limit=many", {}, 422, "10015"),
        ("GET", "/sessions?started_from=0001-01-01T00:00:00%2B14:00", {}, 422, "10015"),
        ("GET", "/sessions/x?as_of=9999-12-31T23:59:59-12:00", {}, 422, "10015"),
        ("GET", "/v2/connections/1/active_calls?page[size]=0", {}, 422, "10033"),
        ("GET", "/v2/connections/1/active_calls?page[size]=251", {}, 422, "10033"),
        ("GET", "/v2/connections/1/active_calls?page[after]=@", {}, 422, "10015"),
    ],
)
async def test_every_error_has_the_carriers_shape(
    stack: Stack, method: str, path: str, sent: dict[str, Any], status: int, code: str
) -> None:
    async with stack.http() as http:
        response = await http.request(method, path, **sent)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    assert error_in(response).keys() >= {"code", "title", "detail"}
    assert error_in(response)["code"] == code
    assert all(error_in(response).values())


async def test_a_command_that_came_before_its_call_was_known_is_found_again(
    stack: Stack,
) -> None:
    """Sent at once its leg may have no session yet; sent again it has."""
    ids = await stack.ring()
    leg, body = ids["call_control_id"], {"command_id": secrets.token_hex(8)}
    for _ in range(2):
        response = await post(stack, f"/v2/calls/{leg}/actions/answer", body)
        assert response.status_code == 200
        await stack.session(ids["call_session_id"])
    (effect,) = await stack.performed(body["command_id"])
    assert effect["count"] == 1


async def test_a_command_id_counts_for_one_call_only(stack: Stack) -> None:
    command_id = secrets.token_hex(8)
    for _ in range(2):
        leg = (await stack.ring())["call_control_id"]
        response = await post(stack, f"/v2/calls/{leg}/actions/answer", {"command_id": command_id})
        assert response.status_code == 200
        assert (await stack.leg(leg))["state"] == "answered"


async def test_a_command_whose_time_is_up_before_the_log_has_it_is_not_done(hurried: Stack) -> None:
    """Views that cannot be read hold it up; whoever asked has given up long before they can be."""
    leg = f"v3:{secrets.token_hex(16)}"
    engine = open_database(hurried.settings.postgres_url)
    async with engine.connect() as holder, holder.begin():
        await holder.execute(text("lock table legs in access exclusive mode"))
        response = await post(hurried, f"/v2/calls/{leg}/actions/hangup")
    await engine.dispose()
    assert response.status_code == 503
    assert "This request did nothing" in error_in(response)["detail"]
    assert "x-should-retry" not in response.headers
    client = await connect(hurried.settings.nats_url, "test")
    assert await JetStreamLog(client).read(session_id_from(leg)) == []
    await close(client)
