"""Maps and sets that are values: adding to one gives another and leaves the first as it was. Pure.

A short one is a plain dict or frozenset, which is copied: most calls have these, and nothing is
faster or smaller. A long one shares its structure with its predecessor, so that an addition costs
the same whatever the length. Maps keep the order of insertion, as a dict does.
"""

from collections.abc import Collection, Hashable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, TypeVar

from rpds import HashTrieMap, HashTrieSet, List

COPIED_MAX = 32
"""Up to this many entries copying takes no longer than sharing."""

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


def with_entry(held: Mapping[Key, Value], key: Key, value: Value) -> Mapping[Key, Value]:
    """`held` with the value under this key; a new key comes last."""
    if type(held) is LongMap:  # not isinstance: of an abstract class it takes longer than the copy
        return held.with_entry(key, value)
    if len(held) < COPIED_MAX or key in held:
        return {**held, key: value}
    return LongMap.of(held).with_entry(key, value)


def with_entries(held: Mapping[Key, Value], more: Mapping[Key, Value]) -> Mapping[Key, Value]:
    """`held` and these entries, whose keys are all new; they come last, in their order."""
    if type(held) is not LongMap:
        if len(held) + len(more) <= COPIED_MAX:
            return {**held, **more}
        held = LongMap.of(held)
    return held.with_entries(more)


def with_member(held: AbstractSet[Key], member: Key) -> AbstractSet[Key]:
    """`held` and this member."""
    if isinstance(held, HashTrieSet):
        return held.insert(member)
    if member in held:
        return held
    if len(held) < COPIED_MAX:
        return held | {member}
    return HashTrieSet(held).insert(member)


def with_members(held: AbstractSet[Key], more: Collection[Key]) -> AbstractSet[Key]:
    """`held` and these members."""
    if not isinstance(held, HashTrieSet):
        if len(held) + len(more) <= COPIED_MAX:
            return frozenset((*held, *more))
        held = HashTrieSet(held)
    return held.update(more)


def without_member(held: AbstractSet[Key], member: Key) -> AbstractSet[Key]:
    """`held` without this member, whether or not it had it."""
    if isinstance(held, HashTrieSet):
        return held.discard(member)
    return held - {member} if member in held else held


class LongMap(Mapping[Key, Value]):
    """A map too long to be copied. Equal to any mapping with the same entries."""

    __slots__ = ("_entries", "_newest_first")

    def __init__(self, entries: "HashTrieMap[Key, Value]", newest_first: "List[Key]") -> None:
        self._entries = entries
        # The trie's own order follows the hashes of its keys, which for text differ from one
        # process to the next: a flow that walks the session's commands would decide differently.
        self._newest_first = newest_first

    @classmethod
    def of(cls, held: Mapping[Key, Value]) -> "LongMap[Key, Value]":
        """A map with these entries, in their order."""
        return cls(HashTrieMap(held), List([*held][::-1]))

    def with_entry(self, key: Key, value: Value) -> "LongMap[Key, Value]":
        """This map and the value under this key; a new key comes last."""
        known = key in self._entries
        return LongMap(
            self._entries.insert(key, value),
            self._newest_first if known else self._newest_first.push_front(key),
        )

    def with_entries(self, more: Mapping[Key, Value]) -> "LongMap[Key, Value]":
        """This map and these entries, whose keys are all new."""
        newest_first = self._newest_first
        for key in more:
            newest_first = newest_first.push_front(key)
        return LongMap(self._entries.update(more), newest_first)

    def __getitem__(self, key: Key) -> Value:
        return self._entries[key]

    def get(self, key: Key, default: Any = None) -> Any:
        """As of a dict."""
        return self._entries.get(key, default)

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def __iter__(self) -> Iterator[Key]:
        return iter([*self._newest_first][::-1])

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return repr(dict(self))
