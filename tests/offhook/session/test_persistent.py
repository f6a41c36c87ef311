"""Persistent maps and sets do what a dict and a frozenset do, short or long."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from hypothesis import given
from hypothesis import strategies as st

from offhook.session.persistent import (
    COPIED_MAX,
    with_entries,
    with_entry,
    with_member,
    with_members,
    without_member,
)

KEYS = st.integers(0, 3 * COPIED_MAX)


@given(st.lists(st.tuples(KEYS, st.integers()), max_size=6 * COPIED_MAX))
def test_a_map_is_what_a_dict_is_in_order_too(entries: list[tuple[int, int]]) -> None:
    expected: dict[int, int] = {}
    held: Mapping[int, int] = {}
    for key, value in entries:
        expected[key] = value
        held = with_entry(held, key, value)
        assert held[key] == value
    assert list(held.items()) == list(expected.items())
    assert held == expected
    assert expected == held
    assert len(held) == len(expected)
    assert held.get(-1) is None
    assert -1 not in held
    assert held != {**expected, -1: 0}


@given(st.lists(st.tuples(st.booleans(), KEYS), max_size=6 * COPIED_MAX))
def test_a_set_is_what_a_set_is(changes: list[tuple[bool, int]]) -> None:
    expected: set[int] = set()
    held: AbstractSet[int] = frozenset()
    for is_added, member in changes:
        if is_added:
            expected.add(member)
            held = with_member(held, member)
        else:
            expected.discard(member)
            held = without_member(held, member)
        assert (member in held) == is_added
    assert set(held) == expected
    assert held == frozenset(expected)
    assert frozenset(expected) == held
    assert len(held) == len(expected)


@given(st.lists(st.sets(KEYS), max_size=4))
def test_many_at_once_are_as_one_after_another(parts: list[set[int]]) -> None:
    held: Mapping[int, int] = {}
    one_by_one: Mapping[int, int] = {}
    members: AbstractSet[int] = frozenset()
    for part in parts:
        new = {key: -key for key in part if key not in held}
        before, held, members = held, with_entries(held, new), with_members(members, part)
        assert len(before) == len(held) - len(new)
        for key, value in new.items():
            one_by_one = with_entry(one_by_one, key, value)
        assert list(held.items()) == list(one_by_one.items())
        assert type(held) is type(one_by_one)
        assert members == set(held)
    assert -1 not in without_member(members, -1)


def test_the_value_before_stays_as_it_was() -> None:
    for length in (3, COPIED_MAX, 10 * COPIED_MAX):
        held: Mapping[int, int] = {}
        members: AbstractSet[int] = frozenset()
        for key in range(length):
            held, members = with_entry(held, key, key), with_member(members, key)
        assert dict(with_entry(with_entry(held, 0, -1), -1, -1)) != dict(held)
        assert dict(held) == {key: key for key in range(length)}
        assert without_member(with_member(members, -1), 0) != members
        assert set(members) == set(range(length))
