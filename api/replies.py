"""Replies as JSON: what a route returns is encoded by msgspec, as streams and exports are.

FastAPI takes the return type for /docs. It would also let pydantic check and encode the value,
which takes ten times as long; the type checker has checked it.
"""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from fastapi import Response
from fastapi.routing import APIRoute

from offhook.api.errors import json_response


class ReplyRoute(APIRoute):
    """A route whose endpoint returns a dataclass, or a Response as it is."""

    def __init__(self, path: str, endpoint: Callable[..., Awaitable[Any]], **given: Any) -> None:
        super().__init__(path, _encoded(endpoint), **given)


def _encoded(endpoint: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Response]]:
    @wraps(endpoint)
    async def encoded(**given: Any) -> Response:
        reply = await endpoint(**given)
        return reply if isinstance(reply, Response) else json_response(reply)

    return encoded
