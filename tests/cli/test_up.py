"""`offhook up`: other programs attach by its ready file, and nothing is left behind."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpx
import pytest

from offhook.jetstream.stream import PARTITIONS_DEFAULT
from offhook.jetstream.subjects import partition_for
from offhook.position import position_of, position_text
from tests import forked
from tests.cli.demo.test_demo import end, processes_below

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 180
KEYS = {
    "ingress",
    "api",
    "simulator",
    "simulator_key",
    "nats",
    "nats_monitor",
    "postgres",
    "token",
    "public_key",
    "public_keys",
    "signing_key",
    "projector",
    "workers",
    "connection_id",
}


def test_other_programs_attach_by_the_ready_file(tmp_path: Path) -> None:
    ready, data = tmp_path / "ready.json", tmp_path / "data"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "offhook", "up", "--free-ports"),
            *("--ready-file", str(ready), "--data", str(data)),
        ],
        env={**os.environ, "OFFHOOK_FLOWS": "offhook.cli.demo.flow:demo"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        found = _when_ready(process, ready)
        assert set(found) == KEYS
        placed = httpx.post(
            f"{found['simulator']}/simulator/calls",
            json={
                "from": "+12025550170",
                "to": "+12025550101",
                "connection_id": found["connection_id"],
            },
            timeout=60,
        )
        session_id = placed.json()["data"]["call_session_id"]
        headers = {"authorization": f"Bearer {found['token']}"}
        session = _until(
            lambda: httpx.get(f"{found['api']}/sessions/{session_id}", headers=headers, timeout=60)
        )
        assert session.json()["data"]["session"]["session_id"] == session_id

        for secret in (found["token"], found["signing_key"]):
            assert processes_below(Path(secret)) == [], "the process list shows it"
            assert not [log for log in data.glob("*.log") if secret in log.read_text()]

        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 0, output
    finally:
        end(process)
    assert not ready.exists()
    assert processes_below(tmp_path) == []
    assert (data / "nats").is_dir()


def test_what_is_killed_runs_again_and_a_flow_that_raises_is_shown(tmp_path: Path) -> None:
    ready, output = tmp_path / "ready.json", tmp_path / "output"
    (tmp_path / "tmp").mkdir()
    with output.open("w") as out:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "offhook", "up", "--free-ports", "--workers", "1"),
                *("--ready-file", str(ready)),
            ],
            env={
                **os.environ,
                "OFFHOOK_FLOWS": "tests.cli.flow_parked:raising",
                "TMPDIR": str(tmp_path / "tmp"),
            },
            stdout=out,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    try:
        found = _when_ready(process, ready)
        session_id = _place_call(found)
        shown = _when(lambda: f"session {session_id} is parked" in output.read_text(), output)
        assert "✗ flow digits 1: ValueError: no such digit: [x]\n" in shown
        assert re.search(r"flow_parked.py, line \d+, in _raise: raise ValueError", shown)
        first = position_text(position_of(partition_for(session_id, PARTITIONS_DEFAULT), 1))
        assert f"on call.initiated (seq {first}) of session {session_id}, attempt 1 of 5" in shown
        assert "is parked after 5 attempts; its calls are hung up (OFFHOOK_PARKED=hangup)" in shown

        for name, program in _PROGRAMS.items():
            [pid] = _children(process.pid, program)
            os.kill(pid, signal.SIGKILL)
            again = f"{name} is up again" if name in _SERVERS else f"{name} is ready again"
            _when(partial(_says, output, again), output)
        assert json.loads(ready.read_text()) == found
        after = _place_call(found)
        _when(lambda: f"session {after} is parked" in output.read_text(), output)

        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT_S) == 0, output.read_text()
    finally:
        end(process)
    assert processes_below(tmp_path) == []
    [kept] = (tmp_path / "tmp").iterdir()
    assert f"the flows' tracebacks are in {kept}" in output.read_text()
    assert "ValueError: no such digit: [x]" in kept.read_text()


_SERVERS = {"nats-server": "nats-server", "postgres": "bin/postgres"}
_PROGRAMS = _SERVERS | {
    "worker-1": "offhook worker",
    "projector": "offhook projector",
    "api": "offhook api",
    "ingress": "offhook ingress",
    "simulator": "offhook simulator",
}


def _place_call(found: dict[str, str]) -> str:
    placed = httpx.post(
        f"{found['simulator']}/simulator/calls",
        json={
            "from": "+12025550170",
            "to": "+12025550101",
            "connection_id": found["connection_id"],
        },
        timeout=60,
    )
    session_id: str = placed.raise_for_status().json()["data"]["call_session_id"]
    return session_id


def _children(pid: int, program: str) -> list[int]:
    """Its child processes that run this program."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int(re.findall(r"\nPPid:\s*(\d+)", (entry / "status").read_text())[0])
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if parent == pid and program in line:
            found.append(int(entry.name))
    return found


