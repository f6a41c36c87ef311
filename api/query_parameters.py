"""Query parameters: which names a route has, and which values each kind may have.

Anything wrong is refused with 422, naming the parameter, its value and what is expected: an unknown
name, a name given twice, an empty value, a number or a time in another form.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from fastapi import Request
from pydantic import BeforeValidator

from offhook.api.errors import refusal
from offhook.errors import shown
from offhook.patterns import PatternInvalid, number_patterns_in, patterns_in
from offhook.phone_numbers import number_key

# Well within what Postgres and its driver support: asyncpg reads the first and the last instant of
# Python as infinities.
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)

TELNYX = "/v2/"
"""Below this path the carrier judges empty values."""

NAME_SHOWN_MAX = 80


def require_known(request: Request) -> None:
    """Raise ErrorAnswer 422 unless the request's route has every query parameter given."""
    given = request.query_params.multi_items()
    if not given:
        return
    known = _names_of(request.scope["route"])
    may_be_empty = request.scope["path"].startswith(TELNYX)
    for name, count in Counter(name for name, _ in given).items():
        if name not in known:
            detail = f"{shown(name)} is not a query parameter here; {_there_are(known)}"
            raise refusal(422, "10015", detail, parameter=name[:NAME_SHOWN_MAX])
        if count > 1:
            detail = f"{name} is given {count} times; expected once"
            raise refusal(422, "10015", detail, parameter=name)
        if not request.query_params[name] and not may_be_empty:
            detail = f"{name} is empty; expected a value, or leave it out"
            raise refusal(422, "10015", detail, parameter=name)


def declared(descriptions: Mapping[str, str]) -> dict[str, Any]:
    """`openapi_extra` for a route that reads these query parameters itself."""
    return {
        "parameters": [
            {
                "name": name,
                "in": "query",
                "required": False,
                "description": description,
                "schema": {"type": "string"},
            }
            for name, description in descriptions.items()
        ]
    }


def moment_in(parameter: str, text: str, expected: str = "a time") -> datetime:
    """The time, in UTC. Raises ErrorAnswer."""
    try:
        # A plus sign that was not escaped arrives as a space.
        at = msgspec.convert(_LOST_PLUS.sub("+", text), datetime)
        if at.tzinfo is not None and EARLIEST <= at < LATEST:
            return at.astimezone(UTC)
    except msgspec.ValidationError:
        pass
    detail = (
        f"{parameter} is {shown(text)}; expected {expected} in RFC 3339 with its offset from UTC "
        f"(2026-11-22T10:00:00Z), from {EARLIEST.year} to {LATEST.year}"
    )
    raise refusal(422, "10015", detail, parameter=parameter)


def number_in(parameter: str, text: str, *, or_start: bool = False) -> str:
    """A phone number or an address, in any spelling. Raises ErrorAnswer 422.

    `or_start`: the parameter takes the start of a number too, so the error mentions it.

    Other texts pass too, because the carrier has callers such as "anonymous"; but a text that
    starts with a plus sign must be in E.164.
    """
    if text.lstrip().startswith("+") and not number_key(text).isdigit():
        start = f"{text.strip()}*"
        start = start if _E164_START.fullmatch(start) else "+4930*"
        detail = (
            f"{parameter} is {shown(text)}; expected a number in E.164 (+12025550123), "
            + (f"the start of one and a star ({start}), " if or_start else "")
            + "or the form in which the carrier gave it"
        )
        raise refusal(422, "10016", detail, parameter=parameter)
    return text


def _whole_number(value: object) -> object:
    # A default is an int already; pydantic would also accept "+5", "5.0" and "1_000".
    if isinstance(value, str) and not _DIGITS.fullmatch(value):
        raise ValueError("expected a whole number")
    return value


def _number(value: object) -> object:
    if isinstance(value, str) and not _DECIMAL.fullmatch(value):
        raise ValueError("expected a number")
    return value


WholeNumber = Annotated[int, BeforeValidator(_whole_number)]
Number = Annotated[float, BeforeValidator(_number)]


def numbers_in(parameter: str, text: str) -> str:
    """Patterns of numbers (`offhook.patterns`); a single number is one. Raises ErrorAnswer 422."""
    for piece in patterns_text(parameter, text, number_patterns_in).split(","):
        number = piece.strip().removeprefix("!")
        if "*" not in number:
            number_in(parameter, number, or_start=True)
        elif not _E164_START.fullmatch(number):
            detail = (
                f"{parameter} has the pattern {shown(piece)}; expected the start of a number in "
                "E.164 and a star (+4930*)"
            )
            raise refusal(422, "10016", detail, parameter=parameter)
    return text


def patterns_text(parameter: str, text: str, read: Callable[[str], object] = patterns_in) -> str:
    """Patterns of any text (`offhook.patterns`). Raises ErrorAnswer 422."""
    try:
        read(text)
    except PatternInvalid as error:
        raise refusal(422, "10015", f"{parameter} {error}", parameter=parameter) from None
    return text


def _names_of(route: Any) -> frozenset[str]:
    own = set(_query_names(route.dependant))
    extra = (route.openapi_extra or {}).get("parameters", ())
    return frozenset(own | {each["name"] for each in extra if each["in"] == "query"})


def _query_names(dependant: Any) -> Iterator[str]:
    for field in dependant.query_params:
        yield field.alias
    for each in dependant.dependencies:
        yield from _query_names(each)


def _there_are(names: Iterable[str]) -> str:
    return f"there are {', '.join(sorted(names))}" if names else "there are none"


_LOST_PLUS = re.compile(r" (?=[0-9]{2}:[0-9]{2}\Z)")
# A star at the end; what does not begin with a plus sign is any text.
_E164_START = re.compile(r"\+[0-9 ().-]*\*|[^+].*")
_DIGITS = re.compile(r"-?[0-9]{1,19}")
_DECIMAL = re.compile(r"-?[0-9]{1,19}(\.[0-9]{1,19})?")
