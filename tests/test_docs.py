"""The pages name files that exist, and the architecture page names every package."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "bench/README.md")),
    *(ROOT / "docs").rglob("*.md"),
]
FOLDERS = (
    "offhook|ingress|workers|projections|api|simulator|cli"
    "|migrations|tests|bench|scripts|docs|deploy|examples"
)
FILE = re.compile(rf"`((?:{FOLDERS})/[\w./-]+\.\w+)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    named = set(FILE.findall(page.read_text()))
    assert {name for name in named if not (ROOT / name).is_file()} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_no_two_decision_notes_have_one_number() -> None:
    names = sorted(path.name for path in (ROOT / "docs/decisions").glob("*.md"))
    numbers = [name.partition("-")[0] for name in names]
    assert [name for name in names if numbers.count(name.partition("-")[0]) > 1] == []


def test_the_architecture_page_says_where_every_package_is() -> None:
    section = (ROOT / "docs/architecture.md").read_text().partition("## Where things are")[2]
    folders: set[str] = set()
    for row in section.partition("### ")[0].splitlines():
        if not row.startswith(("| `", "| **`")):
            continue
        first, _, start = row.strip("| ").split(" | ")
        named = re.findall(r"`([\w/]+)/`", first)
        for name in re.findall(r"`([\w./]+)`", start):
            assert any((ROOT / folder / name).exists() for folder in named), row
        folders.update(named)
    packages = {
        str(path.parent.relative_to(ROOT))
        for room in {folder.partition("/")[0] for folder in folders}
        for path in (ROOT / room).rglob("__init__.py")
    }
    # In offhook/, a symbolic link leads to a folder with its own row. Deeper packages have none.
    listed = {each for each in packages if not (ROOT / each).is_symlink() and each.count("/") < 2}
    assert folders
    assert listed - folders == set()
