"""Every "no" of the carrier: HTTP status, code, title and detail, in its own words.

Source: examples of team-telnyx/openapi `spec3.yml`; developers.telnyx.com api-errors page.
Status *and* code tell an error apart: 10007 and 10011 are each used with several statuses.
"""

import re
from collections.abc import Mapping
from typing import Any

from offhook.errors import ParameterInvalid, SenderFault, shown


class Refused(SenderFault):
    """A request that is answered with an error; `pointer` and `parameter` name what is wrong.

    The one is a place in the request's body, the other a name in its query.
    """

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        detail: str,
        *,
        pointer: str | None = None,
        parameter: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status}/{code} {title}: {detail}")
        self.status = status
        self.code = code
        self.headers = dict(headers or {})
        error: dict[str, Any] = {"code": code, "title": title, "detail": detail}
        if pointer is not None:
            error["source"] = {"pointer": pointer}
        elif parameter is not None:
            error["source"] = {"parameter": parameter}
        self.body = {"errors": [error]}


def not_authenticated() -> Refused:
    return Refused(
        401,
        "10009",
        "Authentication failed",
        "The required authentication headers were either invalid or not included in the request.",
    )


def not_found() -> Refused:
    return Refused(
        404,
        "10005",
        "Resource not found",
        "The requested resource or URL could not be found.",
    )


def method_not_allowed() -> Refused:
    return Refused(
        405, "10030", "Method not allowed", "The URL is valid, but the method is not allowed."
    )


def body_not_json() -> Refused:
    return Refused(400, "10023", "Invalid JSON", "The supplied JSON is invalid.")


def body_not_text(position: int) -> Refused:
    return Refused(
        400,
        "10028",
        "Character encoding error",
        f"Error decoding request body at position {position}",
    )


def call_unknown(pointer: str = "/call_control_id") -> Refused:
    return Refused(
        422,
        "90015",
        "Invalid Call Control ID",
        f"The {pointer.removeprefix('/')} provided was not valid.",
        pointer=pointer,
    )


def call_ended() -> Refused:
    return Refused(
        422,
        "90018",
        "Call has already ended",
        "This call is no longer active and can't receive commands.",
    )


def call_not_answered() -> Refused:
    return Refused(
        422,
        "90034",
        "Call not answered yet",
        "This call can't receive this command because it has not been answered yet.",
    )


def answer_of_outbound() -> Refused:
    return Refused(
        422,
        "90102",
        "Command is invalid",
        "Call answer command cannot be issued for outbound calls.",
    )


def not_possible(detail: str) -> Refused:
    """Understood, but it cannot be done to this leg in this state."""
    return Refused(422, "10027", "Unprocessable Entity", detail)


def event_acted_out(event_type: str, how: str) -> Refused:
    return Refused(
        422,
        "10027",
        "Unprocessable Entity",
        f"{event_type} is told when it happens, never on request. What causes it: {how}.",
        pointer="/event_type",
    )


def event_unknown(event_type: str) -> Refused:
    return Refused(
        422,
        "10032",
        "Invalid enumerated value",
        f"{shown(event_type)} is no event type that is known here; docs/events.md has them.",
        pointer="/event_type",
    )


def event_field_unknown(event_type: str, name: str, value: object, known: list[str]) -> Refused:
    return Refused(
        422,
        "10015",
        "Bad Request",
        f"{event_type} has no field {shown(name)}, given as {shown(value)}; "
        f"it has {', '.join(known)}.",
        pointer=_in_payload(name),
    )


def event_field_invalid(event_type: str, name: str, value: object, rule: str) -> Refused:
    return Refused(
        422,
        "10026",
        "Invalid parameter type",
        f"{name} of {event_type} is {shown(value)}: {rule}.",
        pointer=_in_payload(name),
    )


def _in_payload(name: str) -> str:
    return f"/payload/{name.replace('~', '~0').replace('/', '~1')}"


def not_in_queue() -> Refused:
    return Refused(
        422,
        "90035",
        "Call not in queue",
        "This call can't receive this command because it has not been put in any queue yet.",
    )


def queue_full() -> Refused:
    return Refused(422, "90036", "Queue full", "The queue is full and can't accept more calls.")


def in_queue_already() -> Refused:
    return Refused(
        422, "90038", "Call already in queue", "Call can't be added to a queue it's already in."
    )


def not_forked() -> Refused:
    return Refused(
        422,
        "90031",
        "Call is not currently forked",
        "Can't stop forking, because the call isn't currently forked.",
    )


def not_streaming() -> Refused:
    return Refused(
        422,
        "90048",
        "Media Streaming is not used.",
        "This command can only be issued when media streaming is used.",
    )


def transcribed_already() -> Refused:
    return Refused(
        422,
        "90054",
        "Call Transcription is already in progress",
        "Call Transcription can not be started more than once.",
    )


def assistant_already() -> Refused:
    return Refused(
        422,
        "90061",
        "AI Assistant is already in progress",
        "AI Assistant cannot be started more than once.",
    )


def conference_unknown() -> Refused:
    return Refused(404, "90058", "Invalid conference_id", "The conference does not exist.")


def conference_joined_already() -> Refused:
    return Refused(
        422,
        "90044",
        "Conference join not allowed",
        "Participant must not join the same conference twice.",
    )


def connection_unknown() -> Refused:
    return Refused(
        422,
        "10015",
        "Invalid value for connection_id (Call Control App ID)",
        "The requested connection_id (Call Control App ID) is either invalid or does not exist. "
        "Only Call Control Apps with valid webhook URL are accepted.",
        pointer="/connection_id",
    )


def url_invalid(pointer: str) -> Refused:
    return Refused(
        422,
        "10003",
        "Invalid URL",
        "The URL provided was invalid, malformed, or too long.",
        pointer=pointer,
    )


