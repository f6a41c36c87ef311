"""Generates the commands from the official SDK, which is a development dependency.

    .venv/bin/python -m scripts.generate_commands

    offhook/commands/objects.py   the objects that parameters may be
    offhook/commands/actions/     a command for every action that is not written by hand
    docs/operations.md             operation, command, endpoint, SDK call, events to expect
    docs/parameters.md             parameters of every command: required, default, allowed
    api/telnyx/descriptions.json   what each parameter is, for /docs

Names, types, enums and required parameters are the SDK's; what only its descriptions contain is in
`scripts/command_refinements.py`. A test generates the files again and compares.
"""

import ast
import re
import subprocess
import sys
import textwrap
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import telnyx
from typing_extensions import NoExtraItems, is_typeddict

from scripts import operations_page, parameter_descriptions, parameters_page
from scripts.command_refinements import (
    BY_HAND,
    DOCS,
    GROUPS,
    NAMES,
    OBJECT_DOCS,
    RULES,
    TYPES,
    UNTYPED,
)
from scripts.sdk import Entry, SdkOperation, entries_of, sdk_operations

ROOT = Path(__file__).resolve().parents[1]
LONG_ENUM = 9
"""An enum with at least this many values gets its own name."""


def generated() -> dict[Path, str]:
    """Every generated file and its contents; the pages describe the commands as they are loaded."""
    return generated_modules() | generated_pages()


def generated_modules() -> dict[Path, str]:
    """The modules of the commands."""
    operations = sorted(sdk_operations(), key=lambda operation: operation.name)
    _check_refinements(operations)
    objects = Objects()
    commands = [command_source(operation, objects) for operation in operations]
    return {
        ROOT / "offhook/commands/objects.py": _formatted(objects_source(objects)),
        **{
            ROOT / "offhook/commands/actions" / name: _formatted(source)
            for name, source in actions_sources(operations, commands, objects).items()
        },
    }


def generated_pages() -> dict[Path, str]:
    """The pages of docs, and the descriptions in /docs."""
    return {
        ROOT / "docs/operations.md": operations_page.page(list(sdk_operations())),
        ROOT / "docs/parameters.md": parameters_page.page(),
        ROOT / "api/telnyx/descriptions.json": parameter_descriptions.contents(sdk_operations()),
    }


def _check_refinements(operations: Iterable[SdkOperation]) -> None:
    grouped = {name for _, listed in GROUPS.values() for name in listed.split()}
    for name in sorted({operation.name for operation in operations} - BY_HAND):
        if name not in DOCS or name not in grouped:
            sys.exit(
                f"scripts/command_refinements.py does not describe the SDK's operation {name!r}: "
                "add its docstring to DOCS, and its name to one of GROUPS"
            )


# ------------------------------------------------------------------ types


