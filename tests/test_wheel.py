"""The wheel, installed away from the checkout: the only place where a forgotten folder shows."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("offhook", "ingress", "workers", "projections", "api", "simulator", "cli")


def run(*command: str | Path, cwd: Path) -> str:
    # PYTHONPATH could lead back into the checkout.
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=clean,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", target, cwd=ROOT)
    (built,) = target.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of an environment with the wheel and this run's dependencies."""
    home = tmp_path_factory.mktemp("away")
    venv.create(home, with_pip=False)
    binaries = home / "bin"
    # First the wheel, then the dependencies: pip must not meet the checkout's own installation.
    run(
        *(sys.executable, "-m", "pip", "--python", binaries / "python", "install", "--quiet"),
        *("--disable-pip-version-check", "--no-deps", "--no-index", wheel),
        cwd=home,
    )
    # Paths named in a .pth file join sys.path, but .pth files inside them are not read: so the
    # editable install, which is one, does not lead back into the checkout.
    (site,) = home.glob("lib/python3*/site-packages")
    dependencies = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site / "dependencies.pth").write_text("\n".join(sorted(dependencies)))
    return binaries


def test_the_wheel_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    roots = {name.split("/")[0] for name in names}
    assert {root for root in roots if not root.endswith(".dist-info")} == set(PACKAGES)
    assert "offhook/py.typed" in names
    assert not [name for name in names if name.endswith(".pyc") or "__pycache__" in name]


def test_the_wheel_holds_every_file_of_its_packages(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    in_checkout = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert in_checkout - names == set()


def test_the_wheel_brings_the_migrations(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    for path in (ROOT / "migrations").rglob("*.py"):
        assert f"cli/{path.relative_to(ROOT).as_posix()}" in names
    assert "cli/migrations/env.py" in names


def test_every_package_imports_away_from_the_checkout(installed: Path) -> None:
    script = f"""
import importlib, importlib.util
for name in {PACKAGES!r}:
    print(importlib.import_module(name).__file__)
for name in ("tests", "migrations", "bench"):
    assert importlib.util.find_spec(name) is None, name
"""
    files = run(installed / "python", "-c", script, cwd=installed).splitlines()
    assert len(files) == len(PACKAGES)
    for file in files:
        assert Path(file).is_relative_to(installed.parent)


def test_the_command_runs_away_from_the_checkout(installed: Path) -> None:
    assert "Usage: offhook" in run(installed / "offhook", "--help", cwd=installed)
