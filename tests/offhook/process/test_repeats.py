"""The first of a kind is reported at once, the others as a number."""

from offhook.process.repeats import RepeatCount


def test_what_is_reported_at_once_is_not_counted_again() -> None:
    count = RepeatCount(reported_max=2)
    assert [count.add() for _ in range(5)] == [True, True, False, False, False]
    assert (count.take(), count.take()) == (3, 0)
    assert not count.add(), "it is reported at once no more"
    assert (count.take(), count.total) == (1, 6)
