"""`offhook send`: what is no webhook is told in a line, and nothing of it is sent."""

from pathlib import Path

import pytest

from tests.cli.terminal import Terminal


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is not JSON: Input data was truncated"),
        (b'\xff\xfe{"a":1}', "is not JSON: JSON is malformed"),
        (b'{"data": "\xff"}', "is not JSON: 'utf-8' codec can't decode byte 0xff"),
        (b"[" * 100_000, "is not JSON: maximum recursion depth exceeded"),
        (b"5", "is not a form of webhook that Offhook knows, not the body of a webhook"),
    ],
)
def test_a_file_that_is_no_webhook_is_told(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    content: bytes,
    told: str,
) -> None:
    file = tmp_path / "webhook.json"
    file.write_bytes(content)
    printed = Terminal(monkeypatch, capsys)("send", str(file))
    assert printed.status == 1
    assert printed.errors.startswith(f"offhook: {file} {told}")
