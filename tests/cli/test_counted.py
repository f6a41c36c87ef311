"""Numbers of things in words."""

import pytest

from offhook.cli.counted import counted


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 records"), (1, "1 record"), (1000, "1,000 records")],
)
def test_one_thing_is_in_the_singular(count: int, text: str) -> None:
    assert counted(count, "record") == text
