"""Values as Python code: each on one line if it fits, else an argument a line. Pure.

Ids of legs, client states, long texts and secrets become constants: `Constants` has them in the
order in which they were met.
"""

import base64
import binascii
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from offhook.redact import HIDDEN

WIDTH = 88
TEXT_CHARS_MAX = 60
"""A longer text becomes a constant."""

NOTE_CHARS_MAX = 100

_NOT_COPIED = "a secret is not copied: set what the flow sends"


@dataclass
class Constants:
    """The constants of a file. `notes` has a comment for some of them."""

    values: dict[str, str] = field(default_factory=dict)  # by name
    notes: dict[str, str] = field(default_factory=dict)
    _names: dict[str, str] = field(default_factory=dict)  # by value
    _counts: dict[str, int] = field(default_factory=dict)  # by kind

    def leg(self, call_control_id: str, note: str = "") -> None:
        """Give a leg a name."""
        self._add("LEG", call_control_id, note)

    def name_of(self, text: str, parameter: str) -> str | None:
        """The name of the constant, which is added if the text is worth one; else None."""
        if HIDDEN in text:
            name = _upper(parameter)
            if self.values.setdefault(name, text) != text:
                return self._add(name, text, _NOT_COPIED)  # another URL
            self.notes[name] = _NOT_COPIED
            return name
        if text in self._names:
            return self._names[text]
        if parameter.endswith("client_state") and text:
            return self._add("STATE", text, _decoded(text))
        if len(text) > TEXT_CHARS_MAX:
            return self._add("TEXT", text)
        return None

    def lines(self) -> Iterator[str]:
        """An assignment each."""
        for name, text in self.values.items():
            if note := self.notes.get(name):
                yield f"# {comment(note)}"
            whole = f"{name} = {text_code(text)}"
            if len(whole) <= WIDTH:
                yield whole
                continue
            yield f"{name} = ("
            room = WIDTH - 18  # escapes take more than the character
            for start in range(0, len(text), room):
                yield f"    {text_code(text[start : start + room])}"
            yield ")"

    def _add(self, kind: str, text: str, note: str = "") -> str:
        if text not in self._names:
            # Counted along: a webhook may have thousands of long texts.
            number = self._counts[kind] = self._counts.get(kind, 0) + 1
            name = f"{kind}_{number}"
            self._names[text] = name
            self.values[name] = text
            if note:
                self.notes[name] = note
        return self._names[text]


@dataclass
class Imports:
    """What a file imports from `offhook`, as the code is written."""

    names: set[str] = field(default_factory=set)
    has_times: bool = False


@dataclass(frozen=True)
class _Call:
    """`opening`, parts with commas in between, `closing`."""

    opening: str
    parts: Sequence[tuple[str, "str | _Call"]]  # with what stands before each: `name=`
    closing: str

    def flat(self) -> str:
        inside = ", ".join(
            before + (part if isinstance(part, str) else part.flat()) for before, part in self.parts
        )
        return self.opening + inside + self.closing


class Writer:
    """Writes values, and collects what they need."""

    def __init__(self) -> None:
        self.constants = Constants()
        self.imports = Imports()

    def lines(self, value: Any, *, indent: int = 0, after: str = "") -> list[str]:
        """The code of a value, indented, with `after` behind it."""
        return _laid_out(self._node(value, ""), indent, "", after)

    def call(self, name: str, values: Sequence[Any], *, indent: int) -> list[str]:
        """A call with positional arguments."""
        parts = [("", self._node(value, "")) for value in values]
        return _laid_out(_Call(f"{name}(", parts, ")"), indent, "", "")

    def _node(self, value: Any, parameter: str) -> "str | _Call":
        match value:
            case str():
                return self.constants.name_of(value, parameter) or text_code(value)
            case datetime():
                self.imports.has_times = True
                at = value.astimezone(UTC).isoformat().replace("+00:00", "Z")
                return f'at("{at}")'
            case Mapping():
                parts = [
                    (f"{text_code(str(name))}: ", self._node(each, str(name)))
                    for name, each in value.items()
                ]
                return _Call("{", parts, "}")
            case tuple():
                return _Call("(", self._items(value, parameter), ",)" if len(value) == 1 else ")")
            case list():
                return _Call("[", self._items(value, parameter), "]")
            case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
                self.imports.names.add(type(value).__name__)
                return _Call(f"{type(value).__name__}(", list(self._arguments(value)), ")")
            case _:
                return repr(value)

    def _items(self, values: Sequence[Any], parameter: str) -> "list[tuple[str, str | _Call]]":
        return [("", self._node(each, parameter)) for each in values]

    def _arguments(self, value: Any) -> "Iterator[tuple[str, str | _Call]]":
        """Those that differ from the defaults."""
        for item in dataclasses.fields(value):
            given = getattr(value, item.name)
            default = item.default
            if item.default_factory is not dataclasses.MISSING:
                default = item.default_factory()
            if default is dataclasses.MISSING or given != default:
                yield f"{item.name}=", self._node(given, item.name)


def _laid_out(node: "str | _Call", indent: int, before: str, after: str) -> list[str]:
    room = WIDTH - indent - len(before) - len(after)
    flat = node if isinstance(node, str) else node.flat()
    margin = " " * indent
    if isinstance(node, str) or len(flat) <= room or not node.parts:
        return [f"{margin}{before}{flat}{after}"]
    lines = [f"{margin}{before}{node.opening}"]
    for name, part in node.parts:
        lines += _laid_out(part, indent + 4, name, ",")
    return [*lines, f"{margin}{node.closing.lstrip(',')}{after}"]


def text_code(text: str) -> str:
    """A text in double quotes, if it has none."""
    code = repr(text)
    return f'"{code[1:-1]}"' if code.startswith("'") and '"' not in text else code


def comment(text: str) -> str:
    """A text for a comment: one line, printable, not longer than NOTE_CHARS_MAX."""
    first = next(iter(text.splitlines()), "")
    plain = "".join(each if each.isprintable() else " " for each in first)
    return plain if len(plain) <= NOTE_CHARS_MAX else f"{plain[: NOTE_CHARS_MAX - 1]}…"


def identifier(text: str) -> str:
    """A name for Python, in lower case."""
    plain = "".join(each if each.isalnum() and each.isascii() else "_" for each in text).lower()
    return plain.strip("_") or "it"


def _upper(parameter: str) -> str:
    name = identifier(parameter).upper()
    return name if name[0].isalpha() else f"SECRET_{name}"


def _decoded(client_state: str) -> str:
    """What is in a typed client_state; empty if it is something else."""
    try:
        text = base64.b64decode(client_state, validate=True)
        msgspec.json.decode(text)
        return text.decode()
    except (binascii.Error, ValueError, RecursionError):
        return ""
