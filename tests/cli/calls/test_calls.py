"""`offhook calls`: what is refused before the API is asked."""

import pytest

from tests.cli.terminal import Terminal


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    """A terminal whose API is not there."""
    variables = {"OFFHOOK_API_URL": "http://127.0.0.1:1", "OFFHOOK_API_TOKENS": "read:t"}
    return Terminal(monkeypatch, capsys, {**variables, "COLUMNS": "250"})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--number", "+1*2"], "--number has the pattern '+1*2'; expected a value, its start and"),
        (["--to", "**"], "--to has the pattern '**'"),
        (["--cause", "a,,b"], "--cause has the pattern ''"),
        (["--failed-command", "a*b"], "--failed-command has the pattern 'a*b'"),
        (["--since", "yesterday"], "--since: 'yesterday' is not a time; expected RFC 3339"),
        (["--ended-until", "10:30"], "--ended-until: '10:30' is not a time"),
        (["--status", "failed"], "'failed' is not one of"),
        (["--longer", "-1"], "'--longer': '-1' should be greater than or equal to 0"),
        (["--limit", "0"], "'--limit': '0' should be greater than or equal to 1"),
        (["--follow", "--session", "a"], "--follow takes no --session; use `offhook show ID"),
        (["--follow", "--limit", "500"], "--follow begins with at most 250 calls, not 500"),
    ],
)
def test_a_wrong_option_is_named_with_what_is_expected(
    offline: Terminal, arguments: list[str], message: str
) -> None:
    refused = offline("calls", *arguments)
    assert refused.status == 2
    assert message in refused.errors
    assert refused.output == ""


@pytest.mark.parametrize("more", [[], ["--follow"], ["--json"]])
def test_an_api_that_is_not_there(offline: Terminal, more: list[str]) -> None:
    refused = offline("calls", *more)
    assert refused.status == 1
    assert "the API does not answer at http://127.0.0.1:1: ConnectError" in refused.errors
