"""The demo as a user runs it."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TIMEOUT_S = 120


@contextmanager
def demo(tmp_path: Path, *options: str) -> Iterator["subprocess.Popen[str]"]:
    """`offhook demo` in a process group of its own, with its temporary files below tmp_path."""
    process = subprocess.Popen(
        [sys.executable, "-m", "offhook", "demo", "--workers", "2", *options],
        env={**os.environ, "TMPDIR": str(tmp_path), "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        end(process)


def test_the_demo_loses_and_doubles_nothing(tmp_path: Path) -> None:
    with demo(tmp_path, "--calls", "40", "--rate", "20", "--seed", "7") as process:
        output, _ = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, output
    assert "0 lost, 0 doubled" in output
    assert count_of("calls", output) == 40
    assert count_of("sent again on purpose", output) > 0
    assert count_of("held back on purpose", output) > 0
    assert count_of("commands", output) > 40
    assert re.search(r"webhook → command, p99 +│ +[\d.]+ ms", output)
    assert "--seed 7" in output
    assert processes_below(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_lets_the_calls_finish_and_cleans_up(tmp_path: Path) -> None:
    with demo(tmp_path, "--calls", "5000", "--rate", "10") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "Ctrl-C" in line:
                break
        until_the_log_has_a_call(tmp_path)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, output
    assert "0 lost, 0 doubled" in output
    assert 0 < count_of("calls", output) < 2500  # 5000 take more than 8 minutes
    assert processes_below(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def end(process: "subprocess.Popen[str]") -> None:
    """Let it stop what it started: killed at once it would leave its servers behind."""
    process.terminate()
    try:
        process.wait(TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def until_the_log_has_a_call(tmp_path: Path) -> None:
    files = "offhook-demo-*/nats/store/jetstream/$G/streams/CALLS*/msgs/*.blk"
    deadline = time.monotonic() + TIMEOUT_S
    while not any(file.stat().st_size for file in tmp_path.glob(files)):
        assert time.monotonic() < deadline, "no call came"
        time.sleep(0.1)


def count_of(what: str, output: str) -> int:
    found = re.search(rf"│ +{what} +│ +(\d+)", output)
    assert found, f"no row {what!r} in:\n{output}"
    return int(found[1])


def processes_below(directory: Path) -> list[str]:
    """Command lines of processes that still run on something in the directory."""
    lines = []
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (OSError, UnicodeDecodeError):
            continue
        if str(directory) in line:
            lines.append(line)
    return lines
