"""Maps and sets that are values: adding to one gives another and leaves the first as it was. Pure.

A short one is a plain dict or frozenset, which is copied: most calls have these, and nothing is
faster or smaller. A long one shares what it has with its predecessor, and is copied once in a
while, so that an addition costs the same on average whatever the length. Maps keep the order of
insertion, as a dict does.
"""

from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, TypeVar

from rpds import HashTrieMap, HashTrieSet, List

COPIED_MAX = 32
"""Up to this many entries copying takes no longer than sharing."""

LATER_SHARE = 32
"""A long one is copied after a thirty-second more: what was added later costs more to look up and
to copy. With 10,000 entries that takes less than a millisecond."""

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


def with_entry(held: Mapping[Key, Value], key: Key, value: Value) -> Mapping[Key, Value]:
    """`held` with the value under this key; a new key comes last."""
    if type(held) is LongMap:  # not isinstance: of an abstract class it takes longer than the copy
        return held.with_entry(key, value)
    if len(held) < COPIED_MAX or key in held:
        return {**held, key: value}
    return LongMap(dict(held)).with_entry(key, value)


def map_of(entries: dict[Key, Value]) -> Mapping[Key, Value]:
    """These entries, in their order. The dict must not be changed any more."""
    return LongMap(entries) if len(entries) > COPIED_MAX else entries


def with_member(held: AbstractSet[Key], member: Key) -> AbstractSet[Key]:
    """`held` and this member."""
    if type(held) is LongSet:
        return held.with_member(member)
    if member in held:
        return held
    if len(held) < COPIED_MAX:
        return held | {member}
    return LongSet(frozenset(held)).with_member(member)


def without_member(held: AbstractSet[Key], member: Key) -> AbstractSet[Key]:
    """`held` without this member, whether or not it had it."""
    if type(held) is LongSet:
        return held.without_member(member)
    return held - {member} if member in held else held


def set_of(members: Collection[Key]) -> AbstractSet[Key]:
    """These members, each once."""
    once = frozenset(members)
    return LongSet(once) if len(once) > COPIED_MAX else once


_NONE: Any = object()


class LongMap(Mapping[Key, Value]):
    """A map too long to be copied for each entry. Equal to any mapping with the same entries.

    It is a dict that is never changed, and what was set later. A dict is several times as small and
    as fast as the trie that is shared, and made at once from entries that were stored.
    """

    __slots__ = ("_entries", "_later", "_newest_first")

    def __init__(
        self,
        entries: dict[Key, Value],
        later: "HashTrieMap[Key, Value]" = HashTrieMap(),  # noqa: B008 - it is a value
        newest_first: "List[Key]" = List(),  # noqa: B008 - it is a value
    ) -> None:
        self._entries = entries
        self._later = later  # in place of an entry, or a new one
        # The trie's own order follows the hashes of its keys, which for text differ from one
        # process to the next: a flow that walks the session's commands would decide differently.
        self._newest_first = newest_first  # the new keys

    def with_entry(self, key: Key, value: Value) -> "LongMap[Key, Value]":
        """This map and the value under this key; a new key comes last."""
        is_known = key in self
        later = self._later.insert(key, value)
        newest_first = self._newest_first if is_known else self._newest_first.push_front(key)
        changed = LongMap(self._entries, later, newest_first)
        is_short = len(later) <= max(COPIED_MAX, len(self._entries) // LATER_SHARE)
        return changed if is_short else LongMap(changed.copied())

    def copied(self) -> dict[Key, Value]:
        """The same as a dict."""
        entries, later = dict(self._entries), self._later
        for key in [*self._newest_first][::-1]:
            entries[key] = later[key]
        if len(later) > len(self._newest_first):
            entries.update((key, later[key]) for key in later)
        return entries

    def __getitem__(self, key: Key) -> Value:
        value = self._later.get(key, _NONE)
        return self._entries[key] if value is _NONE else value

    def get(self, key: Key, default: Any = None) -> Any:
        """As of a dict."""
        value = self._later.get(key, _NONE)
        return self._entries.get(key, default) if value is _NONE else value

    def __contains__(self, key: object) -> bool:
        return key in self._entries or key in self._later

    def __iter__(self) -> Iterator[Key]:
        yield from self._entries
        yield from [*self._newest_first][::-1]

    def __len__(self) -> int:
        return len(self._entries) + len(self._newest_first)

    def __repr__(self) -> str:
        return repr(dict(self))


class LongSet(AbstractSet[Key]):
    """A set too long to be copied for each member. Equal to any set with the same members.

    It is a frozenset, and what was added and removed later; as LongMap.
    """

    __slots__ = ("_added", "_members", "_removed")

    def __init__(
        self,
        members: frozenset[Key],
        added: "HashTrieSet[Key]" = HashTrieSet(),  # noqa: B008 - it is a value
        removed: "HashTrieSet[Key]" = HashTrieSet(),  # noqa: B008 - it is a value
    ) -> None:
        self._members = members
        self._added = added  # none of the members
        self._removed = removed  # some of the members

    def with_member(self, member: Key) -> "LongSet[Key]":
        """This set and the member."""
        if member in self:
            return self
        if member in self._members:
            return LongSet(self._members, self._added, self._removed.remove(member))
        return LongSet(self._members, self._added.insert(member), self._removed)._shortened()

    def without_member(self, member: Key) -> "LongSet[Key]":
        """This set without the member, whether or not it had it."""
        if member not in self:
            return self
        if member in self._members:
            return LongSet(self._members, self._added, self._removed.insert(member))._shortened()
        return LongSet(self._members, self._added.remove(member), self._removed)

    def _shortened(self) -> "LongSet[Key]":
        """The same, copied if much was added and removed."""
        later = len(self._added) + len(self._removed)
        is_short = later <= max(COPIED_MAX, len(self._members) // LATER_SHARE)
        if is_short:
            return self
        # Not as an iteration, which takes longer: this is the only step whose cost grows.
        return LongSet(self._members.difference(self._removed).union(self._added))

    @classmethod
    def _from_iterable(cls, it: Iterable[Any]) -> frozenset[Any]:
        """What `&`, `|`, `-` and `^` make."""
        return frozenset(it)

    def __contains__(self, member: object) -> bool:
        if member in self._members:
            return member not in self._removed
        return member in self._added

    def __iter__(self) -> Iterator[Key]:
        yield from self._members.difference(self._removed) if self._removed else self._members
        yield from self._added

    def __len__(self) -> int:
        return len(self._members) + len(self._added) - len(self._removed)

    def __repr__(self) -> str:
        return repr(set(self))
