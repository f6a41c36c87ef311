"""The 60 s of a command_id."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from offhook.simulator.ledger import Ledger

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


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