@dataclass
class Objects:
    """The named types found so far, each after the types it uses."""

    sources: dict[str, str] = field(default_factory=dict)
    open: set[str] = field(default_factory=set)

    def type_of(self, entry: Entry, owner: str) -> str:
        """The type's source. `owner` is the operation, or the object that the entry belongs to."""
        for known in (f"{owner}.{entry.name}", entry.name):
            if known in TYPES:
                return TYPES[known]
        untyped = {f"{owner}.{entry.name}", entry.name} & UNTYPED
        return self._source(entry.kind, f"{owner}.{entry.name}", bool(untyped))

    def _source(self, kind: Any, place: str, untyped: bool = False) -> str:
        origin, arguments = get_origin(kind), get_args(kind)
        if origin is Literal:
            return self._enum(arguments, place)
        if is_typeddict(kind):
            return "dict[str, Any]" if untyped else self._object(kind)
        if origin in (Union, types.UnionType):
            if all(is_typeddict(one) for one in arguments):
                return "dict[str, Any]" if untyped else self._tagged(arguments, place)
            return " | ".join(self._source(one, place, untyped) for one in arguments)
        if origin is dict:
            return f"dict[str, {self._source(arguments[1], place, untyped)}]"
        if origin is not None and issubclass(origin, Iterable):
            return f"list[{self._source(arguments[0], place, untyped)}]"
        if kind is type(None):
            return "None"
        return "Any" if kind is object else str(kind.__name__)

    def _enum(self, values: Sequence[object], place: str) -> str:
        if set(values) == {True, False}:
            return "bool"
        listed = ", ".join(
            f'"{value}"' if isinstance(value, str) else repr(value) for value in values
        )
        if len(values) < LONG_ENUM:
            return f"Literal[{listed}]"
        name = _named(place)
        wrapper = textwrap.TextWrapper(
            96, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False
        )
        lines = wrapper.wrap(listed + ",")
        source = "\n".join([f"{name} = Literal[", *lines, "]  # fmt: skip"])
        assert self.sources.setdefault(name, source) == source, f"two enums are called {name}"
        return name

    def _object(self, typed_dict: type) -> str:
        key = f"{typed_dict.__module__.rpartition('.')[2]}.{typed_dict.__name__}"
        name = NAMES.get(key) or re.sub(r"Params?$", "", typed_dict.__name__)
        is_open = getattr(typed_dict, "__extra_items__", NoExtraItems) is not NoExtraItems
        return self._typed_dict(name, entries_of(typed_dict), is_open)

    def _tagged(self, members: Sequence[type], place: str) -> str:
        """Objects distinguished by a tag, merged into one: only the tag is required."""
        merged: dict[str, Entry] = {}
        for member in members:
            for entry in entries_of(member):
                known = merged.get(entry.name)
                kind = known.kind | entry.kind if known and known.kind != entry.kind else entry.kind
                if get_origin(kind) in (Union, types.UnionType) and known:
                    values = [value for one in get_args(kind) for value in get_args(one)]
                    kind = Literal[tuple(values)]  # type: ignore[valid-type]
                merged[entry.name] = Entry(entry.name, kind, False)
        tag = next(name for name in ("type", "role") if name in merged)
        merged[tag] = Entry(tag, merged[tag].kind, True)
        is_open = any(
            getattr(member, "__extra_items__", NoExtraItems) is not NoExtraItems
            for member in members
        )
        entries = sorted(merged.values(), key=lambda entry: not entry.required)
        return self._typed_dict(_named(place), entries, is_open)

    def _typed_dict(self, name: str, entries: Sequence[Entry], is_open: bool) -> str:
        types_of = {entry.name: self.type_of(entry, name) for entry in entries}
        if any(not entry.name.isidentifier() for entry in entries):
            assert not any(entry.required for entry in entries), name
            lines = [f'    "{entry}": {kind},' for entry, kind in types_of.items()]
            source = "\n".join(
                [f'{name} = TypedDict("{name}", {{', *lines, "}, total=False)"],
            )
        else:
            lines = [
                f"    {entry.name}: "
                + (f"Required[{types_of[entry.name]}]" if entry.required else types_of[entry.name])
                for entry in entries
            ]
            head = [f"class {name}(TypedDict, total=False):", f'    """{OBJECT_DOCS[name]}"""', ""]
            source = "\n".join([*head, *lines])
        assert self.sources.setdefault(name, source) == source, f"two objects are called {name}"
        if is_open:
            self.open.add(name)
        return name


def _named(place: str) -> str:
    names = (NAMES.get(place), NAMES.get(place.partition(".")[2]))
    name = next((name for name in names if name), None)
    assert name, f"{place} needs a name in NAMES"
    return name


# ------------------------------------------------------------------ sources


def command_source(operation: SdkOperation, objects: Objects) -> str:
    """Source of the command's class; empty for a command written by hand."""
    entries = entries_of(operation.parameters)
    known = {entry.name: entry for entry in entries}
    fields = []
    for entry in entries:
        if entry.name == "command_id" or (entry.name == "client_state" and not entry.required):
            continue
        if operation.name in BY_HAND and get_origin(entry.kind) is Literal:
            continue
        kind = objects.type_of(entry, operation.name)
        fields.append(f"{entry.name}: {kind}" + ("" if entry.required else " | None = None"))
    if operation.name in BY_HAND:
        return ""
    stateful = "client_state" in known and not known["client_state"].required
    bases = "LegCommand, Stateful" if stateful else "LegCommand"
    classvars = [f'operation: ClassVar[str] = "{operation.name}"']
    if operation.http_method != "POST":
        classvars.append(f'method: ClassVar[Literal["POST", "PUT"]] = "{operation.http_method}"')
    if "command_id" not in known:
        classvars.append("takes_command_id: ClassVar[bool] = False")
    if rules := RULES.get(operation.name):
        classvars.append(f"rules: ClassVar[tuple[Rule, ...]] = ({', '.join(rules)},)")
    lines = [
        "@dataclass(frozen=True, kw_only=True)",
        f"class {operation.class_name}({bases}):",
        f'    """{DOCS[operation.name]}"""',
        "",
        *(f"    {line}" for line in classvars),
        "",
        *(f"    {line}" for line in fields),
    ]
    return "\n".join(lines)