def _says(output: Path, words: str) -> bool:
    return words in output.read_text()


def _when(condition: Callable[[], bool], output: Path) -> str:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, output.read_text()
        time.sleep(0.05)
    return output.read_text()


def test_ctrl_c_before_everything_is_ready_ends_it_at_once(tmp_path: Path) -> None:
    """It went on until it was ready, for 10 s, before it stopped."""
    output, ready = tmp_path / "output", tmp_path / "ready.json"
    with output.open("wb") as written:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "offhook", "up", "--free-ports"),
                *("--ready-file", str(ready), "--data", str(tmp_path / "data")),
            ],
            stdout=written,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            _when(partial(_says, output, "NATS and PostgreSQL are up"), output)
            process.send_signal(signal.SIGINT)
            assert process.wait(TIMEOUT_S) == 0
        finally:
            end(process)
    said = output.read_text()
    assert said.endswith("] stopped before everything was ready\n")
    assert "are ready" not in said
    assert not ready.exists()
    assert processes_below(tmp_path) == []


def test_a_role_that_cannot_start_ends_everything_and_says_why(tmp_path: Path) -> None:
    elsewhere = {"OFFHOOK_WORKER_HOST": "203.0.113.1", "OFFHOOK_INGRESS_PORT": "0"}
    ended = _ended(tmp_path, **elsewhere, **_FREE)
    assert ended.returncode == 1
    assert "worker-1 did not become ready: it ended with status 1" in ended.stderr
    assert re.search(
        r"cannot listen on 203.0.113.1:\d+: Cannot assign requested address:"
        " see OFFHOOK_WORKER_PORT and OFFHOOK_WORKER_HOST",
        ended.stderr,
    )
    assert processes_below(tmp_path) == []


