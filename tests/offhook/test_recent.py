"""A dict that keeps what was set last."""

from hypothesis import given
from hypothesis import strategies as st

from offhook.recent import RecentDict


@given(st.lists(st.tuples(st.integers(0, 9), st.integers())), st.integers(0, 6))
def test_the_entries_set_last_are_kept_oldest_first(
    entries: list[tuple[int, int]], entries_max: int
) -> None:
    recent = RecentDict[int, int](entries_max)
    for key, value in entries:
        recent[key] = value
    newest_first = list(dict(reversed(entries)))[:entries_max]
    assert list(recent) == newest_first[::-1]
    assert dict(recent) == {key: dict(entries)[key] for key in newest_first}


def test_what_is_dropped_is_counted() -> None:
    recent = RecentDict[int, int](2)
    for key in (1, 2, 1, 3, 4):
        recent[key] = key
    assert recent.dropped == 2


def test_reading_an_entry_does_not_make_it_the_newest() -> None:
    recent = RecentDict[str, int](2)
    recent["a"], recent["b"] = 1, 2
    assert recent["a"] == recent.get("a") == 1
    recent["c"] = 3
    assert [*recent.items()] == [("b", 2), ("c", 3)]


def test_an_entry_that_was_taken_out_leaves_room() -> None:
    recent = RecentDict[str, int](2)
    recent["a"], recent["b"] = 1, 2
    assert recent.pop("a") == 1
    recent["c"] = 3
    assert [*recent] == ["b", "c"]
