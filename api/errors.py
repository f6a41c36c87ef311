"""Errors of the API, in the carrier's shape: {"errors": [{code, title, detail, source?}]}.

    401 10009  no known token             404 10005  no such resource or path
    403 10010  the token's scope          405 10030  another method
    400 10023  the body is not JSON       413 10015  the body is over the bound
    400 10028  the body is not UTF-8      408 10008  the body was not complete in time
    400 10015  the connection ended before the body did
    409 10012  a retry without a command_id, possibly of a command that the error names
    422 90015  no such call               429 10011  too many commands are waiting
    422 90018  the call has ended
    422        a wrong parameter: `offhook.telnyx.error_codes.code_of_parameter`
    500, 503 10007                        a bug; the log, the views or the archive do not answer
    504 10008  not in time

Titles are the carrier's. Source: developers.telnyx.com `api-errors`.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from offhook.errors import ArchiveUnreadable, LogUnavailable, OffhookError, ParameterInvalid, shown
from offhook.projections.views.database.errors import UNREACHABLE, StatementFailed, will_pass
from offhook.projections.views.search.time_bound import SearchTooLong
from offhook.telnyx.error_codes import code_of_parameter

RETRY_HEADER = "x-should-retry"
"""The official SDKs retry 408, 409, 429 and 5xx by themselves, unless this header says "false"."""

_log = logging.getLogger(__name__)


class ErrorAnswer(OffhookError):
    """A request is answered with an error status and a list of errors."""

    def __init__(
        self,
        status: int,
        errors: Sequence[Mapping[str, Any]],
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status} {errors}")
        self.status = status
        self.errors = list(errors)
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """The HTTP response."""
        return json_response({"errors": self.errors}, self.status, self.headers)


def error(
    code: str, detail: str, *, pointer: str | None = None, parameter: str | None = None
) -> dict[str, Any]:
    """One error. `pointer` is a place in the body, `parameter` a name in path or query."""
    body: dict[str, Any] = {"code": code, "title": TITLES[code], "detail": detail}
    if pointer is not None:
        body["source"] = {"pointer": pointer}
    elif parameter is not None:
        body["source"] = {"parameter": parameter}
    return body


def refusal(
    status: int,
    code: str,
    detail: str,
    *,
    pointer: str | None = None,
    parameter: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> ErrorAnswer:
    """An answer with a single error."""
    return ErrorAnswer(status, [error(code, detail, pointer=pointer, parameter=parameter)], headers)


def parameter_invalid(invalid: ParameterInvalid) -> ErrorAnswer:
    """422, pointing at the place; the detail names operation, place, value and rule."""
    return refusal(422, code_of_parameter(invalid), str(invalid), pointer=invalid.pointer)


def call_unknown(detail: str) -> ErrorAnswer:
    """422: no such call."""
    return refusal(422, "90015", detail, pointer="/call_control_id")


def not_found(detail: str) -> ErrorAnswer:
    """404: no such resource."""
    return refusal(404, "10005", detail)


def json_response(
    value: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A response with the value as JSON."""
    return Response(
        msgspec.json.encode(value),
        status_code=status,
        headers=dict(headers or {}),
        media_type="application/json",
    )


def install(app: FastAPI) -> None:
    """Answer every error of an endpoint, including FastAPI's own, in the carrier's shape."""
    app.add_exception_handler(ErrorAnswer, _answered)
    app.add_exception_handler(RequestValidationError, _not_valid)
    app.add_exception_handler(HTTPException, _of_the_framework)
    app.add_exception_handler(LogUnavailable, _log_unavailable)
    app.add_exception_handler(SearchTooLong, _too_long)
    app.add_exception_handler(ArchiveUnreadable, _archive_unreadable)
    for kind in UNREACHABLE:
        app.add_exception_handler(kind, _views_unavailable)
    app.add_exception_handler(StatementFailed, _views_refuse)
    app.add_exception_handler(Exception, _unexpected)


async def _answered(_: Request, raised: Exception) -> Response:
    assert isinstance(raised, ErrorAnswer)
    return raised.response()


async def _not_valid(_: Request, raised: Exception) -> Response:
    assert isinstance(raised, RequestValidationError)
    return ErrorAnswer(422, [_of_validation(each) for each in raised.errors()]).response()


def _of_validation(found: Mapping[str, Any]) -> dict[str, Any]:
    where, *path = (str(part) for part in found["loc"])
    name = "/".join(path)
    if found["type"] == "missing":
        return error("10004", f"{name} is missing; it is required", parameter=name)
    detail = f"{name} is {shown(found['input'])}; {_expected(found)}"
    place = {"pointer": f"/{name}"} if where == "body" else {"parameter": name}
    return error("10015", detail, **place)


