"""The processes that run the flow end with the command, however it ends; a flow has its time."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from offhook.cli.whatif.child import ALARMS, TooSlow, limit_of, sent
from offhook.cli.whatif.processes import run_parts
from offhook.errors import OperatorFault

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
    with pytest.raises(OperatorFault, match=r"temporarily unavailable.* --processes"):
        run_parts(FLOW, None, [], processes=3, on_tally=lambda tally: None)
    assert [each.returncode is None for each in started] == [False, False]


def test_time_in_which_a_process_stands_still_does_not_count() -> None:
    before = signal.getsignal(signal.SIGALRM)
    limited = limit_of(1e6)
    try:
        for _ in range(ALARMS):
            with limited():  # all alarms of a machine that stood still are one
                signal.raise_signal(signal.SIGALRM)
        with limited():
            for _ in range(ALARMS - 1):
                signal.raise_signal(signal.SIGALRM)
            with pytest.raises(TooSlow):
                signal.raise_signal(signal.SIGALRM)
    finally:
        signal.signal(signal.SIGALRM, before)
