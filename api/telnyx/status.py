"""What the views know of calls, in the carrier's form.

GET  /v2/calls/{call_control_id}                          retrieve status
GET  /v2/connections/{connection_id}/active_calls         active calls
"""

from collections.abc import Callable
from datetime import datetime

from fastapi import APIRouter, Depends, Request, Response

from offhook.api.auth import Tokens
from offhook.api.errors import call_unknown, json_response
from offhook.api.freshness import Views
from offhook.api.telnyx.legs import Legs
from offhook.api.telnyx.paging import PAGE_PARAMETERS, meta_of, page_request_from
from offhook.api.telnyx.resources import active_call, call_status
from offhook.errors import shown
from offhook.projections.views.live.active_legs import read_active_page


def status_router(
    *, tokens: Tokens, legs: Legs, views: Views, now: Callable[[], datetime]
) -> APIRouter:
    """The routes above."""
    router = APIRouter(prefix="/v2", tags=["calls"], dependencies=[Depends(tokens.allow("read"))])

    @router.get("/calls/{call_control_id}", summary="Retrieve status")
    async def status(call_control_id: str) -> Response:
        """The leg as the views have it, even long after its end."""
        leg = await legs.read(call_control_id)
        if leg is None:
            raise call_unknown(f"There is no call with call_control_id {shown(call_control_id)}")
        return json_response({"data": call_status(leg, now())})

    @router.get(
        "/connections/{connection_id}/active_calls",
        summary="List active calls",
        openapi_extra={"parameters": PAGE_PARAMETERS},
    )
    async def active_calls(connection_id: str, request: Request) -> Response:
        """The connection's legs that have not ended, by call_control_id."""
        requested = page_request_from(request.query_params)
        at = now()
        async with views.connection() as connection:
            page, start = await read_active_page(
                connection,
                connection_id,
                now=at,
                size=requested.size,
                number=requested.number,
                after=requested.after,
                before=requested.before,
            )
        return json_response(
            {
                "data": [active_call(leg, at) for leg in page.legs],
                "meta": meta_of(page, requested, start, request.url.path),
            }
        )

    return router
