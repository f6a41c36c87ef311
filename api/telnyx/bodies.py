"""A request's body, bounded in size and in time."""

import asyncio

from fastapi import Request
from starlette.requests import ClientDisconnect

from offhook.api.errors import refusal

BODY_BYTES_MAX = 128 * 1024
"""A command with its longest parameters takes a few KiB."""

BODY_TIMEOUT_S = 10.0
"""Nobody waits any longer for a command whose body takes more time."""


async def body_of(request: Request) -> bytes:
    """The whole body. Raises ErrorAnswer 413 as soon as it is over the bound, 408 if it is late."""
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await _whole(request)
    except TimeoutError:
        detail = f"The body was not complete within {BODY_TIMEOUT_S:g} s. Nothing was done"
        raise refusal(408, "10008", detail, headers={"connection": "close"}) from None
    except ClientDisconnect:
        # Nobody receives this answer, but without it the disconnect would be logged as a bug.
        raise refusal(400, "10015", "The connection ended before the body did") from None


async def _whole(request: Request) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > BODY_BYTES_MAX:
            detail = f"The body has more than {BODY_BYTES_MAX} bytes"
            raise refusal(413, "10015", detail, headers={"connection": "close"})
        parts.append(part)
    return b"".join(parts)
