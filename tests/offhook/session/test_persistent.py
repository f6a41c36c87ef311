"""Persistent maps and sets do what a dict and a frozenset do, short or long."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.session.persistent import (
    COPIED_MAX,
    LongMap,
    LongSet,
    map_of,
    set_of,
    with_entry,
    with_member,
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


@given(st.integers(0, 40 * COPIED_MAX), st.lists(st.tuples(st.booleans(), KEYS)))
def test_a_set_of_many_goes_on_as_one_that_grew(
    length: int, changes: list[tuple[bool, int]]
) -> None:
    members = range(-length // 2, length - length // 2)
    held: AbstractSet[int] = set_of(members)
    assert isinstance(held, LongSet) == (len(members) > COPIED_MAX)
    before, expected = held, set(members)
    for is_added, member in changes:
        (expected.add if is_added else expected.discard)(member)
        held = (with_member if is_added else without_member)(held, member)
        assert sorted(held) == sorted(expected)
        assert held == expected
    assert before == set(members)


@given(st.integers(0, 40 * COPIED_MAX), st.lists(KEYS, max_size=3 * COPIED_MAX))
def test_a_map_of_many_goes_on_as_one_that_grew(length: int, keys: list[int]) -> None:
    entries = {key - length // 2: key for key in range(length)}
    held: Mapping[int, int] = map_of(dict(entries))
    assert isinstance(held, LongMap) == (length > COPIED_MAX)
    before = held
    for key in keys:
        expected = {**held, key: -key}
        held = with_entry(held, key, -key)
        assert list(held.items()) == list(expected.items())
        assert not isinstance(held, LongMap) or list(held.copied().items()) == list(held.items())
    assert list(before.items()) == list(entries.items())


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


def test_it_is_copied_once_in_a_while() -> None:
    length = 2_000
    held: Mapping[int, int] = map_of({key: key for key in range(length)})
    members: AbstractSet[int] = set_of(range(length))
    copies = [0, 0]
    for key in range(length, 2 * length):
        before = held, members
        held, members = with_entry(held, key, key), with_member(members, key)
        assert isinstance(before[0], LongMap)
        assert isinstance(held, LongMap)
        assert isinstance(before[1], LongSet)
        assert isinstance(members, LongSet)
        copies[0] += held._entries is not before[0]._entries
        copies[1] += members._members is not before[1]._members
    assert all(0 < each <= length // COPIED_MAX for each in copies)


@pytest.mark.parametrize("length", [3, 10 * COPIED_MAX])
def test_sets_are_added_up_and_compared_as_any(length: int) -> None:
    held, plain = set_of(range(length)), set(range(length))
    other = {1, 2, length + 1}
    for found, expected in (
        (held - other, plain - other),
        (held & other, plain & other),
        (held | other, plain | other),
        (held ^ other, plain ^ other),
        (other - held, other - plain),
        (other | held, other | plain),
    ):
        assert [each in found for each in expected] == [True] * len(expected)
        assert found == expected
    assert held > {1, 2}
