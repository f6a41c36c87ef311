"""Who a command wants to connect."""

from typing import Any

import pytest

from offhook.wording.asked import numbers_of


@pytest.mark.parametrize(
    ("parameters", "numbers"),
    [
        ({"from": "+12025550100", "to": "+12025550155"}, ("+12025550100", "+12025550155")),
        ({"from": "+12025550100", "to": ["sip:a@b", "+1"]}, ("+12025550100", "sip:a@b, +1")),
        ({"to": "+12025550155"}, (None, "+12025550155")),
        ({"payload": "hello"}, (None, None)),
        (None, (None, None)),  # erased
    ],
)
def test_numbers_are_those_of_the_parameters(
    parameters: dict[str, Any] | None, numbers: tuple[str | None, str | None]
) -> None:
    assert numbers_of(parameters) == numbers
