"""The Call Control Application resource, by the official SDK, and what it decides of a call."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from telnyx import AsyncTelnyx, BadRequestError, NotFoundError, UnprocessableEntityError

from offhook.simulator.applications import DEFAULT_ID
from tests.simulator.stand import CALLER, FRIEND, OURS, Stand, stand

ALLOWED_S = 5  # by an application: in which a slow machine answers the retry
SLOW_S = ALLOWED_S + 3.0
NEW: dict[str, Any] = {
    "application_name": "router",
    "webhook_event_url": "https://example.com/hooks",
}


@contextlib.asynccontextmanager
async def sdk(carrier: Stand) -> AsyncIterator[AsyncTelnyx]:
    async with AsyncTelnyx(api_key="k", base_url=f"{carrier.url}/v2", max_retries=0) as client:
        yield client


async def test_an_application_is_created_read_changed_and_deleted() -> None:
    async with stand() as carrier, sdk(carrier) as telnyx:
        applications = telnyx.call_control_applications
        made = (await applications.create(**NEW)).data
        assert made is not None
        assert made.id is not None
        assert (made.webhook_api_version, made.active, made.webhook_timeout_secs) == (
            "1",
            True,
            None,
        )
        changed = await applications.update(
            made.id,
            **NEW,
            webhook_api_version="2",
            inbound={"channel_limit": 3},
            tags=["night"],
        )
        await applications.update(made.id, **{**NEW, "application_name": "renamed"})
        read = (await applications.retrieve(made.id)).data
        assert read is not None
        assert read.application_name == "renamed"
        assert read.webhook_api_version == "2"  # what an update leaves out stays
        assert read.tags == ["night"]
        assert read.inbound is not None
        assert read.inbound.channel_limit == 3
        assert read.inbound.sip_subdomain_receive_settings == "from_anyone"
        assert changed.data is not None
        assert read.created_at == made.created_at
        gone = (await applications.delete(made.id)).data
        assert gone == read
        for missing in (applications.retrieve, applications.delete):
            with pytest.raises(NotFoundError):
                await missing(made.id)
        with pytest.raises(UnprocessableEntityError):
            await telnyx.calls.dial(to=FRIEND, from_=OURS, connection_id=made.id)


async def test_a_list_is_filtered_sorted_and_paged_to_its_end() -> None:
    async with stand() as carrier, sdk(carrier) as telnyx:
        applications = telnyx.call_control_applications
        for name in ("beta one", "alpha", "Beta two"):
            await applications.create(**{**NEW, "application_name": name})
        pages = applications.list(page_size=3, sort="connection_name")
        names = [one.application_name async for one in pages]
        assert names == ["Beta two", "alpha", "beta one", "offhook"]
        pages = applications.list(filter={"application_name": {"contains": "beta"}})
        assert [one.application_name async for one in pages] == ["Beta two", "beta one"]
        for query in ({"filter[application_name][contains]": "be"}, {"sort": "colour"}):
            with pytest.raises(BadRequestError):
                await applications.list(extra_query=query)


@pytest.mark.parametrize(
    ("change", "code", "pointer"),
    [
        ({"application_name": None}, "10004", "/application_name"),
        ({"webhook_event_url": "example.com"}, "10003", "/webhook_event_url"),
        ({"webhook_event_failover_url": "x"}, "10003", "/webhook_event_failover_url"),
        ({"webhook_api_version": "3"}, "10032", "/webhook_api_version"),
        ({"webhook_timeout_secs": 31}, "10033", "/webhook_timeout_secs"),
        ({"active": "yes"}, "10026", "/active"),
        ({"inbound": {"channel_limit": "x"}}, "10026", "/inbound/channel_limit"),
        ({"outbound": {"colour": "red"}}, "10015", "/outbound/colour"),
        ({"tags": ["x"]}, "10015", "/tags"),  # an update's only
    ],
)
async def test_a_wrong_application_is_422_and_names_the_field(
    change: dict[str, Any], code: str, pointer: str
) -> None:
    async with stand() as carrier:
        body = {name: value for name, value in {**NEW, **change}.items() if value is not None}
        response = await carrier.http.post("/v2/call_control_applications", json=body)
        (error,) = response.json()["errors"]
        assert (response.status_code, error["code"]) == (422, code)
        assert error["source"] == {"pointer": pointer}


async def application(carrier: Stand, **more: Any) -> str:
    """The id of a new one whose webhooks come to `/own` of the stand's receiver."""
    url = carrier.webhook_url.replace("/webhooks/telnyx", "/own")
    body = {**NEW, "webhook_event_url": url, "webhook_api_version": "2", **more}
    response = await carrier.http.post("/v2/call_control_applications", json=body)
    assert response.status_code == 201, response.text
    return str(response.json()["data"]["id"])


