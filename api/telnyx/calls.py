"""The carrier's own operations, compatible to the last field: the official SDK works unchanged.

POST /v2/calls                                            dial
POST /v2/calls/{call_control_id}/actions/{operation}      every other operation of COMMANDS; PUT
                                                          for client_state_update
"""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response, Security

from offhook.api.auth import Caller, Tokens
from offhook.api.errors import json_response, not_found, refusal
from offhook.api.metrics import Metrics
from offhook.api.telnyx.bodies import body_of
from offhook.api.telnyx.commands import CommandRunner
from offhook.api.telnyx.idempotency import Idempotency
from offhook.api.telnyx.requests import request_from
from offhook.api.telnyx.schemas import documented_body, readable
from offhook.commands import COMMANDS
from offhook.commands.catalog import method_of
from offhook.jetstream.message import TRACE_HEADER

DIAL = "dial"
ACTIONS = tuple(operation for operation in COMMANDS if operation != DIAL)

Perform = Callable[[str, str | None, Request, Caller], Awaitable[Response]]


def calls_router(
    *, tokens: Tokens, commands: CommandRunner, idempotency: Idempotency, metrics: Metrics
) -> APIRouter:
    """The routes above."""
    router = APIRouter(prefix="/v2", tags=["calls"])
    may_command = tokens.allow("command")

    async def perform(
        operation: str, call_control_id: str | None, http: Request, caller: Caller
    ) -> Response:
        with metrics.command(operation):
            request = request_from(operation, call_control_id, await body_of(http))
            until = commands.deadline()
            traceparent = http.headers.get(TRACE_HEADER, "")
            async with idempotency.resolved(request, caller, http) as resolved:
                answer = await commands.run(resolved, caller, traceparent, until=until)
        return json_response(answer.body, answer.status, answer.headers)

    @router.post(
        "/calls",
        operation_id=DIAL,
        summary=readable(DIAL),
        openapi_extra={"requestBody": documented_body(DIAL)},
    )
    async def dial(request: Request, caller: Annotated[Caller, Security(may_command)]) -> Response:
        """Place a call. The answer has the new leg's ids; its progress arrives in webhooks."""
        return await perform(DIAL, None, request, caller)

    for operation in ACTIONS:
        _add_action(router, operation, perform, may_command)
    router.add_api_route(
        "/calls/{call_control_id}/actions/{operation}",
        _no_such_action,
        methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        include_in_schema=False,
        dependencies=[Depends(may_command)],
    )
    return router


def _add_action(
    router: APIRouter,
    operation: str,
    perform: Perform,
    may_command: Callable[..., Awaitable[Caller]],
) -> None:
    async def act(
        call_control_id: str,
        request: Request,
        caller: Annotated[Caller, Security(may_command)],
    ) -> Response:
        return await perform(operation, call_control_id, request, caller)

    router.add_api_route(
        f"/calls/{{call_control_id}}/actions/{operation}",
        act,
        methods=[method_of(operation)],
        name=operation,
        operation_id=operation,
        summary=readable(operation),
        description=COMMANDS[operation].__doc__,
        openapi_extra={"requestBody": documented_body(operation)},
    )


async def _no_such_action(call_control_id: str, operation: str, request: Request) -> Response:
    if operation not in ACTIONS:
        known = ", ".join(sorted(ACTIONS))
        raise not_found(f"There is no action {operation[:80]!r} here; there are {known}")
    method = method_of(operation)
    detail = f"{operation} is sent with {method}, not with {request.method}"
    raise refusal(405, "10030", detail, headers={"allow": method})
