"""`offhook show`: what is refused before the log is read."""

import pytest

from tests.cli.terminal import Terminal


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([" "], "SESSION is empty; expected the id of a session"),
        (["s", "--as-of", "+1x"], "the time since the first record, such as +1.5s or +1:05.123"),
        (["s", "--as-of", "noon"], "'noon' is not a moment; expected a position"),
        (["s", "--diff", "1", "-5m"], "'-5m' is not a moment; expected a position"),
        (["s", "--as-of", "1", "--follow"], "--as-of, --diff and --follow exclude one another"),
        (["s", "--diff", "1", "2", "--last", "3"], "--diff does not print records"),
        (["s", "--follow", "--json"], "--follow prints text; for JSON read GET /sessions/ID"),
        (["s", "--last", "0"], "'--last': '0' should be greater than or equal to 1"),
    ],
)
def test_a_wrong_option_is_named_with_what_is_expected(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    refused = Terminal(monkeypatch, capsys, {"COLUMNS": "250"})("show", *arguments)
    assert refused.status == 2
    assert message in refused.errors
    assert refused.output == ""
