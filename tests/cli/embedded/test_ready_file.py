"""The ready file holds a token and a signing key."""

import json
import os
import stat
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from offhook.cli.embedded import ready_file
from offhook.cli.embedded.stack import Stack
from offhook.errors import OperatorFault
from offhook.settings import Settings


@pytest.fixture
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.usefixtures("usual_umask")
def test_no_other_user_can_read_it_at_any_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ready.json"
    part = path.with_name("ready.json.part")
    part.write_text("left by a killed process")
    modes: list[int] = []
    encode: Callable[..., str] = json.dumps

    def looking(*arguments: Any, **more: Any) -> str:
        # Called once the file is open, before the secrets are in it.
        modes.append(stat.S_IMODE(part.stat().st_mode))
        return encode(*arguments, **more)

    monkeypatch.setattr(json, "dumps", looking)
    ready_file.write(path, {"token": "secret"})
    assert modes == [0o600]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "secret" in path.read_text()
    assert not part.exists()


def test_what_a_link_in_its_way_points_at_is_left_alone(tmp_path: Path) -> None:
    path, elsewhere = tmp_path / "ready.json", tmp_path / "elsewhere"
    elsewhere.write_text("kept")
    path.with_name("ready.json.part").symlink_to(elsewhere)
    ready_file.write(path, {"token": "secret"})
    assert elsewhere.read_text() == "kept"


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        (("read:r", "admin:a", "command:c"), "a"),
        (("read:r", "command:c"), "c"),
        (("read:r",), "r"),
    ],
)
def test_the_token_is_the_one_that_may_do_most(
    tmp_path: Path, tokens: tuple[str, ...], expected: str
) -> None:
    assert Stack(tmp_path, Settings(api_tokens=tokens)).token == expected


class _Api(BaseHTTPRequestHandler):
    """An API that knows one token."""

    def do_GET(self) -> None:
        assert self.path == "/whoami"
        self.send_response(200 if self.headers["authorization"] == "Bearer known" else 401)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_a_file_of_another_run_is_left_alone_as_long_as_that_runs(tmp_path: Path) -> None:
    """The second `offhook up` wrote over it, and removed it when it ended."""
    path = tmp_path / "ready.json"
    ready_file.require_unused(path)
    server = HTTPServer(("127.0.0.1", 0), _Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    api = f"http://127.0.0.1:{server.server_port}"
    try:
        ready_file.write(path, {"api": api, "token": "known"})
        with pytest.raises(OperatorFault, match=f"^{path} is in use by an .* its API at {api}; "):
            ready_file.require_unused(path)
        # That run was killed, and another program has its port.
        ready_file.write(path, {"api": api, "token": "forgotten"})
        ready_file.require_unused(path)
    finally:
        server.shutdown()
        server.server_close()
    ready_file.require_unused(path)
    path.write_text("no ready file")
    ready_file.require_unused(path)


def test_only_the_file_that_was_written_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "ready.json"
    mine, other = {"api": "http://127.0.0.1:1"}, {"api": "http://127.0.0.1:2"}
    ready_file.write(path, other)
    ready_file.remove(path, mine)
    assert ready_file.read(path) == other
    ready_file.remove(path, other)
    assert not path.exists()
    ready_file.remove(path, other)