def objects_source(objects: Objects) -> str:
    """The module `offhook.commands.objects`."""
    body = "\n\n\n".join(objects.sources.values())
    names = ", ".join(sorted(objects.open))
    return f'''"""The objects that parameters may be, and the longer enums. Generated: do not edit.

Made by `scripts/generate_commands.py` from the official Python SDK {telnyx.__version__}, with the
bounds of `scripts/command_refinements.py`. Values are dictionaries;
`offhook.commands.catalog` checks them, and refuses unknown entries, except in OPEN_OBJECTS.
"""

{_imports(body, {_PARAMETERS: _defined_in(_PARAMETERS)})}

{body}


OPEN_OBJECTS: frozenset[object] = frozenset({{{names}}})
"""Objects that the SDK declares open for more entries."""
'''


_PARAMETERS = "offhook.commands.parameters"
_BASE = "offhook.commands.base"
_OBJECTS = "offhook.commands.objects"


def actions_sources(
    operations: Sequence[SdkOperation], commands: Sequence[str], objects: Objects
) -> dict[str, str]:
    """The package `offhook.commands.actions`: file name -> source."""
    by_operation = {
        operation.name: source
        for operation, source in zip(operations, commands, strict=True)
        if source
    }
    groups = {module: listed.split() for module, (_, listed) in GROUPS.items()}
    grouped = sorted(name for listed in groups.values() for name in listed)
    assert grouped == sorted(by_operation), "each operation is in one of GROUPS"
    files = {
        f"{module}.py": group_source(
            GROUPS[module][0], [by_operation[name] for name in listed], objects
        )
        for module, listed in groups.items()
    }
    modules = sorted(groups)
    table = "".join(f"    {GROUPS[module][0]:<68} {module}.py\n" for module in modules)
    stars = "".join(f"from offhook.commands.actions.{module} import *\n" for module in modules)
    kinds = {name: _class_names(source)[0] for name, source in sorted(by_operation.items())}
    listed = "".join(f"    {kind},\n" for kind in kinds.values())
    files[
        "__init__.py"
    ] = f'''"""Commands for the actions that are not written by hand. Generated: do not edit.

{table}
Made by `scripts/generate_commands.py` from the official Python SDK {telnyx.__version__};
docstrings, bounds, rules and groups are in `scripts/command_refinements.py`. Import the commands
from `offhook.commands`, which has them all.
"""

# ruff: noqa: F403, F405
{stars}from offhook.commands.base import LegCommand

ACTIONS: tuple[type[LegCommand], ...] = (
{listed})
"""In the order of their operations' names."""
'''
    return files


def group_source(docstring: str, commands: Sequence[str], objects: Objects) -> str:
    """One module of `offhook.commands.actions`."""
    body = "\n\n\n".join(commands)
    listed = "".join(f'    "{name}",\n' for name in _class_names(body))
    ours = {name: _defined_in(name) for name in (_PARAMETERS, _BASE)}
    ours[_OBJECTS] = set(objects.sources)
    return f'''"""{docstring} Generated: do not edit."""

{_imports(body, ours)}

__all__ = [
{listed}]


{body}
'''


def _class_names(source: str) -> list[str]:
    return re.findall(r"^class (\w+)", source, re.MULTILINE)


def _imports(body: str, ours: Mapping[str, set[str]]) -> str:
    """The imports that `body` needs. `ours`: the names defined by each of our modules."""
    used = set(re.findall(r"\b[A-Za-z]\w*\b", re.sub(r'"[^"\n]*"', "", body)))
    names = ", ".join(sorted(used & {"Annotated", "Any", "ClassVar", "Literal", *_TYPED_DICT}))
    lines = ["from dataclasses import dataclass"] if "dataclass" in used else []
    lines += [f"from typing import {names}", ""]
    lines += ["from msgspec import Meta", ""] if "Meta" in used else []
    lines += [
        f"from {module} import {', '.join(sorted(used & names))}"
        for module, names in sorted(ours.items())
        if used & names
    ]
    return "\n".join(lines)


_TYPED_DICT = ("Required", "TypedDict")


def _defined_in(module: str) -> set[str]:
    """The top-level names of one of our modules."""
    tree = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text())
    classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    targets = [one for node in tree.body if isinstance(node, ast.Assign) for one in node.targets]
    return classes | {target.id for target in targets if isinstance(target, ast.Name)}


def _formatted(source: str) -> str:
    ruff = Path(sys.executable).parent / "ruff"
    command = [str(ruff), "format", "--stdin-filename", "generated.py", "-"]
    return subprocess.run(
        command, input=source, capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout


def _write(files: Mapping[Path, str]) -> None:
    for path, contents in files.items():
        path.write_text(contents)


if __name__ == "__main__":
    if sys.argv[1:] == ["pages"]:
        _write(generated_pages())
    else:
        _write(generated_modules())
        # The pages are made from the commands, so a process that has loaded the new ones does it.
        module = "scripts.generate_commands"
        sys.exit(subprocess.run([sys.executable, "-m", module, "pages"], cwd=ROOT).returncode)
