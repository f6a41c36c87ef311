"""The carrier's own operations, compatible to the last field: the official SDK works unchanged.

POST /v2/calls                                            dial
POST /v2/calls/{call_control_id}/actions/{operation}      every other operation of COMMANDS; PUT
                                                          for client_state_update
GET  /v2/calls/{call_control_id}                          retrieve status
GET  /v2/connections/{connection_id}/active_calls         active calls
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from enum import Enum
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response, Security

from offhook.api.auth import Caller, Tokens
from offhook.api.errors import call_unknown, json_response, not_found, refusal
from offhook.api.freshness import Views
from offhook.api.metrics import Metrics
from offhook.api.openapi import command_body
from offhook.api.telnyx.bodies import body_of
from offhook.api.telnyx.commands import Commands, request_from
from offhook.api.telnyx.idempotency import Repeats
from offhook.api.telnyx.legs import Legs
from offhook.api.telnyx.paging import meta_of, wanted_from
from offhook.api.telnyx.resources import active_shown, call_shown
from offhook.commands import COMMANDS
from offhook.commands.catalog import method_of
from offhook.jetstream.log import TRACE_HEADER
from offhook.projections.views.legs import read_active_page

DIAL = "dial"
ACTIONS = tuple(operation for operation in COMMANDS if operation != DIAL)

_TAGS: list[str | Enum] = ["calls"]


def calls_router(
    *,
    tokens: Tokens,
    commands: Commands,
    repeats: Repeats,
    legs: Legs,
    views: Views,
    now: Callable[[], datetime],
    metrics: Metrics,
) -> APIRouter:
    """The routes above."""
    router = APIRouter(prefix="/v2")
    may_command = tokens.allow("command")
    may_read = Depends(tokens.allow("read"))

    async def perform(
        operation: str, call_control_id: str | None, request: Request, caller: Caller
    ) -> Response:
        with metrics.command(operation):
            asked = request_from(operation, call_control_id, await body_of(request))
            until = commands.until()
            traceparent = request.headers.get(TRACE_HEADER, "")
            async with repeats.told_apart(asked, caller, request) as meant:
                answer = await commands.carry_through(meant, caller, traceparent, until=until)
        return json_response(answer.body, answer.status, answer.headers)

    @router.post(
        "/calls",
        tags=_TAGS,
        summary="Dial",
        openapi_extra={"requestBody": command_body(DIAL)},
    )
    async def dial(request: Request, caller: Annotated[Caller, Security(may_command)]) -> Response:
        """Place a call. The answer has the new leg's ids; webhooks tell how it goes on."""
        return await perform(DIAL, None, request, caller)

    def action(operation: str) -> Callable[..., Awaitable[Response]]:
        async def act(
            call_control_id: str,
            request: Request,
            caller: Annotated[Caller, Security(may_command)],
        ) -> Response:
            return await perform(operation, call_control_id, request, caller)

        return act

    for operation in ACTIONS:
        router.add_api_route(
            f"/calls/{{call_control_id}}/actions/{operation}",
            action(operation),
            methods=[method_of(operation)],
            name=operation,
            tags=_TAGS,
            summary=operation.replace("_", " ").capitalize(),
            description=COMMANDS[operation].__doc__,
            openapi_extra={"requestBody": command_body(operation)},
        )

    @router.api_route(
        "/calls/{call_control_id}/actions/{operation}",
        methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        include_in_schema=False,
        dependencies=[Depends(may_command)],
    )
    async def no_such_action(call_control_id: str, operation: str, request: Request) -> Response:
        if operation not in ACTIONS:
            known = ", ".join(sorted(ACTIONS))
            raise not_found(f"There is no action {operation[:80]!r} here; there are {known}")
        method = method_of(operation)
        detail = f"{operation} is not done by {request.method} but by {method}"
        raise refusal(405, "10030", detail, headers={"allow": method})

    @router.get(
        "/calls/{call_control_id}",
        tags=_TAGS,
        summary="Retrieve status",
        dependencies=[may_read],
    )
    async def status(call_control_id: str) -> Response:
        """The leg as the views have it, also long after its end."""
        leg = await legs.read(call_control_id)
        if leg is None:
            raise call_unknown(f"There is no call with call_control_id {call_control_id[:80]!r}")
        return json_response({"data": call_shown(leg, now())})

    @router.get(
        "/connections/{connection_id}/active_calls",
        tags=_TAGS,
        summary="List active calls",
        dependencies=[may_read],
        openapi_extra={"parameters": _PAGE_PARAMETERS},
    )
    async def active_calls(connection_id: str, request: Request) -> Response:
        """The connection's legs that have not ended, by call_control_id."""
        wanted = wanted_from(request.query_params)
        at = now()
        async with views.connection() as connection:
            page, start = await read_active_page(
                connection,
                connection_id,
                now=at,
                size=wanted.size,
                number=wanted.number,
                after=wanted.after,
                before=wanted.before,
            )
        return json_response(
            {
                "data": [active_shown(leg, at) for leg in page.legs],
                "meta": meta_of(page, wanted, start, request.url.path),
            }
        )

    return router


_PAGE_PARAMETERS = [
    {"name": name, "in": "query", "required": False, "schema": {"type": kind}}
    for name, kind in (
        ("page[number]", "integer"),
        ("page[size]", "integer"),
        ("page[after]", "string"),
        ("page[before]", "string"),
        ("page[limit]", "integer"),
    )
]
