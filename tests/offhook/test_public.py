"""What `import offhook` gives: the names a flow needs, and nothing loaded before it is used."""

import ast
import inspect
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import offhook
from offhook.carrier_events import BY_TYPE
from offhook.commands import COMMANDS

ROOT = Path(__file__).parents[2]
PUBLIC_MODULES = {"offhook", "offhook.testing", "offhook.commands.objects"}
PAGES = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").glob("*.py")]


@pytest.mark.parametrize("name", offhook.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(offhook, name).__module__ != "offhook"


def test_no_name_is_listed_twice() -> None:
    assert len(offhook.__all__) == len(set(offhook.__all__))


def test_every_command_and_every_event_is_public() -> None:
    kinds = {*COMMANDS.values(), *BY_TYPE.values()}
    assert {kind.__name__ for kind in kinds} - set(offhook.__all__) == set()


def test_type_checkers_see_the_same_names() -> None:
    (checked,) = (
        node for node in ast.parse(inspect.getsource(offhook)).body if type(node) is ast.If
    )
    named: set[str] = set()
    starred: set[str] = set()
    for node in checked.body:
        assert isinstance(node, ast.ImportFrom)
        assert node.module is not None
        names = {alias.name for alias in node.names}
        if names == {"*"}:
            starred |= vars(import_module(node.module)).keys()
        else:
            named |= names
    assert named <= set(offhook.__all__) <= named | starred


def test_what_is_not_public_is_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'offhook' has no attribute 'Anser'"):
        getattr(offhook, "Anser")  # noqa: B009, mypy knows that it is not there
    assert set(offhook.__all__) <= set(dir(offhook))


def test_importing_offhook_loads_no_module_of_it_and_a_flow_no_input_or_output() -> None:
    script = """
import sys, offhook
print(*(name for name in sys.modules if name.startswith("offhook.")))
for name in offhook.__all__:
    getattr(offhook, name)
print(*sys.modules)
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    at_once, at_last = (set(line.split()) for line in done.stdout.split("\n")[:2])
    assert at_once == set()
    assert "offhook.flow" in at_last
    assert at_last & {"asyncio", "httpx", "logging", "nats", "socket", "sqlalchemy", "ssl"} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_docs_and_examples_import_public_modules_alone(page: Path) -> None:
    found = re.findall(r"^\s*(?:from|import) (offhook[\w.]*)", page.read_text(), re.MULTILINE)
    assert set(found) <= PUBLIC_MODULES