def _expected(found: Mapping[str, Any]) -> str:
    """What pydantic expected, in the words of our own checks."""
    bounds = found.get("ctx", {})
    match found["type"]:
        case "literal_error":
            return f"expected {bounds['expected'].replace(chr(39), '')}"
        case "greater_than_equal":
            return f"expected {bounds['ge']} or more"
        case "less_than_equal":
            return f"expected {bounds['le']} or less"
        case _:
            return str(found["msg"].removeprefix("Value error, "))


async def _of_the_framework(request: Request, raised: Exception) -> Response:
    assert isinstance(raised, HTTPException)
    path = request.url.path
    match raised.status_code:
        case 404:
            answer = not_found(f"There is nothing at {path}; see /docs")
        case 405:
            detail = f"{request.method} is not allowed at {path}; see /docs"
            answer = refusal(405, "10030", detail, headers=raised.headers)
        case status:
            answer = refusal(status, "10015", str(raised.detail), headers=raised.headers)
    return answer.response()


async def _log_unavailable(_: Request, raised: Exception) -> Response:
    _log.warning("the log is not available", extra={"error": str(raised)})
    return refusal(503, "10007", f"The event log does not answer: {raised}").response()


async def _views_unavailable(_: Request, raised: Exception) -> Response:
    _log.warning("the views are not available", extra={"error": repr(raised)})
    return refusal(503, "10007", "The views cannot be read: Postgres does not answer").response()


async def _archive_unreadable(_: Request, raised: Exception) -> Response:
    _log.warning("a session of the archive cannot be read", extra={"error": str(raised)})
    return refusal(503, "10007", f"The archive cannot be read: {raised}").response()


async def _views_refuse(request: Request, raised: Exception) -> Response:
    """An error of Postgres itself: some will pass, any other is a bug."""
    assert isinstance(raised, StatementFailed)
    if will_pass(raised):
        return await _views_unavailable(request, raised)
    raise raised


async def _too_long(_: Request, raised: Exception) -> Response:
    return refusal(422, "10015", str(raised)).response()


async def _unexpected(request: Request, raised: Exception) -> Response:
    # uvicorn logs the traceback and closes the connection. A command may be in the log.
    repeatable = request.method == "GET"
    return refusal(
        500,
        "10007",
        "An unexpected error occurred; see the log of the API",
        headers={"connection": "close"} | ({} if repeatable else {RETRY_HEADER: "false"}),
    ).response()


TITLES = {
    "10003": "Invalid URL",
    "10004": "Missing required parameter",
    "10005": "Resource not found",
    "10006": "Invalid ID",
    "10007": "Unexpected error",
    "10008": "Request timeout",
    "10009": "Authentication failed",
    "10010": "Authorization failed",
    "10011": "Too many requests",
    "10012": "Duplicate resource",
    "10015": "Bad Request",
    "10016": "Phone number must be in +E.164 format",
    "10023": "Invalid JSON",
    "10025": "String length out of range",
    "10026": "Invalid parameter type",
    "10028": "Character encoding error",
    "10030": "Method not allowed",
    "10032": "Invalid enumerated value",
    "10033": "Value outside of range",
    "90000": "Invalid value for format",
    "90001": "Invalid value for channels",
    "90007": "Invalid value for terminating_digit",
    "90008": "Invalid value for valid_digits",
    "90009": "Invalid value for loop",
    "90010": "Invalid value for payload",
    "90011": "Invalid value for payload_type",
    "90012": "Invalid value for voice",
    "90013": "Invalid value for language",
    "90014": "Invalid value for digits",
    "90015": "Invalid Call Control ID",
    "90016": "Invalid value for stop",
    "90017": "Invalid value for client_state",
    "90018": "Call has already ended",
    "90022": "Invalid value for minimum_digits",
    "90023": "Invalid value for maximum_digits",
    "90024": "Invalid value for maximum_tries",
    "90025": "Invalid value for timeout_millis",
    "90026": "Invalid value for inter_digit_timeout_millis",
    "90027": "Invalid value for duration_millis",
    "90028": "Invalid value for timeout_secs",
    "90029": "Invalid value for time_limit_secs",
    "90030": "Invalid value for service_level",
    "90049": "Invalid value for record_timeout_secs",
    "90056": "Invalid value for initial_timeout_millis",
    "90057": "Invalid call control event type for webhook_urls",
    "90059": "Invalid value for recording_track",
}
