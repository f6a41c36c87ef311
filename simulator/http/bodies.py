"""JSON bodies: of requests, answers, pages and errors."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from offhook.simulator.errors import request_errors
from offhook.simulator.errors.carrier_error import CarrierError
from offhook.simulator.http.paging import numbered


async def object_in(request: Request) -> dict[str, Any]:
    """The body's object; {} for an empty body. Raises CarrierError (10023, 10028)."""
    body: dict[str, Any] = decode(await request.body() or b"{}", dict[str, Any])
    return body


def decode(body: bytes, kind: Any) -> Any:
    """The body as JSON of this type. Raises CarrierError (10023, 10028)."""
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise request_errors.body_not_text(error.start) from None
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, RecursionError):
        raise request_errors.body_not_json() from None


def respond(value: Any, status: int = 200) -> Response:
    """A response with this value in JSON."""
    content = msgspec.json.encode(value)
    return Response(content, status_code=status, media_type="application/json")


def respond_page(
    items: Sequence[Any], request: Request, resource_of: Callable[[Any], Any]
) -> Response:
    """The page of the items that the query asks for. Raises CarrierError (10033)."""
    page, meta = numbered(items, request.query_params)
    return respond({"data": [resource_of(item) for item in page], "meta": meta})


async def respond_error(_: Request, error: Exception) -> Response:
    """The error response of a CarrierError."""
    assert isinstance(error, CarrierError)
    content = msgspec.json.encode(error.body)
    return Response(
        content, status_code=error.status, headers=error.headers, media_type="application/json"
    )


async def respond_no_route(request: Request, error: Exception) -> Response:
    """The error response to an unknown path, or to a wrong method of a known one."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        return await respond_error(request, request_errors.method_not_allowed())
    return await respond_error(request, request_errors.not_found())
