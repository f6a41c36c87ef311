"""Whatever stands at any place of a request is taken or refused by name; nothing breaks."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from offhook.commands import COMMANDS
from offhook.commands.catalog import command_from
from offhook.errors import ParameterInvalid
from scripts.sdk import entries_of, sdk_operations
from tests.api.surface import value_of

OPERATIONS = {operation.name: operation for operation in sdk_operations()}
STRANGE: tuple[Any, ...] = (
    *("x", "", -1, 0, 1.5, 10**30, True, [], [[]], [None], [1], ["x"], [{}], {}),
    *({"x": 1}, {"call.hangup": 1}, {"call.hangup": ["x"]}, {"call.hangup": {"retries_ms": [-1]}}),
)
SDK_NAMES = {"from": "from_"}
Path = tuple[str | int, ...]


@cache
def full_request(operation: str) -> dict[str, Any]:
    """Every parameter, with everything that is inside it."""
    request = {
        entry.name: value_of(entry.kind, SDK_NAMES.get(entry.name, entry.name), turn=0)
        for entry in entries_of(OPERATIONS[operation].parameters)
    }
    request.pop("command_id", None)
    return request | ({"connection_id": "1"} if operation == "dial" else {})


def paths_in(value: Any, before: Path = ()) -> Iterator[Path]:
    """Every place, with the first of a list standing for all of it."""
    inside: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        inside = list(value.items())
    elif isinstance(value, list):
        inside = list(enumerate(value[:1]))
    for step, inner in inside:
        yield (*before, step)
        yield from paths_in(inner, (*before, step))


def changed(whole: Any, path: Path, value: Any) -> Any:
    """A copy with another value at the place."""
    if not path:
        return value
    step, *rest = path
    inner = changed(whole[step], tuple(rest), value)
    return [inner, *whole[1:]] if isinstance(whole, list) else {**whole, step: inner}


PLACES = {path: operation for operation in COMMANDS for path in paths_in(full_request(operation))}
"""Each with one operation that has it."""


def refused(operation: str, request: dict[str, Any]) -> ParameterInvalid | None:
    try:
        command_from(operation, request, "v3:a")
    except ParameterInvalid as error:
        return error
    return None


def test_a_strange_value_anywhere_is_taken_or_told() -> None:
    assert len(PLACES) > 400
    told = 0
    for path, operation in PLACES.items():
        full = full_request(operation)
        for value in STRANGE:
            request = changed(full, path, value)
            if (error := refused(operation, request)) is not None:
                told += 1
                assert error.operation == operation
                assert error.field in request
                assert error.pointer.startswith(f"/{error.field}")
    assert told > len(PLACES)
