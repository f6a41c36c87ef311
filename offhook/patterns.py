"""Search patterns in one text, separated by commas. Pure.

    +12025550101      this value
    +4930*            starts with
    *1234             ends with
    !+1202*           not: takes away from the rest
    * and !*          any value, and none
    +4930*,!*00       starts with +4930, and does not end with 00

A value matches if it matches one of those without "!", or if there are none, and none of those
with it. Every spelling of a number matches (`phone_numbers.spellings`).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

from offhook.errors import SenderFault, shown
from offhook.phone_numbers import spellings

PATTERNS_MAX = 20
"""In one text."""

PATTERN_CHARS_MAX = 200

Kind = Literal["exact", "prefix", "suffix"]


class PatternInvalid(SenderFault):
    """A text is not a list of patterns; the message says what is expected."""


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """A value, or how it starts or ends."""

    kind: Kind
    text: str

    def matches(self, value: str) -> bool:
        """Whether the value is one of these."""
        match self.kind:
            case "exact":
                return value == self.text
            case "prefix":
                return value.startswith(self.text)
            case "suffix":
                return value.endswith(self.text)


@dataclass(frozen=True, kw_only=True)
class Patterns:
    """A value has to match one of `any_of`, if there are any, and none of `none_of`."""

    any_of: Sequence[Pattern]
    none_of: Sequence[Pattern]

    def match(self, *values: str | None) -> bool:
        """Whether one of the values is wanted, and none is unwanted. None matches nothing."""
        known = [value for value in values if value is not None]
        if any(each.matches(value) for each in self.none_of for value in known):
            return False
        return not self.any_of or any(
            each.matches(value) for each in self.any_of for value in known
        )


Spelled: TypeAlias = Callable[[Pattern], Sequence[Pattern]]


@lru_cache(maxsize=100)
def patterns_in(text: str) -> Patterns:
    """The patterns of any text. Raises PatternInvalid."""
    return _read(text, lambda pattern: [pattern])


@lru_cache(maxsize=100)
def number_patterns_in(text: str) -> Patterns:
    """The patterns of a number, in every spelling. Raises PatternInvalid."""
    return _read(text, _spellings)


def _read(text: str, spelled: Spelled) -> Patterns:
    pieces = text.split(",")
    if len(pieces) > PATTERNS_MAX:
        raise PatternInvalid(f"has {len(pieces)} patterns; expected at most {PATTERNS_MAX}")
    any_of: list[Pattern] = []
    none_of: list[Pattern] = []
    for piece in pieces:
        is_negated = piece.strip().startswith("!")
        pattern = _pattern_in(piece.replace("!", "", 1) if is_negated else piece)
        (none_of if is_negated else any_of).extend(spelled(pattern))
    return Patterns(any_of=tuple(any_of), none_of=tuple(none_of))


def _pattern_in(piece: str) -> Pattern:
    piece = piece.rstrip()
    # In a query an unescaped plus sign arrives as a space.
    if _LOST_PLUS.match(piece):
        piece = "+" + piece.lstrip()
    piece = piece.strip()
    if piece == "*":
        return Pattern(kind="prefix", text="")
    fixed = piece.replace("*", "")
    kind: Kind = "exact"
    if piece.endswith("*"):
        kind = "prefix"
    elif piece.startswith("*"):
        kind = "suffix"
    if not fixed or "*" in piece[1:-1] or piece.count("*") > 1:
        raise PatternInvalid(f"has the pattern {shown(piece)}; {_EXPECTED}")
    if len(fixed) > PATTERN_CHARS_MAX:
        raise PatternInvalid(f"has a pattern of {len(fixed)} characters; {_EXPECTED}")
    return Pattern(kind=kind, text=fixed)


def _spellings(pattern: Pattern) -> Sequence[Pattern]:
    if pattern.kind == "exact":
        return [Pattern(kind="exact", text=each) for each in sorted(spellings(pattern.text))]
    digits = _SEPARATORS.sub("", pattern.text)
    if not _NUMBER.fullmatch(digits):
        return [pattern]
    if pattern.kind == "suffix":
        return [Pattern(kind="suffix", text=digits)]
    digits = digits.removeprefix("+")
    return [Pattern(kind="prefix", text=each) for each in (f"+{digits}", digits)]


_EXPECTED = (
    "expected a value, its start and a star (+4930*), or a star and its end (*1234), each with or "
    f"without ! in front, separated by commas, each of at most {PATTERN_CHARS_MAX} characters"
)
_LOST_PLUS = re.compile(r" [0-9]")
_SEPARATORS = re.compile(r"[\s().-]")
_NUMBER = re.compile(r"\+?[0-9]{1,15}")
