"""The measured child processes: starts them, reads the port they log, and ends them."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from offhook.settings import Settings, environment_from

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 25.0
_ROOT = Path(__file__).resolve().parents[2]

_UVICORN_LISTENS = re.compile(r"Uvicorn running on http://127\.0\.0\.1:(?P<port>\d+)")

ROLE = """
import os
from offhook.{package}.app import run
from offhook.process.logs import configure_logs
from offhook.process.serve import run_to_end
from offhook.settings import settings_from
configure_logs("{package}")
run_to_end(run(settings_from(os.environ)))
"""


@dataclass(frozen=True, kw_only=True)
class Child:
    """A running child process that listens on loopback."""

    pid: int
    port: int

    def cpu_s(self) -> float:
        """Processor time used so far; nan if there is no /proc."""
        return cpu_s_of(self.pid)


def cpu_s_of(pid: int) -> float:
    """Processor time that a process has used so far; nan if there is no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return float("nan")
    user, system = fields[11:13]  # utime and stime of proc(5), after pid and name
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def cpu_s_with_children(pid: int) -> float:
    """The same with the processes that it has started, and those of them that have ended."""
    total = 0.0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):  # it has just ended
            continue
        if path.parent.name == str(pid):
            total += sum(map(int, fields[11:15]))
        elif fields[1] == str(pid):
            total += sum(map(int, fields[11:13]))
    return total / os.sysconf("SC_CLK_TCK")


def memory_mb_of(pid: int, kind: str = "Pss") -> float:
    """Memory of a process and those that it has started, in MB; nan if there is no /proc.

    What several of them share counts once (PSS of proc(5)). `Pss_Shmem` is of what they share as
    memory: of PostgreSQL its buffers.
    """
    total = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = path.read_text().rpartition(")")[2].split()[1]
            if str(pid) in (path.parent.name, parent):
                lines = (path.parent / "smaps_rollup").read_text().splitlines()
                total += sum(int(each.split()[1]) for each in lines if each.startswith(f"{kind}:"))
        except (FileNotFoundError, ProcessLookupError):  # it has just ended
            continue
    return total / 1024 or float("nan")


@contextmanager
def role(package: str, settings: Settings, log: Path) -> Iterator[Child]:
    """A role of Offhook as its own process."""
    program = ["-c", ROLE.format(package=package)]
    with child(program, environment_from(settings), log) as running:
        yield running


@contextmanager
def child(program: list[str], environment: Mapping[str, str], log: Path) -> Iterator[Child]:
    """Run Python with these arguments; returns once it has logged the port it listens on."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("OFFHOOK_")}
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, *program],
            env={**clean, **environment},
            cwd=_ROOT,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    try:
        yield Child(pid=process.pid, port=_port_of(process, log))
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _port_of(process: "subprocess.Popen[bytes]", log: Path) -> int:
    deadline = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        for line in log.read_text().splitlines():
            if line.startswith("{") and line.endswith("}"):
                entry = json.loads(line)
                if entry["what"] == "listening":
                    return int(entry["port"])
            if match := _UVICORN_LISTENS.search(line):
                return int(match["port"])
        time.sleep(0.02)
    raise RuntimeError(f"{process.args!r} does not listen: {log.read_text()[-2000:]}")
