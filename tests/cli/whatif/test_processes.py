"""The processes that run the flow end with the command, however it ends."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from offhook.cli.whatif.child import sent
from offhook.cli.whatif.processes import run_parts

FLOW = "tests.cli.whatif.flows:greet"


def test_a_process_ends_if_its_parent_was_killed_while_it_wrote(tmp_path: Path) -> None:
    (current := tmp_path / "current").touch()
    main = "from offhook.cli.whatif.child import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", main, FLOW, "null", str(current), "10"],
        input=sent([("session-1", [])])[:-1],
        capture_output=True,
        timeout=120,
    )
    assert ended.returncode == 0


def test_processes_are_ended_if_another_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Popen(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **options: Any) -> None:
            if len(started) == 2:
                raise BlockingIOError("Resource temporarily unavailable")
            super().__init__(*args, **options)
            started.append(self)

    monkeypatch.setattr("offhook.cli.whatif.processes.subprocess.Popen", Popen)
    with pytest.raises(BlockingIOError):
        run_parts(FLOW, None, [], processes=3, on_tally=lambda tally: None)
    assert [each.returncode is None for each in started] == [False, False]