def channels_exhausted() -> Refused:
    return Refused(
        422,
        "90041",
        "User termination channels limit exceeded",
        "The limit of simultaneous termination channels configured to your user has been reached.",
    )


def duplicate_command() -> Refused:
    """What a repeated command_id might be answered with; the documents do not say."""
    return Refused(
        422, "10012", "Duplicate resource", "A command with this command_id was received before."
    )


def page_out_of_range(parameter: str, size_max: int) -> Refused:
    return Refused(
        422,
        "10033",
        "Value outside of range",
        f"The value is outside of allowed range 1 to {size_max}",
        parameter=parameter,
    )


def cursor_invalid(parameter: str) -> Refused:
    return Refused(
        422, "10015", "Bad Request", "The cursor is not one of this list.", parameter=parameter
    )


def search_too_short(parameter: str) -> Refused:
    return Refused(
        400,
        "10025",
        "String length out of range",
        "At least three characters are required.",
        parameter=parameter,
    )


def sort_unknown(sort: str, known: list[str]) -> Refused:
    return Refused(
        400,
        "10032",
        "Invalid enumerated value",
        f"{sort!r} is none of {', '.join(known)}.",
        parameter="sort",
    )


def filter_invalid(parameter: str, value: str, expected: str) -> Refused:
    return Refused(
        422,
        "10015",
        "Bad Request",
        f"{value!r} is not {expected}.",
        parameter=parameter,
    )


def unexpected_error() -> Refused:
    return Refused(500, "10007", "Internal server error", "Internal server error")


def not_authorized() -> Refused:
    return Refused(
        403,
        "10010",
        "Authorization failed",
        "You do not have permission to perform the requested action on the specified resource "
        "or resources.",
    )


def account_inactive() -> Refused:
    return Refused(
        403,
        "20012",
        "Account inactive",
        "The request cannot be fulfilled because your account has been deactivated. It may be out "
        "of funds.",
    )


def dials_exceeded() -> Refused:
    return Refused(
        429,
        "90103",
        "Dials per second limit exceeded",
        "Your account has exceeded its limit of dials per second.",
    )


def unavailable() -> Refused:
    return Refused(503, "10007", "Service unavailable", "Service unavailable")


def too_many_requests(reset_s: int) -> Refused:
    return Refused(
        429,
        "10011",
        "Too many requests",
        "You have exceeded the maximum number of allowed requests.",
        headers={
            "x-ratelimit-limit": "1",
            "x-ratelimit-remaining": "0",
            "x-ratelimit-reset": str(reset_s),
        },
    )


def parameter_invalid(error: ParameterInvalid) -> Refused:
    """The carrier's code for what the catalog found wrong with a body.

    What a parameter may be is data of the package, which tests compare with the official SDK. What
    is answered to a wrong one is decided here, and in the API apart from this; a test compares the
    two with each other and with the documents.
    """
    name, rule = error.field, error.rule
    blank = error.value == "" and name in ("to", "from", "connection_id")
    if error.value is None or blank:
        code, title = "10004", "Missing required parameter"
        detail = "The '{name}' parameter is required and cannot be blank."
    elif name in _CODES_OF_PARAMETERS and not error.inside and "no such" not in rule:
        code = _CODES_OF_PARAMETERS[name]
        told_of = "client_state" if code == "90017" else name
        title, detail = f"Invalid value for {told_of}", "The '{name}' parameter is wrong: {rule}."
    elif name == "webhook_urls" and "event type" in rule:
        code, title = "90057", "Invalid call control event type for webhook_urls"
        detail = "The webhook_urls json keys must be valid call control event types."
    else:
        code, title, detail = next(found for pattern, *found in _CODES if re.search(pattern, rule))
    return Refused(422, code, title, detail.format(name=name, rule=rule), pointer=error.pointer)


# The error page has an "Invalid value for …" of their own for these.
_CODES_OF_PARAMETERS = {
    **{"format": "90000", "channels": "90001", "terminating_digit": "90007"},
    **{"valid_digits": "90008", "loop": "90009", "payload": "90010", "payload_type": "90011"},
    **{"voice": "90012", "language": "90013", "digits": "90014", "stop": "90016"},
    **{"client_state": "90017", "target_leg_client_state": "90017"},
    **{"minimum_digits": "90022", "maximum_digits": "90023", "maximum_tries": "90024"},
    **{"timeout_millis": "90025", "inter_digit_timeout_millis": "90026"},
    **{"initial_timeout_millis": "90056", "duration_millis": "90027", "timeout_secs": "90028"},
    **{"time_limit_secs": "90029", "record_timeout_secs": "90049"},
    **{"service_level": "90030", "recording_track": "90059"},
}
# What the catalog's rule looks like, and the code, title and detail for it; the first match counts.
_CODES: list[tuple[str, str, str, str]] = [
    (
        r"E\.164",
        "10016",
        "Phone number must be in +E164 format",
        "The '{name}' parameter must be in E164 format.",
    ),
    (r"^expected one of|event type", "10032", "Invalid enumerated value", "{name}: {rule}."),
    (r" characters?$", "10025", "String length out of range", "{name}: {rule}."),
    (
        r"^expected (at|more|less) \w+ \S+( \w+)?$|^expected 0|greater than",
        "10033",
        "Value outside of range",
        "{name}: {rule}.",
    ),
    (r"^expected .*, got", "10026", "Invalid parameter type", "{name}: {rule}."),
    (r"URL", "10003", "Invalid URL", "{name}: {rule}."),
    (r"UUID", "10006", "Invalid ID", "{name}: {rule}."),
    (r"", "10015", "Bad Request", "{name}: {rule}."),
]
