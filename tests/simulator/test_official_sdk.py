"""The official SDK is the judge: it performs every operation, and verifies every webhook."""

import contextlib
from collections.abc import AsyncIterator

import pytest
from telnyx import (
    AsyncTelnyx,
    AuthenticationError,
    InternalServerError,
    NotFoundError,
    RateLimitError,
    UnprocessableEntityError,
)

from tests.simulator.stand import CONNECTION, FRIEND, OURS, Stand, stand


@contextlib.asynccontextmanager
async def sdk(carrier: Stand) -> AsyncIterator[AsyncTelnyx]:
    async with AsyncTelnyx(api_key="k", base_url=f"{carrier.url}/v2", max_retries=0) as client:
        yield client


async def test_an_inbound_call_is_answered_transferred_and_hung_up() -> None:
    async with stand() as carrier, sdk(carrier) as telnyx:
        leg = await carrier.ring()
        answered = await telnyx.calls.actions.answer(leg, client_state="aGVsbG8=", command_id="1")
        assert answered.data is not None
        assert answered.data.result == "ok"
        moved = await telnyx.calls.actions.transfer(leg, to=FRIEND, command_id="2")
        assert moved.data is not None
        assert moved.data.result == "ok"
        await carrier.event("call.bridged", leg)
        status = await telnyx.calls.retrieve_status(leg)
        assert status.data is not None
        assert status.data.is_alive
        assert status.data.client_state == "aGVsbG8="
        await telnyx.calls.actions.hangup(leg, command_id="3")
        await carrier.settled()
        assert carrier.receiver.types(status.data.call_session_id).count("call.hangup") == 2


async def test_two_dialled_legs_are_bridged_and_referred() -> None:
    async with stand() as carrier, sdk(carrier) as telnyx:
        dialled = [
            await telnyx.calls.dial(to=FRIEND, from_=OURS, connection_id=CONNECTION)
            for _ in range(2)
        ]
        first, second = (one.data.call_control_id for one in dialled if one.data is not None)
        for leg in (first, second):
            await carrier.event("call.answered", leg)
        await telnyx.calls.actions.bridge(first, call_control_id_to_bridge_with=second)
        await telnyx.calls.actions.send_sip_info(first, content_type="text/plain", body="hello")
        await carrier.event("call.sip_info.received", second)
        await telnyx.calls.actions.refer(first, sip_address="sip:friend@example.com")
        done = await carrier.event("call.refer.completed", first)
        assert done.payload["sip_notify_response"] == 200


async def test_an_inbound_call_is_rejected() -> None:
    async with stand() as carrier, sdk(carrier) as telnyx:
        leg = await carrier.ring()
        await telnyx.calls.actions.reject(leg, cause="USER_BUSY")
        hangup = await carrier.event("call.hangup", leg)
        assert hangup.payload["hangup_cause"] == "user_busy"


async def test_iterating_the_active_calls_ends() -> None:
    async with stand() as carrier, sdk(carrier) as telnyx:
        placed = {await carrier.ring() for _ in range(7)}
        for query in ({}, {"page[limit]": 3}):
            pages = telnyx.connections.list_active_calls(CONNECTION, extra_query=query)
            listed = [call.call_control_id async for call in pages]
            assert len(listed) == 7
            assert set(listed) == placed
        pages = telnyx.connections.list_active_calls(CONNECTION, page_size=2, page_number=2)
        assert len([call async for call in pages]) == 5
        nothing = telnyx.connections.list_active_calls("1")
        assert [call async for call in nothing] == []


async def test_a_conference_is_created_joined_and_left() -> None:
    async with stand() as carrier, sdk(carrier) as telnyx:
        first, second = await carrier.ring_answered(), await carrier.ring_answered()
        made = (await telnyx.conferences.create(call_control_id=first, name="standup")).data
        assert made is not None
        assert made.name == "standup"
        actions = telnyx.conferences.actions
        for _ in range(2):
            await actions.join(made.id, call_control_id=second, command_id="one")
        with pytest.raises(UnprocessableEntityError):
            await actions.join(made.id, call_control_id=second)
        await actions.leave(made.id, call_control_id=second)
        await telnyx.calls.actions.hangup(first)
        with pytest.raises(NotFoundError):
            await actions.join(made.id, call_control_id=second)
        ended = await carrier.event("conference.ended", first)
        assert ended.payload["conference_id"] == made.id
        totals = (await carrier.settled())["totals"]
        for leg, expected in ((first, 2), (second, 2)):
            told = [one for one in carrier.receiver.types_of(leg) if "participant" in one]
            assert len(told) == expected
        assert totals["conference_join"] == 1


async def test_errors_arrive_as_the_sdks_own_exceptions() -> None:
    async with stand(key="k") as carrier, sdk(carrier) as telnyx:
        dial = telnyx.calls.dial
        with pytest.raises(UnprocessableEntityError):
            await dial(to="110", from_=OURS, connection_id=CONNECTION)
        with pytest.raises(UnprocessableEntityError):
            await telnyx.calls.retrieve_status("v3:nobody")
        with pytest.raises(RateLimitError):
            await dial(to="+12025550159", from_=OURS, connection_id=CONNECTION)
        with pytest.raises(InternalServerError):
            await dial(to="+12025550153", from_=OURS, connection_id=CONNECTION)
        with pytest.raises(NotFoundError):
            await telnyx.post("/calls/x/actions/shout", cast_to=object)
        with pytest.raises(AuthenticationError):
            await telnyx.with_options(api_key="wrong").calls.retrieve_status("v3:nobody")


async def test_the_sdk_retries_a_failed_dial_by_itself() -> None:
    async with stand() as carrier, sdk(carrier) as telnyx:
        patient = telnyx.with_options(max_retries=2)
        answer = await patient.calls.dial(
            to="+12025550151", from_=OURS, connection_id=CONNECTION, command_id="one"
        )
        assert answer.data is not None
        assert carrier.report()["totals"] == {"dial": 1}


async def test_every_webhook_passes_the_sdks_verification() -> None:
    async with stand() as carrier, sdk(carrier) as telnyx:
        leg = await carrier.ring_answered()
        await carrier.act(leg, "transfer", to=FRIEND)
        await carrier.event("call.bridged", leg)
        await carrier.act(leg, "hangup")
        await carrier.settled()
        seen = set()
        for one in carrier.receiver.deliveries:
            event = telnyx.webhooks.unwrap(one.text, headers=one.headers, key=carrier.public_key)
            assert type(event).__name__.lower().startswith(one.event_type.replace(".", ""))
            seen.add(one.event_type)
        assert seen == {"call.initiated", "call.answered", "call.bridged", "call.hangup"}
