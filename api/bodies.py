"""A request's body, bounded."""

from fastapi import Request

from api.errors import refusal

BODY_BYTES_MAX = 128 * 1024
"""A command becomes a record of the log, whose bound is 256 KiB."""


async def body_of(request: Request) -> bytes:
    """The whole body. Raises ErrorAnswer 413 as soon as it is over the bound."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > BODY_BYTES_MAX:
            detail = f"The body has more than {BODY_BYTES_MAX} bytes"
            raise refusal(413, "10015", detail, headers={"connection": "close"})
        parts.append(part)
    return b"".join(parts)
