"""Call control applications reach the carrier and come back as they are.

What each method of the official SDK sends is compared in test_surface, and what the carrier may
answer in test_exceptions; here the simulator keeps the applications.
"""

import secrets
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from telnyx import (
    AsyncTelnyx,
    NotFoundError,
    PermissionDeniedError,
    UnprocessableEntityError,
)

from offhook.api.auth import tokens_from
from offhook.api.errors import install
from offhook.api.telnyx.applications import applications_router
from offhook.telnyx.http import TelnyxHttp
from tests.api.stack import ADMIN, READER, Stack

WANTED: dict[str, Any] = {
    "active": False,
    "anchorsite_override": "Amsterdam, Netherlands",
    "call_cost_in_webhooks": True,
    "dtmf_type": "Inband",
    "first_command_timeout": True,
    "first_command_timeout_secs": 10,
    "inbound": {
        "channel_limit": 10,
        "shaken_stir_enabled": True,
        "sip_subdomain": "desk",
        "sip_subdomain_receive_settings": "only_my_connections",
    },
    "outbound": {"channel_limit": 11, "outbound_voice_profile_id": "1293384261075731499"},
    "redact_dtmf_debug_logging": True,
    "webhook_api_version": "2",
    "webhook_event_failover_url": "https://failover.example.com",
    "webhook_event_url": "https://example.com/hooks",
    "webhook_timeout_secs": 25,
}


async def test_an_application_from_its_creation_to_its_end(either: AsyncTelnyx) -> None:
    applications, name = either.call_control_applications, secrets.token_hex(8)
    response = await applications.with_raw_response.create(application_name=name, **WANTED)
    assert response.status_code == 201
    created = (await response.parse()).data
    assert created is not None
    assert created.id is not None
    told = created.model_dump()
    assert {field: told[field] for field in WANTED} == WANTED
    assert told["application_name"] == name
    assert told["record_type"] == "call_control_application"
    assert told["created_at"] is not None
    retrieved = (await applications.retrieve(created.id)).data
    assert retrieved == created
    updated = await applications.update(
        created.id,
        application_name=name,
        webhook_event_url="https://example.com/other",
        webhook_timeout_secs=None,
        webhook_event_failover_url=None,
    )
    assert updated.data is not None
    assert updated.data.webhook_event_url == "https://example.com/other"
    assert updated.data.webhook_timeout_secs is None
    assert updated.data.dtmf_type == "Inband"
    deleted = (await applications.delete(created.id)).data
    assert deleted is not None
    assert deleted.id == created.id
    for gone in (applications.retrieve, applications.delete):
        with pytest.raises(NotFoundError) as raised:
            await gone(created.id)
        (error,) = raised.value.response.json()["errors"]
        assert error["code"] == "10005"


async def test_iterating_the_applications_comes_to_an_end(either: AsyncTelnyx) -> None:
    applications, name = either.call_control_applications, secrets.token_hex(8)
    placed = [
        await applications.create(
            application_name=f"{name} {place}", webhook_event_url="https://example.com"
        )
        for place in range(5)
    ]
    wanted: Any = {"application_name": {"contains": name}}
    for choice in ({}, {"page_size": 2}, {"page_size": 5}, {"page_number": 1, "page_size": 1}):
        found = applications.list(filter=wanted, sort="connection_name", **choice)  # type: ignore[arg-type]
        listed = [one.id async for one in found]
        assert sorted(listed, key=str) == sorted(
            (each.data.id for each in placed if each.data is not None), key=str
        )
    assert [one async for one in applications.list(filter=wanted, page_number=2)] == []
    assert len([one async for one in applications.list()]) >= 6


async def test_the_carriers_refusals_are_its_own(either: AsyncTelnyx) -> None:
    applications = either.call_control_applications
    cases: list[tuple[Any, str]] = [
        (
            applications.create(application_name="x", webhook_event_url="nowhere"),
            "webhook_event_url",
        ),
        (
            applications.create(
                application_name="x",
                webhook_event_url="https://example.com",
                webhook_api_version="3",  # type: ignore[arg-type]
            ),
            "webhook_api_version",
        ),
        (
            either.post("/call_control_applications", cast_to=object, body={}),
            "application_name",
        ),
    ]
    for asking, field in cases:
        with pytest.raises(UnprocessableEntityError) as raised:
            await asking
        (error,) = raised.value.response.json()["errors"]
        assert error["source"] == {"pointer": f"/{field}"}
        assert error["title"]


