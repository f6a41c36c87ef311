"""Values against a type: the first place that is wrong, its value, and what is allowed there.

msgspec finds it and reports types; here its message becomes a place (`to[1]`,
`conference_config.hold_audio_url`) and a rule in the carrier's terms. Objects with entries that
they do not have are found too: msgspec reads those without them, which would forward what nobody
has checked.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import msgspec
from msgspec.inspect import (
    DataclassType,
    DictType,
    ListType,
    LiteralType,
    Metadata,
    StructType,
    Type,
    TypedDictType,
    UnionType,
    type_info,
)

from offhook.commands.objects import OPEN_OBJECTS

CHOICES_SHOWN_MAX = 50


class Wrong(NamedTuple):
    """`place` starts with the name of a field; `value` is None if there is none."""

    place: str
    value: object
    rule: str

    @property
    def name(self) -> str:
        """The field's name."""
        return re.split(r"[.\[]", self.place)[0]

    @property
    def inside(self) -> str:
        """The rest of the place (`[1]`, `.type`); empty for the field itself."""
        return self.place[len(self.name) :]


def wrong_in(kind: type, values: Mapping[str, Any]) -> Wrong | None:
    """The first place that `kind`, a dataclass or a struct, does not allow in its fields.

    The caller sees to it that `values` has only fields of the type.
    """
    try:
        msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        return _named(kind, values, str(error))
    unknown = (
        Wrong(place, one, _NO_SUCH)
        for name, value in values.items()
        if isinstance(value, Mapping | list)
        for inner in _inside(_type_of(kind), name)
        for place, one in _unknown_in(inner, value, name)
    )
    return next(unknown, None)


def broken_rule(message: str, values: Mapping[str, Any]) -> Wrong:
    """A rule's message, "place: rule", taken apart."""
    place, _, rule = message.partition(": ")
    return Wrong(place, _value_at(place, values), rule)


def kinds_at(kind: type, name: str) -> tuple[Type, ...]:
    """The types of a field, without their annotations."""
    return tuple(one for inner in _inside(_type_of(kind), name) for one in _members(inner))


_NO_SUCH = "there is no such parameter"
_ANY_ENTRY = "[...]"
_AT = re.compile(r" - at (?:`key` in )?`\$\.?(?P<path>[^`]*)`$")
_MISSING = re.compile(r"^Object missing required field `(?P<name>[^`]+)`")
_UNKNOWN = re.compile(r"^Object contains unknown field `(?P<name>[^`]+)`")


def _named(kind: type, values: Mapping[str, Any], message: str) -> Wrong:
    """msgspec's message as place, value and what is allowed."""
    at = _AT.search(message)
    path = at["path"] if at else ""
    for trouble, rule in ((_MISSING, "it is required"), (_UNKNOWN, _NO_SUCH)):
        if found := trouble.match(message):
            place = f"{path}.{found['name']}" if path else found["name"]
            return Wrong(place, _value_at(place, values), rule)
    if at is None:  # one of the type's own rules
        return broken_rule(message, values)
    expected = message[: at.start()]
    if "matching regex" in expected:
        rule = f"expected {_description_at(kind, path)}"
    elif expected.startswith("Invalid enum value"):
        rule = f"expected one of {_listed(_choices(kind, path))}"
    else:
        rule = _in_words(expected)
    # msgspec does not say which entry of a map it is: the map is shown.
    place = path.partition(_ANY_ENTRY)[0]
    return Wrong(place, _value_at(place, values), rule)


_BOUND = re.compile(r"^Expected `(\w+)`( of length)? ([<>]=?) (-?[\d.]+)$")
_OTHER_TYPE = re.compile(r"^Expected `([^`]+)`, got `(\w+)`$")
_SIGNS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}
_UNITS = {"str": ("character", "characters"), "array": ("entry", "entries")}
_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a text",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


def _in_words(expected: str) -> str:
    if bound := _BOUND.match(expected):
        kind, of_length, sign, number = bound.groups()
        rule = f"expected {_SIGNS[sign]} {number.removesuffix('.0')}"
        return f"{rule} {_UNITS[kind][number != '1']}" if of_length else rule
    if other := _OTHER_TYPE.match(expected):
        wanted, got = other.groups()
        kinds = [_TYPES[name] for name in wanted.split(" | ") if name != "null"]
        return f"expected {' or '.join(kinds)}, got {_TYPES[got]}"
    return expected


def _listed(choices: Sequence[object]) -> str:
    shown = ", ".join(map(repr, choices[:CHOICES_SHOWN_MAX]))
    more = len(choices) - CHOICES_SHOWN_MAX
    return f"{shown} and {more} more" if more > 0 else shown


def _steps(path: str) -> list[str | int]:
    """`voices[1].type` as names and positions; an entry of a map that is not said is one too."""
    steps = re.findall(r"\[\.\.\.\]|[^.\[\]]+", path)
    return [int(step) if step.isdigit() else step for step in steps]


def _value_at(path: str, values: Any) -> Any:
    for step in _steps(path):
        values = values[step] if isinstance(step, int) else values.get(step)
        if values is None:
            return None
    return values


def _at(kind: type, path: str) -> list[Type]:
    """What a place may be."""
    kinds = [_type_of(kind)]
    for step in _steps(path):
        kinds = [inner for one in kinds for inner in _inside(one, step)]
    return kinds


def _choices(kind: type, path: str) -> tuple[object, ...]:
    """The enum's values at a place."""
    members = [member for one in _at(kind, path) for member in _members(one)]
    return tuple(value for one in members if isinstance(one, LiteralType) for value in one.values)


def _description_at(kind: type, path: str) -> str:
    """The words of the type at a place that has a pattern."""
    unions = [one.types if isinstance(one, UnionType) else (one,) for one in _at(kind, path)]
    described = (one for members in unions for one in members if isinstance(one, Metadata))
    return str((next(described).extra_json_schema or {})["description"])


@cache
def _type_of(kind: type) -> Type:
    return type_info(kind)


def _members(kind: Type) -> tuple[Type, ...]:
    """The members of a union, without their annotations."""
    if isinstance(kind, Metadata):
        return _members(kind.type)
    if isinstance(kind, UnionType):
        return tuple(member for one in kind.types for member in _members(one))
    return (kind,)


def _inside(kind: Type, step: str | int) -> Iterator[Type]:
    """The types that the value at `step` of a value of this type can have."""
    for member in _members(kind):
        if isinstance(member, DataclassType | StructType | TypedDictType):
            yield from (field.type for field in member.fields if field.name == step)
        elif isinstance(member, DictType):
            yield member.value_type
        elif isinstance(member, ListType) and isinstance(step, int):
            yield member.item_type


def _unknown_in(kind: Type, value: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Place and value of each entry of an object that the object does not have."""
    for member in _members(kind):
        if isinstance(value, Mapping):
            known = _names_of(member)
            for name, one in value.items():
                if known is not None and name not in known:
                    yield f"{place}.{name}", one
                for inner in _inside(member, name):
                    yield from _unknown_in(inner, one, f"{place}.{name}")
        elif isinstance(value, list):
            for position, one in enumerate(value):
                for inner in _inside(member, position):
                    yield from _unknown_in(inner, one, f"{place}[{position}]")


def _names_of(kind: Type) -> frozenset[str] | None:
    """The entries an object of this type can have; None if it is open, or no object."""
    if not isinstance(kind, DataclassType | StructType | TypedDictType) or kind.cls in OPEN_OBJECTS:
        return None
    return frozenset(field.name for field in kind.fields)
