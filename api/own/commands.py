"""A command as the views have it, whoever sent it.

GET /commands/{command_id}
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Depends

from offhook.api.auth import Tokens
from offhook.api.errors import not_found
from offhook.api.freshness import Meta, Views
from offhook.api.own.parameters import WAIT_DEFAULT_S, MinSeq, WaitS
from offhook.api.own.redact import redacted_command
from offhook.api.replies import ReplyRoute
from offhook.errors import shown
from offhook.projections.views.commands import CommandView, read_commands


@dataclass(frozen=True, kw_only=True)
class CommandReply:
    """`others` have the same command_id, and were for other legs."""

    data: CommandView
    others: Sequence[CommandView]
    meta: Meta


def commands_router(*, tokens: Tokens, views: Views) -> APIRouter:
    """The route above."""
    router = APIRouter(
        route_class=ReplyRoute, tags=["commands"], dependencies=[Depends(tokens.allow("read"))]
    )

    @router.get("/commands/{command_id}", summary="Read a command")
    async def command(
        command_id: str, min_seq: MinSeq = 0, timeout_s: WaitS = WAIT_DEFAULT_S
    ) -> CommandReply:
        """What was requested, what was attempted, and what the carrier answered."""
        async with views.snapshot(min_seq, timeout_s) as snapshot:
            found = await read_commands(snapshot.connection, command_id)
        if not found:
            # Its request may have been appended a moment ago.
            await views.catch_up()
            async with views.snapshot() as snapshot:
                found = await read_commands(snapshot.connection, command_id)
        if not found:
            raise not_found(f"No command has command_id {shown(command_id)}")
        latest, *others = map(redacted_command, found)
        return CommandReply(data=latest, others=others, meta=snapshot.meta_of(latest.session_id))

    return router
