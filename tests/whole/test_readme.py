"""The flow and the test that the README shows, run as they stand there."""

import re
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from offhook.cli.embedded.stack import CONNECTION_ID, Stack, with_free_ports
from offhook.settings import Settings

TIMEOUT_S = 180
README = Path(__file__).parents[2] / "README.md"


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with the README's two files, as the working directory."""
    flow, test = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    directory = tmp_path / "mine"
    directory.mkdir()
    (directory / "frontdesk.py").write_text(flow)
    (directory / "test_frontdesk.py").write_text(test)
    monkeypatch.chdir(directory)
    return directory


def test_the_readmes_test_passes(beside: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_frontdesk.py"],
        capture_output=True,
        text=True,
        check=False,
        cwd=beside,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "2 passed" in ran.stdout


def test_the_readmes_flow_answers_and_transfers_once(beside: Path, tmp_path: Path) -> None:
    settings = Settings(
        flows=("frontdesk:frontdesk",),
        simulator_speed=10,
        simulator_duplicates=1.0,
        simulator_disorder=0.5,
    )
    with Stack(tmp_path / "stack", with_free_ports(settings), workers=1) as stack:
        simulator = stack.addresses["simulator"]
        body = {
            "from": "+12025550170",
            "to": "+12025550101",
            "connection_id": CONNECTION_ID,
            "patience_s": 600,
            "hangup_after_s": 120,
        }
        for _ in range(5):
            httpx.post(f"{simulator}/simulator/calls", json=body, timeout=60).raise_for_status()
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            books = httpx.get(f"{simulator}/simulator/effects", timeout=60).json()
            quiet = all(leg["state"] == "ended" for leg in books["legs"])
            if quiet and len(books["legs"]) == 10:
                break
            assert time.monotonic() < deadline, books["totals"]
            time.sleep(0.2)
    assert books["totals"] == {"answer": 5, "transfer": 5}
    assert books["doubled"] == []
