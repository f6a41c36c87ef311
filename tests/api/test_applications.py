"""Call control applications reach the carrier and come back as they are."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from telnyx import AsyncTelnyx, NotFoundError, PermissionDeniedError

from api.applications import applications_router
from api.auth import tokens_from
from api.errors import install

APPLICATION = {"id": "12", "application_name": "desk", "webhook_event_url": "https://x.example"}


@dataclass(kw_only=True)
class Carrier:
    """A carrier that knows one application, and notes what it is asked."""

    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    down: bool = False

    async def answer(self, request: Request) -> Response:
        if self.down:
            raise httpx.ConnectError("refused")
        assert request.headers["authorization"] == "Bearer carrier-key"
        body = await request.body()
        self.asked.append((request.method, request.url.query, body and await request.json()))
        if request.path_params.get("id", "12") != "12":
            error = {"code": "10005", "title": "Resource not found"}
            return JSONResponse({"errors": [error]}, 404)
        if request.method == "POST":
            return JSONResponse({"data": APPLICATION}, 201, headers={"x-ratelimit-limit": "9"})
        if "id" in request.path_params:
            return JSONResponse({"data": APPLICATION})
        meta = {"page_number": 1, "total_pages": 1, "page_size": 20, "total_results": 1}
        return JSONResponse({"data": [APPLICATION], "meta": meta})


@pytest.fixture
def carrier() -> Carrier:
    return Carrier()


@pytest.fixture
async def telnyx(carrier: Carrier) -> AsyncIterator[AsyncTelnyx]:
    path = "/v2/call_control_applications"
    upstream = Starlette(
        routes=[
            Route(path, carrier.answer, methods=["GET", "POST"]),
            Route(f"{path}/{{id}}", carrier.answer, methods=["GET", "PATCH", "DELETE"]),
        ]
    )
    to_carrier = httpx.AsyncClient(
        transport=httpx.ASGITransport(upstream),
        base_url="http://carrier/v2",
        headers={"authorization": "Bearer carrier-key"},
    )
    app = FastAPI()
    tokens = tokens_from(["admin:a", "read:r"])
    app.include_router(applications_router(tokens=tokens, carrier=to_carrier))
    install(app)
    http = httpx.AsyncClient(transport=httpx.ASGITransport(app))
    async with AsyncTelnyx(
        api_key="a", base_url="http://api/v2", http_client=http, max_retries=2
    ) as client:
        yield client
    await to_carrier.aclose()


async def test_every_operation_is_handed_on(telnyx: AsyncTelnyx, carrier: Carrier) -> None:
    applications = telnyx.call_control_applications
    listed = [one.id async for one in applications.list(page_size=20)]
    assert listed == ["12"]
    wanted: dict[str, Any] = {"application_name": "desk", "webhook_event_url": "https://x.example"}
    created = await applications.with_raw_response.create(**wanted)
    assert created.status_code == 201
    assert created.headers["x-ratelimit-limit"] == "9"
    assert (await applications.retrieve("12")).data is not None
    updated = await applications.update("12", **wanted)
    assert updated.data is not None
    assert updated.data.application_name == "desk"
    assert (await applications.delete("12")).data is not None
    assert [method for method, _, _ in carrier.asked] == ["GET", "POST", "GET", "PATCH", "DELETE"]
    assert unquote(carrier.asked[0][1]) == "page[size]=20"
    assert carrier.asked[1][2] == wanted


async def test_the_carriers_errors_are_its_own(telnyx: AsyncTelnyx) -> None:
    with pytest.raises(NotFoundError) as raised:
        await telnyx.call_control_applications.retrieve("13")
    assert raised.value.response.json() == {
        "errors": [{"code": "10005", "title": "Resource not found"}]
    }


async def test_who_may_read_may_not_change(telnyx: AsyncTelnyx, carrier: Carrier) -> None:
    reader = telnyx.with_options(api_key="r")
    assert (await reader.call_control_applications.retrieve("12")).data is not None
    with pytest.raises(PermissionDeniedError):
        await reader.call_control_applications.delete("12")
    assert len(carrier.asked) == 1


async def test_a_carrier_that_is_away(telnyx: AsyncTelnyx, carrier: Carrier) -> None:
    carrier.down = True
    answer = await telnyx.with_options(max_retries=0)._client.post(
        "http://api/v2/call_control_applications", json={}, headers={"authorization": "Bearer a"}
    )
    assert answer.status_code == 503
    assert answer.headers["x-should-retry"] == "false"
    assert answer.json()["errors"][0]["code"] == "10007"
