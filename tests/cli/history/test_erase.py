"""`offhook erase`: what is refused before anything is read."""

import pytest
from typer.testing import CliRunner

from offhook.cli.main import app


@pytest.mark.parametrize(
    ("words", "refused"),
    [
        ((), "nothing to erase"),
        (("--number", "+12025550100", "--name", ""), "--name is empty"),
        ((" ",), "SESSION is empty"),
        (("s1", "--resume"), "--resume takes no SESSION"),
    ],
)
def test_what_names_nothing_is_refused(words: tuple[str, ...], refused: str) -> None:
    result = CliRunner().invoke(app, ["erase", *words, "--yes"])
    assert result.exit_code == 1
    assert refused in str(result.exception)
