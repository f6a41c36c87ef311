"""The wheel, installed away from the checkout: the only place where a forgotten folder shows."""

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import time
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.cli.demo.test_demo import end

ROOT = Path(__file__).parent.parent
ROOMS = ("ingress", "workers", "projections", "api", "simulator", "cli", "migrations")

UP_TIMEOUT_S = 120.0
CALLER, OURS = "+12025550170", "+12025550101"

# PYTHONPATH could lead back into the checkout.
CLEAN = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=CLEAN,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def built(kind: str, target: Path, source: Path = ROOT) -> Path:
    run(sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", target, cwd=source)
    (archive,) = target.iterdir()
    return archive


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built("wheel", tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def files(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@dataclass(frozen=True, kw_only=True)
class Installed:
    """An environment with the wheel and this run's dependencies."""

    binaries: Path
    new_names: set[str]  # importable since the wheel was installed, at the top level

    @property
    def python(self) -> Path:
        return self.binaries / "python"


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    home = tmp_path_factory.mktemp("away")
    venv.create(home, with_pip=False)
    binaries = home / "bin"
    before = importable(binaries / "python", home)
    # First the wheel, then the dependencies: pip must not meet the checkout's own installation.
    run(
        *(sys.executable, "-m", "pip", "--python", binaries / "python", "install", "--quiet"),
        *("--disable-pip-version-check", "--no-deps", "--no-index", wheel),
        cwd=home,
    )
    new_names = importable(binaries / "python", home) - before
    # Paths named in a .pth file join sys.path, but .pth files inside them are not read: so the
    # editable install, which is one, does not lead back into the checkout.
    (site,) = home.glob("lib/python3*/site-packages")
    dependencies = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site / "dependencies.pth").write_text("\n".join(sorted(dependencies)))
    return Installed(binaries=binaries, new_names=new_names)


def importable(python: Path, cwd: Path) -> set[str]:
    """The top-level names that this Python finds by itself, in an empty directory."""
    script = "import pkgutil; print(*(module.name for module in pkgutil.iter_modules()))"
    return set(run(python, "-P", "-c", script, cwd=cwd).split())


def test_the_wheel_holds_the_package_and_nothing_else(files: set[str]) -> None:
    roots = {name.split("/")[0] for name in files}
    assert {root for root in roots if not root.endswith(".dist-info")} == {"offhook"}
    assert "offhook/py.typed" in files
    assert not [name for name in files if name.endswith(".pyc") or "__pycache__" in name]


@pytest.mark.parametrize("folder", ["offhook", *ROOMS])
def test_the_wheel_holds_every_file_of_the_package(files: set[str], folder: str) -> None:
    inside = "" if folder == "offhook" else "offhook/"
    in_checkout = {
        inside + path.relative_to(ROOT).as_posix()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert in_checkout
    assert in_checkout - files == set()


def test_the_sdist_makes_the_same_wheel(files: set[str], tmp_path: Path) -> None:
    with tarfile.open(built("sdist", tmp_path / "sdist")) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    with zipfile.ZipFile(built("wheel", tmp_path / "wheel", source)) as archive:
        assert set(archive.namelist()) == files


def test_the_wheel_brings_one_name_to_import(installed: Installed) -> None:
    assert installed.new_names == {"offhook"}


def test_every_room_imports_away_from_the_checkout(installed: Installed) -> None:
    rooms = tuple(room for room in ROOMS if room != "migrations")
    script = f"""
import importlib, importlib.util
for room in {rooms!r}:
    print(importlib.import_module(f"offhook.{{room}}").__file__)
for name in ("tests", "bench"):
    assert importlib.util.find_spec(name) is None, name
"""
    found = run(installed.python, "-c", script, cwd=installed.binaries).splitlines()
    assert len(found) == len(rooms)
    for file in found:
        assert Path(file).is_relative_to(installed.binaries.parent)


def test_the_command_runs_away_from_the_checkout(installed: Installed) -> None:
    assert "Usage: offhook" in run(installed.binaries / "offhook", "--help", cwd=installed.binaries)
    version = run(installed.python, "-m", "offhook", "--version", cwd=installed.binaries)
    assert version.startswith("offhook ")


# A package of each room's name, which the flow imports; and modules that would break Python, a
# dependency or Offhook if they were taken for theirs.
NOT_TO_BE_IMPORTED = ("asyncio", "httpx", "logging", "offhook", "typing", "uvicorn", "wave")
FLOW = f"""
import wave  # not imported by anything before
from offhook import Answer, CallInitiated, Event, Flow, Order, Session, Speak
{"".join(f"from {room}.words import {room.upper()}{chr(10)}" for room in ROOMS)}

def decide(event: Event, session: Session) -> list[Order]:
    if not isinstance(event, CallInitiated):
        return []
    said = " ".join([{", ".join(room.upper() for room in ROOMS)}])
    return [Answer(), Speak(payload=said, voice="AWS.Polly.Joanna")]

frontdesk = Flow(name="frontdesk", version="1", decide=decide)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A user's folder with packages of the rooms' names."""
    folder = tmp_path / "project"
    for room in ROOMS:
        (folder / room).mkdir(parents=True)
        (folder / room / "__init__.py").touch()
        (folder / room / "words.py").write_text(f'{room.upper()} = "{room}"\n')
    for name in NOT_TO_BE_IMPORTED:
        (folder / f"{name}.py").write_text("raise AssertionError(__file__)\n")
    (folder / "frontdesk.py").write_text(FLOW)
    return folder


def test_a_project_may_have_packages_of_any_name(installed: Installed, project: Path) -> None:
    ready, output = project / "ready.json", project / "output"
    # The environment borrows this run's dependencies, but not their programs: nats-server.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with output.open("wb") as file:
        process = subprocess.Popen(
            [
                *(str(installed.binaries / "offhook"), "up", "--free-ports"),
                *("--workers", "1", "--ready-file", str(ready)),
            ],
            cwd=project,
            env=CLEAN | {"OFFHOOK_FLOWS": "frontdesk:frontdesk", "PATH": path},
            stdout=file,
            stderr=file,
            text=True,
            start_new_session=True,
        )
    deadline = time.monotonic() + UP_TIMEOUT_S
    try:
        while not ready.exists():
            assert process.poll() is None, output.read_text()
            assert time.monotonic() < deadline, output.read_text()
            time.sleep(0.05)
        addresses = json.loads(ready.read_text())
        body = {"from": CALLER, "to": OURS, "connection_id": addresses["connection_id"]}
        simulator = f"{addresses['simulator']}/simulator"
        placed = httpx.post(f"{simulator}/calls", json=body, timeout=60).json()["data"]
        while "speak" not in operations(simulator):
            assert time.monotonic() < deadline, output.read_text()
            time.sleep(0.05)
        # `python -m` puts the working directory first, and takes these two from there by itself.
        for name in ("offhook", "typing"):
            (project / f"{name}.py").unlink()
        show = ("-m", "offhook", "show", placed["call_session_id"], "--json", "--ready-file", ready)
        records = run(installed.python, *show, cwd=project)
    finally:
        end(process)
    assert " ".join(ROOMS) in records


def operations(simulator: str) -> list[str]:
    """What was performed at the simulated carrier."""
    books = httpx.get(f"{simulator}/effects", timeout=60).json()
    return [effect["operation"] for effect in books["effects"]]