def test_a_port_that_is_taken_is_found_before_anything_starts(tmp_path: Path) -> None:
    """Another role listens there, so that it would answer for this one that it is ready."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = _ended(tmp_path, OFFHOOK_INGRESS_PORT=str(port), **_FREE)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        f"offhook: cannot listen on 127.0.0.1:{port}: Address already in use; see"
        " OFFHOOK_INGRESS_PORT and OFFHOOK_INGRESS_HOST, or use --free-ports\n"
    )
    settings = {"OFFHOOK_INGRESS_PORT": str(port), "OFFHOOK_SIMULATOR_PORT": str(port)}
    ended = _ended(tmp_path, OFFHOOK_API_PORT="0", **settings)
    assert f":{port}: OFFHOOK_INGRESS_PORT is the same; see OFFHOOK_SIMULATOR" in ended.stderr
    assert ended.stdout == ""


def test_a_flow_that_is_not_there_is_told_before_anything_starts(tmp_path: Path) -> None:
    ended = _ended(tmp_path, OFFHOOK_FLOWS="no_such_module:flow", **_FREE)
    assert ended.returncode == 1
    assert ended.stderr == (
        "offhook: OFFHOOK_FLOWS has 'no_such_module:flow': No module named 'no_such_module'"
        f" in {os.getcwd()} or among what is installed\n"
    )
    assert ended.stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("PARKED", "hangp", "OFFHOOK_PARKED is 'hangp'; expected hangup, none or transfer:NUMBER"),
        ("PUBLIC_KEYS", "a,b", "OFFHOOK_PUBLIC_KEYS: public key of 1 characters is not base64"),
        ("SIGNING_KEY", "seed", "signing key (OFFHOOK_SIGNING_KEY, --key-file) of 4 characters"),
        (
            "API_TOKENS",
            "root:secret",
            "OFFHOOK_API_TOKENS: entry 1 is wrong; expected a comma-separated list",
        ),
        ("CARRIER_KEY", "two words", "OFFHOOK_CARRIER_KEY is not valid in a header; expected"),
        (
            "CARRIER_URL",
            "api.telnyx.com/v2",
            "OFFHOOK_CARRIER_URL is 'api.telnyx.com/v2'; expected",
        ),
        ("SIMULATOR_JOURNAL", "no/such/file", "OFFHOOK_SIMULATOR_JOURNAL is 'no/such/file'"),
    ],
)
def test_a_setting_that_a_role_would_refuse_is_found_before_anything_starts(
    tmp_path: Path, name: str, value: str, error: str
) -> None:
    # Without a key the carrier is the simulator, and its URL is not used.
    key = {"OFFHOOK_CARRIER_KEY": "key"} if name == "CARRIER_URL" else {}
    ended = _ended(tmp_path, **key, **{f"OFFHOOK_{name}": value})
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"offhook: {error}")
    assert ended.stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("def decide(event, session)\n", r"SyntaxError: expected ':' \(unloaded.py, line 1\)"),
        ("import os\n1 / 0\n", r"ZeroDivisionError: division by zero \(.*/unloaded.py, line 2\)"),
        (
            "from offhook.flow import Flow\nflow = Flow(name='f', version=1, decide=print)\n",
            r"TypeError: Flow: version is 1; expected text \(.*/unloaded.py, line 2\)",
        ),
        ("raise SystemExit(3)\n", r"SystemExit: 3 \(.*/unloaded.py, line 1\)"),
    ],
)
def test_a_flow_that_cannot_be_loaded_is_told_in_a_line(
    tmp_path: Path, text: str, told: str
) -> None:
    (tmp_path / "unloaded.py").write_text(text)
    settings = {"OFFHOOK_FLOWS": "unloaded:flow", "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    for command in (["up"], ["worker"]):
        ended = _ended_at_once(*command, **settings)
        assert ended.returncode == 1
        assert re.fullmatch(
            f"offhook: OFFHOOK_FLOWS has 'unloaded:flow', which cannot be loaded: {told}\n",
            ended.stderr,
        )


def test_a_path_that_cannot_be_written_is_told_before_anything_starts(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for option, path, told in (
        ("--data", file / "data", "cannot be written to: Not a directory"),
        ("--ready-file", tmp_path, "cannot be written: Is a directory"),
        ("--ready-file", tmp_path / "no" / "r", "cannot be written: No such file or directory"),
    ):
        ended = _ended_at_once("up", option, str(path))
        assert (ended.returncode, ended.stdout) == (1, "")
        assert ended.stderr == f"offhook: {path} {told}\n"
    assert list(tmp_path.iterdir()) == [file]


_FREE = {"OFFHOOK_API_PORT": "0", "OFFHOOK_SIMULATOR_PORT": "0"}


def _ended(tmp_path: Path, **settings: str) -> "subprocess.CompletedProcess[str]":
    """An `offhook up` that cannot go on."""
    return _ended_at_once("up", "--data", str(tmp_path / "d"), **settings)


def _ended_at_once(*arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OFFHOOK_")}
    return forked.offhook(*arguments, env={**kept, **settings})


def _when_ready(process: "subprocess.Popen[str]", path: Path) -> dict[str, str]:
    deadline = time.monotonic() + TIMEOUT_S
    while not path.exists():
        assert process.poll() is None, process.stdout and process.stdout.read()
        assert time.monotonic() < deadline, "never ready"
        time.sleep(0.05)
    found: dict[str, str] = json.loads(path.read_text())
    return found


def _until(ask: Callable[[], httpx.Response]) -> httpx.Response:
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        answer = ask()
        if answer.status_code == httpx.codes.OK:
            return answer
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.05)
