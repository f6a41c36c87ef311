"""The commands of a session in pages, the last ones first.

GET /sessions/{session_id}/commands
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query

from offhook.api.auth import Tokens
from offhook.api.errors import refusal
from offhook.api.freshness import Meta, Views
from offhook.api.own.parameters import WAIT_DEFAULT_S, AsOf, MinSeq, WaitS, optional_as_of
from offhook.api.own.redact import redacted_command
from offhook.api.own.sessions.parameters import no_session
from offhook.api.query_parameters import WholeNumber
from offhook.api.replies import ReplyRoute
from offhook.errors import shown
from offhook.projections.views.commands import (
    COMMANDS_MAX,
    CommandView,
    WantedCommands,
    command_page,
    read_commands_of,
)
from offhook.projections.views.past.session_as_of import read_session_as_of
from offhook.projections.views.sessions import read_session


@dataclass(frozen=True, kw_only=True)
class CommandPageMeta(Meta):
    """`next` is `before` for the page with the commands before these; null on the first one."""

    next: str | None


@dataclass(frozen=True, kw_only=True)
class CommandsReply:
    """Some of a session's commands, in order of decision."""

    data: Sequence[CommandView]
    meta: CommandPageMeta


Before = Annotated[
    str | None,
    Query(description="meta.next of the page after this one, or commands_next of the session"),
]
CommandStatus = Annotated[
    Literal["requested", "pending", "succeeded", "failed"] | None,
    Query(description="Only commands with this status"),
]
Operation = Annotated[
    str | None, Query(description="Only commands with this operation", examples=["dial"])
]


def session_commands_router(*, tokens: Tokens, views: Views) -> APIRouter:
    """The route above."""
    router = APIRouter(
        route_class=ReplyRoute, tags=["sessions"], dependencies=[Depends(tokens.allow("read"))]
    )

    @router.get("/sessions/{session_id}/commands", summary="Read its commands")
    async def listed(
        session_id: str,
        before: Before = None,
        limit: Annotated[WholeNumber, Query(ge=1, le=COMMANDS_MAX)] = COMMANDS_MAX,
        status: CommandStatus = None,
        operation: Operation = None,
        as_of: AsOf = None,
        min_seq: MinSeq = 0,
        timeout_s: WaitS = WAIT_DEFAULT_S,
    ) -> CommandsReply:
        """The last commands of the session and of the dials that placed it, in order of decision.

        The page before it is at `before=` meta.next. Those that are not decided yet come last.
        """
        position = optional_as_of(views, as_of)
        wanted = WantedCommands(before=before, limit=limit, status=status, operation=operation)
        async with views.snapshot(min_seq, timeout_s) as snapshot:
            if position is None:
                found = await read_session(snapshot.connection, session_id, commands_max=1)
            else:
                found = await read_session_as_of(snapshot.connection, session_id, position)
            if found is None:
                raise await no_session(snapshot.connection, session_id, as_of)
            call_id = found.session.session_id
            if position is None:
                page = await read_commands_of(snapshot.connection, call_id, wanted)
            else:
                page = command_page(found.commands, wanted)
        if page is None:
            detail = f"before is {shown(str(before))}; expected a command_id of this session"
            raise refusal(422, "10015", detail, parameter="before")
        return CommandsReply(
            data=[redacted_command(each) for each in page.commands],
            meta=CommandPageMeta(**vars(snapshot.meta_of(call_id)), next=page.next),
        )

    return router
