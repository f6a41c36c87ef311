"""deploy/nats-health.sh: healthy or not, and when it ends the node so that it is started again."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.compose_file import ROOT

ANSWERS = {"/healthz": 200, "/varz": 200, "/healthz?js-enabled-only=true": 200}
OFF = ANSWERS | {"/healthz": 503, "/healthz?js-enabled-only=true": 503}
SETTLED_S = 6 * 60
TIMEOUT_S = 60.0
WGET = f"""#!{sys.executable}
import sys, urllib.request as it
try:
    it.urlopen(sys.argv[-1], timeout=5)
except OSError as error:
    sys.exit(str(error))
"""


class Node:
    """A process that stands for nats-server, what its monitoring answers, and its volume."""

    def __init__(self, directory: Path, answers: dict[str, int]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(answers.get(self.path, 404))
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self._process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        self._directory = directory
        self._pid_file = directory / "nats.pid"
        self._pid_file.write_text(str(self._process.pid))
        wget = directory / "wget"
        wget.write_text(WGET)
        wget.chmod(0o755)

    def check(self, *, runs_for_s: float, room_kib: int = 1) -> int:
        """The status of the health check."""
        began = time.time() - runs_for_s
        os.utime(self._pid_file, (began, began))
        script = (ROOT / "deploy" / "nats-health.sh").read_text()
        for name, value in {
            "pid_file": self._pid_file,
            "url": f"http://127.0.0.1:{self._server.server_port}",
            "room_kib": room_kib,
        }.items():
            line = next(line for line in script.splitlines() if line.startswith(f"{name}="))
            script = script.replace(line, f"{name}={value}")
        path = f"{self._directory}:{os.environ['PATH']}"
        return subprocess.run(["/bin/sh", "-c", script], check=False, env={"PATH": path}).returncode

    def ended_by(self, within_s: float = 0.5) -> int:
        """The signal that ended it; 0 if it runs after that time."""
        try:
            return -self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            return 0

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def answers() -> dict[str, int]:
    return dict(ANSWERS)


@pytest.fixture
def node(tmp_path: Path, answers: dict[str, int]) -> Iterator[Node]:
    made = Node(tmp_path, answers)
    yield made
    made.close()


def test_a_healthy_node_is_left_alone(node: Node) -> None:
    assert node.check(runs_for_s=SETTLED_S) == 0
    assert not node.ended_by()


def test_a_node_that_catches_up_is_unhealthy_and_left_alone(
    node: Node, answers: dict[str, int]
) -> None:
    answers["/healthz"] = 503
    assert node.check(runs_for_s=SETTLED_S) == 1
    assert not node.ended_by()


def test_a_node_whose_jetstream_is_off_is_ended_in_order(
    node: Node, answers: dict[str, int]
) -> None:
    answers |= OFF
    assert node.check(runs_for_s=SETTLED_S) == 1
    assert node.ended_by(TIMEOUT_S) == signal.SIGTERM


def test_it_is_left_alone_while_it_starts(node: Node, answers: dict[str, int]) -> None:
    answers |= OFF
    assert node.check(runs_for_s=10) == 1
    assert not node.ended_by()


def test_it_is_left_alone_while_its_disk_has_no_room(node: Node, answers: dict[str, int]) -> None:
    answers |= OFF
    assert node.check(runs_for_s=SETTLED_S, room_kib=2**50) == 1
    assert not node.ended_by()


def test_a_node_that_does_not_answer_is_left_alone(node: Node, answers: dict[str, int]) -> None:
    answers |= OFF | {"/varz": 503}
    assert node.check(runs_for_s=SETTLED_S) == 1
    assert not node.ended_by()