async def test_who_may_read_may_not_change(sdk: AsyncTelnyx, stack: Stack) -> None:
    created = await sdk.call_control_applications.create(
        application_name="kept", webhook_event_url="https://example.com"
    )
    assert created.data is not None
    assert created.data.id is not None
    reader = sdk.with_options(api_key=READER).call_control_applications
    changes: list[Any] = [
        reader.delete(created.data.id),
        reader.update(created.data.id, application_name="x", webhook_event_url="https://x.example"),
        reader.create(application_name="x", webhook_event_url="https://x.example"),
    ]
    for change in changes:
        with pytest.raises(PermissionDeniedError) as raised:
            await change
        assert "'admin' is needed here" in raised.value.response.json()["errors"][0]["detail"]
    assert (await reader.retrieve(created.data.id)).data == created.data


async def test_a_carrier_that_is_away(free_port: int) -> None:
    """Only what changes nothing may be repeated by the SDK."""
    app = FastAPI()
    url = f"http://127.0.0.1:{free_port}/v2"
    async with TelnyxHttp(base_url=url, key="key", timeout_s=1.0) as carrier:
        app.include_router(
            applications_router(tokens=tokens_from([f"admin:{ADMIN}"]), carrier=carrier)
        )
        install(app)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://api/v2",
            headers={"authorization": f"Bearer {ADMIN}"},
        ) as http:
            read = await http.get("/call_control_applications")
            changed = await http.post("/call_control_applications", json={})
    for answer in (read, changed):
        assert answer.status_code == 503
        assert answer.json()["errors"][0]["code"] == "10007"
    assert "x-should-retry" not in read.headers
    assert changed.headers["x-should-retry"] == "false"


ELSEWHERE = ("%2e%2e", "%2e", "%2e%2e%5cx", "%20", "a%00", "%c3%a9")


async def test_no_id_leads_to_another_path_of_the_carrier() -> None:
    """The account's key goes along, whoever asks."""
    asked: list[bytes] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.raw_path)
        return httpx.Response(200, json={"data": {}})

    async with api_before(answer) as http:
        for text in ELSEWHERE:
            for method in ("GET", "PATCH", "DELETE"):
                refused = await http.request(method, f"/call_control_applications/{text}")
                assert refused.status_code == 422, text
                (error,) = refused.json()["errors"]
                assert (error["code"], error["source"]) == ("10015", {"parameter": "id"})
        assert asked == []
        await http.get("/call_control_applications/a%3Fb%23c%252e")
    assert asked == [b"/v2/call_control_applications/a%3Fb%23c%252e"]


async def test_headers_are_handed_on_byte_by_byte() -> None:
    """500 before: a header may have any bytes, a text for httpx may not."""
    seen: list[httpx.Headers] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers)
        return httpx.Response(200, json={"data": []})

    async with api_before(answer) as http:
        found = await http.get("/call_control_applications", headers=[(b"accept", b"\xff/*")])
    assert found.status_code == 200
    assert [value for name, value in seen[0].raw if name.lower() == b"accept"] == [b"\xff/*"]


@pytest.mark.parametrize(("version", "is_warned"), [("1", True), ("2", False), ("texml", True)])
@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_an_application_whose_webhooks_ingress_refuses_is_warned_of(
    method: str, version: str, is_warned: bool
) -> None:
    async def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"data": {"webhook_api_version": version}})

    async with api_before(answer) as http:
        path = "/call_control_applications" + ("/7" if method == "PATCH" else "")
        found = await http.request(method, path, json={})
    assert found.json() == {"data": {"webhook_api_version": version}}
    assert ("offhook-warning" in found.headers) == is_warned
    if is_warned:
        assert 'set it to "2"' in found.headers["offhook-warning"]


@asynccontextmanager
async def api_before(
    carrier: Callable[[httpx.Request], Coroutine[None, None, httpx.Response]],
) -> AsyncIterator[httpx.AsyncClient]:
    """A client at the routes, in this process, with that carrier behind them."""
    app = FastAPI()
    behind = TelnyxHttp(
        base_url="https://carrier.example/v2",
        key="key",
        timeout_s=5.0,
        transport=httpx.MockTransport(carrier),
    )
    async with behind:
        app.include_router(
            applications_router(tokens=tokens_from([f"admin:{ADMIN}"]), carrier=behind)
        )
        install(app)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://api/v2",
            headers={"authorization": f"Bearer {ADMIN}"},
        ) as http:
            yield http
