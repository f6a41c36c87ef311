"""The stack, as far as it needs no servers; `tests/whole` runs it."""

from pathlib import Path

import pytest
from httpx import create_ssl_context

from offhook.cli.embedded.stack import Stack
from offhook.settings import Settings


def test_asking_whether_a_role_is_ready_reads_no_certificates(
    tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked 50 times a second while roles start: that took most of a core."""

    def read(*_: object, **__: object) -> None:
        raise AssertionError("certificates are read")

    monkeypatch.setattr("ssl.create_default_context", read)
    monkeypatch.setattr("httpx._transports.default.create_ssl_context", create_ssl_context)
    stack = Stack(tmp_path, Settings())
    stack._ports["api"] = free_port
    assert not stack.is_ready("api")
