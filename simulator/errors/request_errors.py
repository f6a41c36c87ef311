"""Requests that are wrong by themselves: authentication, paths, bodies and queries."""

from offhook.simulator.errors.carrier_error import CarrierError


def not_authenticated() -> CarrierError:
    """10009: no bearer token, or a wrong one."""
    return CarrierError(
        401,
        "10009",
        "Authentication failed",
        "The required authentication headers were either invalid or not included in the request.",
    )


def not_found() -> CarrierError:
    """10005: there is no such resource or path."""
    return CarrierError(
        404,
        "10005",
        "Resource not found",
        "The requested resource or URL could not be found.",
    )


def method_not_allowed() -> CarrierError:
    """10030: the path has other methods only."""
    return CarrierError(
        405, "10030", "Method not allowed", "The URL is valid, but the method is not allowed."
    )


def body_not_json() -> CarrierError:
    """10023: the body is not JSON, or not an object where one is expected."""
    return CarrierError(400, "10023", "Invalid JSON", "The supplied JSON is invalid.")


def body_not_text(position: int) -> CarrierError:
    """10028: the body is not UTF-8; `position` is the first wrong byte, from 0."""
    return CarrierError(
        400,
        "10028",
        "Character encoding error",
        f"Error decoding request body at position {position}",
    )


def page_out_of_range(parameter: str, size_max: int) -> CarrierError:
    """10033: a page number or size that is not a number from 1 to `size_max`."""
    return CarrierError(
        422,
        "10033",
        "Value outside of range",
        f"The value is outside of allowed range 1 to {size_max}",
        parameter=parameter,
    )


def cursor_invalid(parameter: str) -> CarrierError:
    """10015: not a cursor of this list."""
    return CarrierError(
        422, "10015", "Bad Request", "The cursor is not one of this list.", parameter=parameter
    )


def search_too_short(parameter: str) -> CarrierError:
    """10025: a search of fewer than three characters."""
    return CarrierError(
        400,
        "10025",
        "String length out of range",
        "At least three characters are required.",
        parameter=parameter,
    )


def sort_unknown(sort: str, known: list[str]) -> CarrierError:
    """10032: not one of the `known` sort keys."""
    return CarrierError(
        400,
        "10032",
        "Invalid enumerated value",
        f"{sort!r} is none of {', '.join(known)}.",
        parameter="sort",
    )


def filter_invalid(parameter: str, value: str, expected: str) -> CarrierError:
    """10015: a filter whose value is not what is `expected`."""
    return CarrierError(
        422,
        "10015",
        "Bad Request",
        f"{value!r} is not {expected}.",
        parameter=parameter,
    )
