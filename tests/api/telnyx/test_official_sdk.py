"""The official SDK, with the same assertions at the API and at the simulator itself."""

import secrets
from typing import Any

import pytest
from telnyx import (
    APIStatusError,
    AsyncTelnyx,
    AuthenticationError,
    NotFoundError,
    UnprocessableEntityError,
)

from tests.api.stack import FRIEND, OURS, Stack, until

UNKNOWN_LEG = "v3:nobody"
SILENT = "+12025550188"


async def dial(telnyx: AsyncTelnyx, to: str = FRIEND, **more: Any) -> Any:
    """The `data` of a dial."""
    answer = await telnyx.calls.dial(to=to, from_=OURS, connection_id="1", **more)
    assert answer.data is not None
    return answer.data


def told(raised: pytest.ExceptionInfo[APIStatusError]) -> dict[str, Any]:
    """The error that the SDK read from the body."""
    body: Any = raised.value.response.json()
    (error,) = body["errors"]
    assert error["title"]
    return dict(error)


async def test_a_dial_answers_with_the_ids_of_the_new_leg(
    either: AsyncTelnyx, stack: Stack
) -> None:
    placed = await dial(either, client_state="aGVsbG8=")
    assert placed.record_type == "call"
    assert placed.is_alive is False
    leg = await stack.leg(placed.call_control_id)
    assert leg["call_leg_id"] == placed.call_leg_id
    assert leg["call_session_id"] == placed.call_session_id
    assert leg["client_state"] == "aGVsbG8="


async def test_a_dialled_leg_is_hung_up_at_once(either: AsyncTelnyx, stack: Stack) -> None:
    placed = await dial(either, SILENT, timeout_secs=600)
    hung_up = await either.calls.actions.hangup(placed.call_control_id)
    assert hung_up.data is not None
    assert hung_up.data.result == "ok"
    leg = await stack.leg(placed.call_control_id)
    assert leg["state"] == "ended"
    assert leg["hangup_cause"] == "originator_cancel"


async def test_the_status_follows_a_call_to_its_end(either: AsyncTelnyx, stack: Stack) -> None:
    placed = await dial(either, client_state="aGVsbG8=")
    status = (await either.calls.retrieve_status(placed.call_control_id)).data
    assert status is not None
    assert status.is_alive is True
    assert status.record_type == "call"
    assert status.call_leg_id == placed.call_leg_id
    assert status.call_session_id == placed.call_session_id
    assert status.client_state == "aGVsbG8="
    assert isinstance(status.call_duration, int)
    assert status.start_time is not None
    assert status.end_time is None
    await either.calls.actions.hangup(placed.call_control_id)

    async def ended() -> Any:
        found = (await either.calls.retrieve_status(placed.call_control_id)).data
        return found if found is not None and not found.is_alive else None

    assert (await until(ended, "the status to be ended")).end_time is not None


async def test_an_inbound_call_is_answered_transferred_and_hung_up(
    either: AsyncTelnyx, stack: Stack
) -> None:
    leg = (await stack.ring())["call_control_id"]
    answered = await either.calls.actions.answer(leg, client_state="aGVsbG8=")
    assert answered.data is not None
    assert answered.data.result == "ok"
    moved = await either.calls.actions.transfer(leg, to=FRIEND)
    assert moved.data is not None
    assert moved.data.result == "ok"
    bridged = await stack.in_state(leg, "bridged")
    await either.calls.actions.hangup(leg)
    await stack.in_state(bridged["bridged_with"], "ended")


async def test_two_legs_are_bridged_referred_and_told_things(
    either: AsyncTelnyx, stack: Stack
) -> None:
    first, second = (
        (await dial(either)).call_control_id,
        (await stack.ring())["call_control_id"],
    )
    await either.calls.actions.answer(second)
    await stack.in_state(first, "answered")
    bridged = await either.calls.actions.bridge(first, call_control_id_to_bridge_with=second)
    assert bridged.data is not None
    assert bridged.data.result == "ok"
    assert (await stack.leg(second))["bridged_with"] == first
    actions = either.calls.actions
    told = await actions.send_sip_info(first, content_type="text/plain", body="hello")
    assert told.data is not None
    assert told.data.result == "ok"
    referred = await actions.refer(first, sip_address="sip:friend@example.com")
    assert referred.data is not None
    assert referred.data.result == "ok"
    await actions.hangup(first)


async def test_an_inbound_call_is_rejected(either: AsyncTelnyx, stack: Stack) -> None:
    leg = (await stack.ring())["call_control_id"]
    rejected = await either.calls.actions.reject(leg, cause="USER_BUSY")
    assert rejected.data is not None
    assert rejected.data.result == "ok"
    assert (await stack.leg(leg))["hangup_cause"] == "user_busy"


async def test_iterating_the_active_calls_comes_to_an_end(
    either: AsyncTelnyx, stack: Stack
) -> None:
    connection_id = await stack.connection()
    placed = {(await stack.ring(connection_id))["call_control_id"] for _ in range(7)}

    async def listed(**choice: Any) -> list[str]:
        pages = either.connections.list_active_calls(connection_id, **choice)
        return [call.call_control_id async for call in pages]

    async def all_there() -> bool:
        return len(await listed()) == 7

    await until(all_there, "seven active calls")
    for choice in ({}, {"page_size": 3}, {"extra_query": {"page[limit]": 2}}):
        found = await listed(**choice)
        assert len(found) == 7
        assert set(found) == placed
    assert len(await listed(page_size=2, page_number=2)) == 5
    page = await either.connections.list_active_calls(connection_id, page_size=3)
    assert page.data[0].record_type == "call"
    assert page.data[0].client_state == ""
    assert isinstance(page.data[0].call_duration, int)
    pages = either.connections.list_active_calls("999")
    assert [call async for call in pages] == []


