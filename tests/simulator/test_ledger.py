"""The 60 s of a command_id, and the count of effects."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from offhook.simulator.ledger import Effect, EffectBook, Ledger

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def effect(command_id: str | None, *, operation: str = "answer", repeated: int = 0) -> Effect:
    return Effect(
        at=NOON,
        operation=operation,
        call_control_id="v3:leg",
        call_session_id="session",
        command_id=command_id,
        repeated=repeated,
    )


@given(st.floats(min_value=0, max_value=200))
def test_a_command_id_is_known_for_less_than_60_s(age_s: float) -> None:
    ledger = Ledger()
    ledger.remember("v3:leg", "one", "the answer", NOON)
    later = NOON + timedelta(seconds=age_s)
    known = ledger.first_answer("v3:leg", "one", later) is not None
    assert known == (later - NOON < timedelta(seconds=60))
    assert ledger.first_answer("v3:other", "one", later) is None


def test_the_ledger_forgets_the_oldest_beyond_its_bound() -> None:
    ledger = Ledger(ids_max=2)
    for command_id in ("one", "two", "three"):
        ledger.remember("v3:leg", command_id, command_id, NOON)
    assert ledger.first_answer("v3:leg", "one", NOON) is None
    assert ledger.first_answer("v3:leg", "three", NOON) == "three"


def test_an_effect_under_a_known_command_id_raises_its_count() -> None:
    book = EffectBook()
    for command_id in ("one", "two", "one"):
        book.enter("v3:leg", effect(command_id))
    book.enter("v3:other", effect("two"))
    book.enter("v3:leg", effect("two", operation="hangup"))
    assert [one.count for one in book.effects()] == [2, 1, 1, 1]
    assert [one.command_id for one in book.doubled()] == ["one"]
    assert book.totals == {"answer": 4, "hangup": 1}


def test_effects_without_a_command_id_are_told_apart() -> None:
    book = EffectBook()
    book.enter("v3:leg", effect(None))
    book.enter("v3:leg", effect(None, repeated=1))
    assert [one.count for one in book.effects()] == [1, 1]
    assert len(book.doubled()) == 1


def test_the_book_counts_what_it_forgets() -> None:
    book = EffectBook(effects_max=2)
    for number in range(5):
        book.enter("v3:leg", effect(str(number)))
    assert [one.command_id for one in book.effects()] == ["3", "4"]
    assert book.forgotten == 3
    assert book.totals == {"answer": 5}
