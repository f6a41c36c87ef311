"""Call control applications, handed on to the carrier with its answers and errors as they are.

GET, POST           /v2/call_control_applications
GET, PATCH, DELETE  /v2/call_control_applications/{id}
"""

from urllib.parse import quote

import httpx
from fastapi import APIRouter, Depends, Request, Response

from api.auth import Tokens
from api.bodies import body_of
from api.errors import RETRY_HEADER, refusal

CONNECTIONS_MAX = 8
_HEADERS_BACK = frozenset(
    {
        "content-type",
        "retry-after",
        "x-request-id",
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
    }
)
_PATH = "/call_control_applications"


def carrier_http(base_url: str, key: str, timeout_s: float) -> httpx.AsyncClient:
    """A client for what is handed on; requests wait for one another beyond CONNECTIONS_MAX."""
    return httpx.AsyncClient(
        base_url=base_url,
        headers={"authorization": f"Bearer {key}", "user-agent": "offhook"},
        timeout=timeout_s,
        limits=httpx.Limits(max_connections=CONNECTIONS_MAX),
    )


def applications_router(*, tokens: Tokens, carrier: httpx.AsyncClient) -> APIRouter:
    """The routes above."""
    router = APIRouter(prefix="/v2", tags=["call control applications"])
    may_read = [Depends(tokens.allow("read"))]
    may_change = [Depends(tokens.allow("admin"))]

    @router.get(_PATH, summary="List", dependencies=may_read)
    async def list_applications(request: Request) -> Response:
        return await _handed_on(carrier, request, _PATH)

    @router.post(_PATH, summary="Create", status_code=201, dependencies=may_change)
    async def create_application(request: Request) -> Response:
        return await _handed_on(carrier, request, _PATH)

    @router.get(f"{_PATH}/{{id}}", summary="Retrieve", dependencies=may_read)
    async def retrieve_application(id: str, request: Request) -> Response:
        return await _handed_on(carrier, request, _path_of(id))

    @router.patch(f"{_PATH}/{{id}}", summary="Update", dependencies=may_change)
    async def update_application(id: str, request: Request) -> Response:
        return await _handed_on(carrier, request, _path_of(id))

    @router.delete(f"{_PATH}/{{id}}", summary="Delete", dependencies=may_change)
    async def delete_application(id: str, request: Request) -> Response:
        return await _handed_on(carrier, request, _path_of(id))

    return router


def _path_of(application_id: str) -> str:
    return f"{_PATH}/{quote(application_id, safe='')}"


async def _handed_on(carrier: httpx.AsyncClient, request: Request, path: str) -> Response:
    """The carrier's answer to the same request. Raises ErrorAnswer 503 if it gives none."""
    headers = {
        name: value
        for name in ("content-type", "accept")
        if (value := request.headers.get(name)) is not None
    }
    query = request.url.query
    try:
        answer = await carrier.request(
            request.method,
            f"{path}?{query}" if query else path,
            content=await body_of(request),
            headers=headers,
        )
    except httpx.TransportError as error:
        # Another try is harmless only where nothing is changed.
        repeatable = request.method == "GET"
        raise refusal(
            503,
            "10007",
            f"The carrier gave no answer: {type(error).__name__} {error}",
            headers={} if repeatable else {RETRY_HEADER: "false"},
        ) from error
    back = {name: value for name, value in answer.headers.items() if name in _HEADERS_BACK}
    return Response(answer.content, status_code=answer.status_code, headers=back)
