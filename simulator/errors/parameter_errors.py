"""Wrong parameters of a command: the carrier's codes for what the catalog finds."""

import re

from offhook.errors import ParameterInvalid
from offhook.simulator.errors.carrier_error import CarrierError


def parameter_invalid(error: ParameterInvalid) -> CarrierError:
    """The carrier's error for what the catalog finds wrong with a body.

    The catalog of parameters is shared data, which tests compare with the official SDK. The answer
    to a wrong parameter is decided here, and independently in the API; a test compares the two with
    each other and with the documents.
    """
    name, rule = error.field, error.rule
    blank = error.value == "" and name in ("to", "from", "connection_id")
    if error.value is None or blank:
        code, title = "10004", "Missing required parameter"
        detail = "The '{name}' parameter is required and cannot be blank."
    elif name in _CODES_OF_PARAMETERS and not error.inside and "no such" not in rule:
        code = _CODES_OF_PARAMETERS[name]
        named = "client_state" if code == "90017" else name
        title, detail = f"Invalid value for {named}", "The '{name}' parameter is wrong: {rule}."
    elif name == "webhook_urls" and "event type" in rule:
        code, title = "90057", "Invalid call control event type for webhook_urls"
        detail = "The webhook_urls json keys must be valid call control event types."
    else:
        code, title, detail = next(found for pattern, *found in _CODES if re.search(pattern, rule))
    return CarrierError(
        422, code, title, detail.format(name=name, rule=rule), pointer=error.pointer
    )


# The api-errors page has a code "Invalid value for …" for each of these.
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
# Pattern of the catalog's rule, code, title and detail; the first match counts.
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
