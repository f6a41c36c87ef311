"""Call control applications, passed through to the carrier; its answers come back unchanged.

GET, POST           /v2/call_control_applications
GET, PATCH, DELETE  /v2/call_control_applications/{id}
"""

from collections.abc import Mapping

from fastapi import APIRouter, Depends, Request, Response

from offhook.api.auth import Tokens
from offhook.api.errors import RETRY_HEADER, ErrorAnswer, refusal
from offhook.api.query_parameters import declared
from offhook.api.telnyx.bodies import body_of
from offhook.codec.lenient_json import NotJson, read_json
from offhook.commands.webhook_targets import WARNING_HEADER
from offhook.errors import ParameterInvalid
from offhook.telnyx.http import NoHttpAnswer, TelnyxHttp
from offhook.telnyx.paths import APPLICATIONS, application_path

CONNECTIONS_MAX = 8
"""Requests about applications under way at the carrier at once; further ones wait."""

LIST_PARAMETERS: Mapping[str, str] = {
    "page[number]": "Page number, from 1",
    "page[size]": "Entries on a page, at most 250; default: 20",
    "page[after]": "Cursor of the next page",
    "page[before]": "Cursor of the previous page",
    "page[limit]": "Entries on a page with a cursor, at most 250; default: 20",
    "sort": "`created_at`, `connection_name` or `active`; with a minus sign in descending order",
    "filter[application_name][contains]": "Part of the name, at least 3 characters, in any case",
    "filter[outbound.outbound_voice_profile_id]": "Id of the outbound voice profile",
    **{
        name: "Listed in the carrier's document for another list than this one; passed on"
        for name in (
            "filter[leg_id]",
            "filter[application_session_id]",
            "filter[connection_id]",
            "filter[product]",
            "filter[failed]",
            "filter[from]",
            "filter[to]",
            "filter[name]",
            "filter[type]",
            "filter[occurred_at][eq]",
            "filter[occurred_at][gt]",
            "filter[occurred_at][gte]",
            "filter[occurred_at][lt]",
            "filter[occurred_at][lte]",
            "filter[status]",
        )
    },
}
"""As in the carrier's document (spec3.yml 12de4dd0), which has one filter for several lists."""

_HEADERS_ON = frozenset({b"content-type", b"accept"})
_HEADERS_BACK = frozenset(
    {
        "content-type",
        "retry-after",
        "x-request-id",
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
    }
)


def applications_router(*, tokens: Tokens, carrier: TelnyxHttp) -> APIRouter:
    """The routes above."""
    router = APIRouter(prefix="/v2", tags=["call control applications"])
    may_read = [Depends(tokens.allow("read"))]
    may_change = [Depends(tokens.allow("admin"))]

    @router.get(
        APPLICATIONS,
        summary="List",
        dependencies=may_read,
        openapi_extra=declared(LIST_PARAMETERS),
    )
    async def list_applications(request: Request) -> Response:
        return await _passed_through(carrier, request, APPLICATIONS)

    @router.post(APPLICATIONS, summary="Create", status_code=201, dependencies=may_change)
    async def create_application(request: Request) -> Response:
        return _warned(await _passed_through(carrier, request, APPLICATIONS))

    @router.get(f"{APPLICATIONS}/{{id}}", summary="Retrieve", dependencies=may_read)
    async def retrieve_application(id: str, request: Request) -> Response:
        return await _passed_through(carrier, request, _path_of(id))

    @router.patch(f"{APPLICATIONS}/{{id}}", summary="Update", dependencies=may_change)
    async def update_application(id: str, request: Request) -> Response:
        return _warned(await _passed_through(carrier, request, _path_of(id)))

    @router.delete(f"{APPLICATIONS}/{{id}}", summary="Delete", dependencies=may_change)
    async def delete_application(id: str, request: Request) -> Response:
        return await _passed_through(carrier, request, _path_of(id))

    return router


def _path_of(application_id: str) -> str:
    """The carrier's path. Raises ErrorAnswer 422 for an id that would lead to another path."""
    try:
        return application_path(application_id)
    except ParameterInvalid as invalid:
        raise refusal(422, "10015", str(invalid), parameter="id") from None


def _warned(answer: Response) -> Response:
    """The answer, with a header that warns if ingress refuses the application's webhooks."""
    try:
        version = read_json(bytes(answer.body))[0]["data"]["webhook_api_version"]
    except (NotJson, LookupError, TypeError):
        return answer
    if version != "2":
        answer.headers[WARNING_HEADER] = (
            f"webhook_api_version is {version!a}: ingress refuses the application's webhooks; "
            'set it to "2"'
        )
    return answer


async def _passed_through(carrier: TelnyxHttp, request: Request, path: str) -> Response:
    """The carrier's answer to the same request. Raises ErrorAnswer 503 if it gives none."""
    # As bytes: a value may contain any byte, and httpx encodes text as ASCII.
    headers = [each for each in request.headers.raw if each[0] in _HEADERS_ON]
    query = request.url.query
    answer = await carrier.request(
        request.method,
        f"{path}?{query}" if query else path,
        content=await body_of(request),
        headers=headers,
    )
    if isinstance(answer, NoHttpAnswer):
        raise _no_answer(request, answer.detail)
    if answer.body is None:
        raise _no_answer(request, f"{answer.status}, but the answer's body was lost")
    back = {name: value for name, value in answer.headers.items() if name in _HEADERS_BACK}
    return Response(answer.body, status_code=answer.status, headers=back)


def _no_answer(request: Request, detail: str) -> ErrorAnswer:
    # Sending it again is harmless only where nothing is changed.
    headers = {} if request.method == "GET" else {RETRY_HEADER: "false"}
    return refusal(503, "10007", f"The carrier gave no answer: {detail}", headers=headers)
