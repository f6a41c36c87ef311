"""Who a token belongs to, and what it may do.

GET /whoami    the name that the log has for this token, and its scope
"""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends

from offhook.api.auth import Caller, Scope, Tokens
from offhook.api.replies import ReplyRoute


@dataclass(frozen=True, kw_only=True)
class Who:
    """`name` stands in the log beside what was requested; it reveals nothing of the token."""

    name: str
    scope: Scope


@dataclass(frozen=True, kw_only=True)
class WhoReply:
    data: Who


def whoami_router(*, tokens: Tokens) -> APIRouter:
    """The route above."""
    router = APIRouter(route_class=ReplyRoute, tags=["tokens"])

    @router.get("/whoami", summary="What this token may do")
    async def whoami(caller: Annotated[Caller, Depends(tokens.allow("read"))]) -> WhoReply:
        """The token's name in the log and its scope: read, command or admin."""
        return WhoReply(data=Who(name=caller.name, scope=caller.scope))

    return router
