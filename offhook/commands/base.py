"""What every command is made of: its base classes, and the rules over several parameters.

A rule that concerns one parameter is its type, or a value in `checks` where no type can say it; it
is checked before sending, since the value may come from outside. A rule that concerns several is a
value in `rules`, and holds from the moment the command is made: breaking it is a mistake in the
flow. Both are reported as "parameter: rule", which `offhook.commands.catalog` reads.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from offhook.commands.parameters import Base64

Rule = Callable[[Any], None]
"""Given a command, raises ValueError("parameter: what it breaks")."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command to the carrier. `operation` is the carrier's name for it."""

    operation: ClassVar[str] = ""
    method: ClassVar[Literal["POST", "PUT"]] = "POST"
    takes_command_id: ClassVar[bool] = True
    rules: ClassVar[tuple[Rule, ...]] = ()
    checks: ClassVar[tuple[Rule, ...]] = ()
    # Those of all bases hold as well.
    _all_rules: ClassVar[tuple[Rule, ...]] = ()
    _all_checks: ClassVar[tuple[Rule, ...]] = ()

    def __init_subclass__(cls) -> None:
        own = [vars(kind) for kind in cls.__mro__]
        cls._all_rules = tuple(rule for names in own for rule in names.get("rules", ()))
        cls._all_checks = tuple(rule for names in own for rule in names.get("checks", ()))

    def __post_init__(self) -> None:
        for rule in self._all_rules:
            rule(self)

    def check(self) -> None:
        """Raise ValueError if a parameter breaks a rule that its type cannot express."""
        for rule in self._all_checks:
            rule(self)


@dataclass(frozen=True, kw_only=True)
class LegCommand(Command):
    """A command to one leg; None means the leg of the event being decided."""

    call_control_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Stateful:
    """A command that can leave state on its leg: every later webhook brings it back."""

    client_state: Base64 | None = None


def like(name: str, kind: Any) -> Rule:
    """`name`, or each of its entries, has the pattern of `kind` where it is a text.

    For what may be a list instead, whose type cannot have the pattern: see
    `offhook.commands.parameters`.
    """
    pattern, description = re.compile(_meta_of(kind).pattern), _meta_of(kind).description

    def rule(command: Any) -> None:
        value = _value(command, name)
        for one in value.values() if isinstance(value, dict) else (value,):
            if isinstance(one, str) and not pattern.search(one):
                raise ValueError(f"{name}: expected {description}")

    return rule


def _meta_of(kind: Any) -> Any:
    return kind.__metadata__[0]


def not_both(first: str, second: str) -> Rule:
    """At most one of the two."""

    def rule(command: Any) -> None:
        if _value(command, first) is not None and _value(command, second) is not None:
            raise ValueError(f"{first}: it cannot be used together with {second}")

    return rule


def required_with(name: str, *reasons: str) -> Rule:
    """`name` must be there if one of `reasons` is there, and is not False."""

    def rule(command: Any) -> None:
        for reason in reasons:
            if _value(command, reason) not in (None, False) and _value(command, name) is None:
                raise ValueError(f"{name}: it is required with {reason}")

    return rule


def required_when(name: str, reason: str, value: object) -> Rule:
    """`name` must be there if `reason` is `value`."""

    def rule(command: Any) -> None:
        if _value(command, reason) == value and _value(command, name) is None:
            raise ValueError(f"{name}: it is required when {reason} is {value!r}")

    return rule


def only_when(name: str, allowed: object, reason: str, value: object) -> Rule:
    """`name` can be nothing but `allowed` if `reason` is `value`."""

    def rule(command: Any) -> None:
        if _value(command, reason) == value and _value(command, name) not in (None, allowed):
            raise ValueError(f"{name}: expected {allowed!r} when {reason} is {value!r}")

    return rule


def not_above(name: str, limit: str) -> Rule:
    """`name` is not greater than `limit`, where both are there."""

    def rule(command: Any) -> None:
        value, bound = _value(command, name), _value(command, limit)
        if value is not None and bound is not None and value > bound:
            raise ValueError(f"{name}: it cannot be greater than {limit}, which is {bound!r}")

    return rule


def zero_or_from(name: str, minimum: int) -> Rule:
    """`name` is 0, or `minimum` and above."""

    def rule(command: Any) -> None:
        value = _value(command, name)
        if value is not None and value != 0 and value < minimum:
            raise ValueError(f"{name}: expected 0, or {minimum} and above")

    return rule


def not_blank(name: str) -> Rule:
    """`name` is no text of spaces only."""

    def rule(command: Any) -> None:
        value = _value(command, name)
        if isinstance(value, str) and not value.strip():
            raise ValueError(f"{name}: it cannot be blank")

    return rule


def _value(command: Any, path: str) -> Any:
    """A parameter, or with a dot an entry of an object; None if it is not there."""
    name, _, entry = path.partition(".")
    value = getattr(command, name)
    return value.get(entry) if entry and value is not None else value