async def test_a_calls_webhooks_go_where_its_application_says() -> None:
    async with stand() as carrier:
        ours = await application(carrier)
        leg = await carrier.ring(connection_id=ours)
        other = await carrier.ring(connection_id=DEFAULT_ID)
        assert (await carrier.event("call.initiated", leg)).path == "/own"
        assert (await carrier.event("call.initiated", other)).path == "/webhooks/telnyx"


async def test_version_1_webhooks_have_its_names_and_its_header() -> None:
    async with stand() as carrier:
        ours = await application(carrier, webhook_api_version="1")
        await carrier.ring(connection_id=ours)
        await carrier.settled()
        (one,) = carrier.receiver.deliveries
        assert one.envelope["event_type"] == "call_initiated"
        assert one.envelope["payload"]["occurred_at"] == one.envelope["created_at"]
        assert "x-telnyx-signature" in one.headers
        assert "telnyx-signature-ed25519" not in one.headers


async def test_the_failover_address_takes_over_after_two_attempts_or_a_refusal() -> None:
    async with stand() as carrier:
        there = carrier.webhook_url.replace("/webhooks/telnyx", "/failover")
        ours = await application(carrier, webhook_event_failover_url=there)
        carrier.receiver.answer = lambda one: 200 if one.path == "/failover" else 503
        await carrier.ring(connection_id=ours)
        await carrier.settled()
        carrier.receiver.answer = lambda one: 200 if one.path == "/failover" else 404
        await carrier.ring(connection_id=ours)
        await carrier.settled()
        paths = [one.path for one in carrier.receiver.deliveries]
        assert paths == ["/own", "/own", "/failover", "/own", "/failover"]
        attempts = [one.envelope["meta"]["attempt"] for one in carrier.receiver.deliveries]
        assert attempts == [1, 2, 3, 1, 2]
        assert carrier.receiver.deliveries[-1].envelope["meta"]["delivered_to"] == there


async def test_a_receiver_slower_than_its_timeout_gets_a_retry() -> None:
    async with stand() as carrier:
        ours = await application(carrier, webhook_timeout_secs=ALLOWED_S)
        carrier.receiver.delay_s = lambda one: SLOW_S if 'attempt":1,' in one.text else 0.0
        await carrier.ring(connection_id=ours)
        (event,) = (await carrier.settled())["events"]
        assert event["attempts"] >= 2
        assert event["delivered"]


async def test_an_inactive_application_accepts_no_calls() -> None:
    async with stand() as carrier:
        ours = await application(carrier, active=False)
        body = {"from": CALLER, "to": OURS, "connection_id": ours}
        for path in ("/simulator/calls", "/v2/calls"):
            response = await carrier.http.post(path, json=body)
            assert response.json()["errors"][0]["code"] == "10015"


async def test_connections_that_exist_from_the_start_are_applications_as_well() -> None:
    async with stand(connections=["1"]) as carrier:
        leg = await carrier.ring(connection_id="1")
        assert (await carrier.event("call.initiated", leg)).payload["connection_id"] == "1"
        path = "/v2/call_control_applications/1"
        own = carrier.webhook_url.replace("/webhooks/telnyx", "/own")
        body = {**NEW, "webhook_event_url": own}
        assert (await carrier.http.patch(path, json=body)).status_code == 200
        leg = await carrier.ring(connection_id="1")
        assert (await carrier.event("call.initiated", leg)).path == "/own"
        assert (await carrier.http.delete(path)).status_code == 200
        body = {"from": CALLER, "to": OURS, "connection_id": "1"}
        assert (await carrier.http.post("/simulator/calls", json=body)).status_code == 422
