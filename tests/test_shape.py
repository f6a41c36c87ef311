"""The shape of the tree, where no linter looks: packages, tests, locks."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = ("deploy/locks/run.lock", "deploy/locks/dev.lock")
EVERY_LOCK = (*LOCKS, "deploy/locks/image.lock")


def pins(lock: str) -> dict[str, str]:
    """Canonical name -> version."""
    text = (ROOT / lock).read_text()
    return {
        canonicalize_name(name): version
        for name, version in re.findall(r"^([\w.-]+)==([^\s;]+)", text, flags=re.MULTILINE)
    }


ROOMS = ("ingress", "workers", "projections", "api", "simulator", "cli", "migrations")


def test_the_rooms_at_the_root_are_in_the_package_by_links_and_nothing_else_is() -> None:
    links = {
        path.name: path.readlink() for path in (ROOT / "offhook").iterdir() if path.is_symlink()
    }
    assert links == {room: Path("..") / room for room in ROOMS}


def test_every_package_at_the_root_is_a_room() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"offhook"}
    assert packages == set(ROOMS) - {"migrations"}


def test_no_room_can_be_imported_by_its_name_alone() -> None:
    banned = PYPROJECT["tool"]["ruff"]["lint"]["flake8-tidy-imports"]["banned-api"]
    assert set(banned) == set(ROOMS)


@pytest.mark.parametrize("folder", ["tests", "migrations", "bench", "examples"])
def test_what_is_no_package_has_no_init_file(folder: str) -> None:
    """One would make mypy and pytest name the modules below it from there, not from the root."""
    assert list((ROOT / folder).rglob("__init__.py")) == []


def test_the_migrations_are_one_line_in_the_order_of_their_numbers() -> None:
    """Two changes that are made side by side easily take the same number."""
    before: str | None = None
    for path in sorted((ROOT / "migrations/versions").glob("*.py")):
        text = path.read_text()
        found = re.search(r'^revision = "(\w+)"$', text, flags=re.MULTILINE)
        down = re.search(r"^down_revision = (?:\"(\w+)\"|None)$", text, flags=re.MULTILINE)
        assert found is not None, path.name
        assert down is not None, path.name
        assert path.name.startswith(f"{found[1]}_"), path.name
        assert down[1] == before != found[1], path.name
        before = found[1]


@pytest.mark.parametrize("lock", EVERY_LOCK)
def test_the_lock_names_no_index(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert not [line for line in text.splitlines() if line.startswith(("-", "#"))]


@pytest.mark.parametrize("lock", EVERY_LOCK)
def test_every_pin_of_the_lock_has_a_hash(lock: str) -> None:
    entries = re.split(r"\n(?=\S)", (ROOT / lock).read_text().strip())
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_satisfies_pyproject(lock: str) -> None:
    project = PYPROJECT["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["embedded"]
    groups = PYPROJECT["dependency-groups"]
    wanted = wanted + groups["build"]
    if lock.endswith("dev.lock"):
        wanted = wanted + [text for text in groups["dev"] if isinstance(text, str)]
    locked = pins(lock)
    for text in wanted:
        requirement = Requirement(text)
        version = locked.get(canonicalize_name(requirement.name))
        assert version is not None, f"{lock} lacks {text}: run scripts/lock"
        assert requirement.specifier.contains(version), f"{lock} has {version}, not {text}"


def test_the_tests_run_what_users_run() -> None:
    assert pins("deploy/locks/run.lock").items() <= pins("deploy/locks/dev.lock").items()