async def test_the_cursors_lead_forward_and_back(either: AsyncTelnyx, stack: Stack) -> None:
    connection_id = await stack.connection()
    placed = {(await stack.ring(connection_id))["call_control_id"] for _ in range(5)}

    async def page(**query: Any) -> Any:
        named = {f"page[{name}]": value for name, value in query.items()}
        return await either.get(
            f"/connections/{connection_id}/active_calls",
            cast_to=object,
            options={"params": named},
        )

    async def all_there() -> bool:
        return bool((await page())["meta"]["total_items"] == 5)

    await until(all_there, "five active calls")
    forward: list[str] = []
    found = await page(limit=2)
    while True:
        forward += [call["call_control_id"] for call in found["data"]]
        if "next" not in found["meta"]:
            break
        last, found = found, await page(limit=2, after=found["meta"]["cursors"]["after"])
    assert len(forward) == 5
    assert set(forward) == placed
    back = await page(limit=2, before=found["meta"]["cursors"]["before"])
    assert [call["call_control_id"] for call in back["data"]] == [
        call["call_control_id"] for call in last["data"]
    ]


async def test_the_same_command_id_gives_the_same_answer_and_one_effect(
    either: AsyncTelnyx, stack: Stack
) -> None:
    command_id = secrets.token_hex(8)
    first = await dial(either, command_id=command_id)
    again = await dial(either, command_id=command_id)
    assert again == first
    (effect,) = await stack.performed(command_id)
    assert effect["count"] == 1
    hangup_id = secrets.token_hex(8)
    for _ in range(2):
        answer = await either.calls.actions.hangup(first.call_control_id, command_id=hangup_id)
        assert answer.data is not None
        assert answer.data.result == "ok"
    (effect,) = await stack.performed(hangup_id)
    assert effect["count"] == 1


async def test_a_number_that_is_not_e164(either: AsyncTelnyx) -> None:
    with pytest.raises(UnprocessableEntityError) as raised:
        await dial(either, to="110")
    assert told(raised)["code"] == "10016"
    assert told(raised)["source"] == {"pointer": "/to"}


async def test_a_parameter_that_is_missing(either: AsyncTelnyx) -> None:
    with pytest.raises(UnprocessableEntityError) as raised:
        await either.post("/calls", cast_to=object, body={"to": FRIEND, "from": OURS})
    assert told(raised)["code"] == "10004"
    assert told(raised)["source"] == {"pointer": "/connection_id"}


async def test_a_parameter_that_does_not_exist(either: AsyncTelnyx) -> None:
    with pytest.raises(UnprocessableEntityError) as raised:
        await dial(either, extra_body={"colour": "blue"})
    assert told(raised)["source"] == {"pointer": "/colour"}


async def test_a_value_that_is_not_in_the_enum(either: AsyncTelnyx, stack: Stack) -> None:
    leg = (await stack.ring())["call_control_id"]
    with pytest.raises(UnprocessableEntityError) as raised:
        await either.calls.actions.reject(leg, cause="NOT_TODAY")  # type: ignore[arg-type]
    assert told(raised)["source"] == {"pointer": "/cause"}


async def test_a_command_to_an_unknown_call(either: AsyncTelnyx) -> None:
    with pytest.raises(UnprocessableEntityError) as raised:
        await either.calls.actions.hangup(UNKNOWN_LEG)
    assert told(raised)["code"] == "90015"


async def test_the_status_of_an_unknown_call(either: AsyncTelnyx) -> None:
    with pytest.raises(UnprocessableEntityError) as raised:
        await either.calls.retrieve_status(UNKNOWN_LEG)
    assert told(raised)["code"] == "90015"
    assert told(raised)["source"] == {"pointer": "/call_control_id"}


async def test_a_command_before_the_answer(either: AsyncTelnyx, stack: Stack) -> None:
    leg = (await stack.ring())["call_control_id"]
    with pytest.raises(UnprocessableEntityError) as raised:
        await either.calls.actions.transfer(leg, to=FRIEND)
    assert told(raised)["code"] == "90034"


async def test_a_command_after_the_end(either: AsyncTelnyx, stack: Stack) -> None:
    leg = (await stack.ring())["call_control_id"]
    await either.calls.actions.reject(leg, cause="CALL_REJECTED")
    with pytest.raises(UnprocessableEntityError) as raised:
        await either.calls.actions.answer(leg)
    assert told(raised)["code"] == "90018"


async def test_an_action_that_does_not_exist(either: AsyncTelnyx) -> None:
    with pytest.raises(NotFoundError) as raised:
        await either.post(f"/calls/{UNKNOWN_LEG}/actions/shout", cast_to=object)
    assert told(raised)["code"] == "10005"


async def test_a_wrong_key(either: AsyncTelnyx) -> None:
    with pytest.raises(AuthenticationError) as raised:
        await dial(either.with_options(api_key="wrong"))
    assert told(raised)["code"] == "10009"
