"""A recorded session as a test of its flow: Python code for pytest.

GET /sessions/{session_id}/flow-test
"""

import asyncio
import re
from collections.abc import Sequence
from keyword import iskeyword
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from offhook.api.auth import Tokens
from offhook.api.errors import not_found, refusal
from offhook.api.freshness import Views
from offhook.api.own.parameters import (
    WAIT_DEFAULT_S,
    AsOf,
    MinSeq,
    WaitS,
    optional_as_of,
)
from offhook.errors import shown
from offhook.flow_tests.flow_test import flow_test
from offhook.projections.views.past.session_log import read_own_records

MEDIA_TYPE = "text/x-python; charset=utf-8"

FlowFrom = Annotated[
    str | None,
    Query(
        alias="flow",
        description="Where the code imports the flow from, as `module:attribute`. Default: from "
        "OFFHOOK_FLOWS of the API, if that says it",
        examples=["reception:reception"],
    ),
]


def flow_tests_router(*, tokens: Tokens, views: Views, flows: Sequence[str]) -> APIRouter:
    """The route above. `flows` are those of the setting."""
    router = APIRouter(tags=["sessions"], dependencies=[Depends(tokens.allow("read"))])

    @router.get(
        "/sessions/{session_id}/flow-test",
        summary="Copy a session as a test of its flow",
        response_class=Response,
        responses={
            200: {
                "content": {"text/x-python": {"schema": {"type": "string"}}},
                "description": "A module for pytest",
            }
        },
    )
    async def code(
        session_id: str,
        flow: FlowFrom = None,
        as_of: AsOf = None,
        min_seq: MinSeq = 0,
        timeout_s: WaitS = WAIT_DEFAULT_S,
    ) -> Response:
        """Given what was recorded, when an event arrives, then the recorded decision.

        The code uses `offhook.testing`, and passes with the flow as it was. It has a test for each
        decision, of the first 1,000 records. Passwords and tokens are not copied. 404 if no flow
        decided anything.
        """
        if flow is not None and not _is_importable(flow):
            detail = f"flow is {shown(flow)}; expected module:attribute"
            raise refusal(422, "10015", detail, parameter="flow")
        position = optional_as_of(views, as_of)
        async with views.snapshot(min_seq, timeout_s) as snapshot:
            found = await read_own_records(snapshot.connection, session_id, position)
        copy = await asyncio.to_thread(
            flow_test,
            found.records,
            flow_from=flow or "",
            known_flows=flows,
            has_more=found.has_more,
        )
        if copy is None:
            raise not_found(f"No flow decided anything in session {shown(session_id)}")
        name = f"test_{copy.name}_{found.session_id[:8]}.py"
        return Response(
            copy.code,
            media_type=MEDIA_TYPE,
            headers={"content-disposition": f'inline; filename="{name}"'},
        )

    return router


def _is_importable(flow: str) -> bool:
    names = re.split(r"[.:]", flow)
    return _FLOW.fullmatch(flow) is not None and not any(map(iskeyword, names))


_FLOW = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
