"""The ready file holds a token and a signing key."""

import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from offhook.cli.embedded import ready_file
from offhook.cli.embedded.stack import Stack
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
