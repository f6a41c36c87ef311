"""The definitions, without a database: formulas, ratios, buckets."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.projections.views.analytics.kpis import COUNTERS, RATIOS, Ratio, ratios_of
from offhook.projections.views.analytics.timeseries import CallFilter, bucket_count, bucket_starts

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

FORMULAS = {
    "asr": "answered / (answered + unanswered)",
    "ner": "(answered + busy + no_answer + rejected) / (answered + unanswered - cancelled)",
    "ner_strict": "(answered + busy + no_answer + rejected) / (answered + unanswered)",
    "ser": "outgoing_answered / (outgoing_answered + outgoing_unanswered - outgoing_redirected)",
    "seer": "(outgoing_answered + outgoing_refused) / "
    "(outgoing_answered + outgoing_unanswered - outgoing_redirected)",
    "isa": "outgoing_ineffective / (outgoing_answered + outgoing_unanswered)",
    "scr": "completed / ended",
    "short_call": "outgoing_short / outgoing_talked",
    "abandoned": "outgoing_cancelled / (outgoing_answered + outgoing_unanswered)",
}

counts_of_anything = st.fixed_dictionaries(
    {counter.name: st.integers(0, 1000) for counter in COUNTERS}
)


def test_the_ratios_are_these() -> None:
    assert {rule.name: rule.formula for rule in RATIOS} == FORMULAS


def test_the_page_has_every_definition() -> None:
    page = (Path(__file__).parents[4] / "docs" / "analytics.md").read_text()
    for rule in RATIOS:
        assert f"| `{rule.name}` | `{rule.formula}` |" in page
        assert rule.source.startswith("Telnyx") or rule.source in page
    for counter in COUNTERS:
        assert f"`{counter.name}`" in page


def test_a_name_is_one_thing() -> None:
    names = [one.name for one in (*COUNTERS, *RATIOS)]
    assert len(set(names)) == len(names)


@given(counts_of_anything)
def test_a_formula_is_what_was_done(counts: dict[str, int]) -> None:
    for name, ratio in ratios_of(counts).items():
        above, below = ratio.formula.split(" / ")
        assert ratio.numerator == eval(above, {}, counts), name
        assert ratio.denominator == eval(below, {}, counts), name
        if ratio.denominator:
            assert ratio.value == ratio.numerator / ratio.denominator


@given(
    answered=st.integers(0, 50),
    failed=st.fixed_dictionaries(
        {name: st.integers(0, 50) for name in ("busy", "no_answer", "rejected", "cancelled")}
    ),
    otherwise=st.integers(0, 50),
)
def test_the_network_is_never_worse_than_the_answers(
    answered: int, failed: dict[str, int], otherwise: int
) -> None:
    unanswered = sum(failed.values()) + otherwise
    counts = {counter.name: 0 for counter in COUNTERS}
    counts |= {"answered": answered, "unanswered": unanswered, **failed}
    ratios = ratios_of(counts)
    asr, strict, ner = (ratios[name].value for name in ("asr", "ner_strict", "ner"))
    if asr is not None and strict is not None and ner is not None:
        assert asr <= strict <= ner <= 1


def test_nothing_divided_by_nothing_is_null() -> None:
    ratios = ratios_of({counter.name: 0 for counter in COUNTERS})
    assert {ratio.value for ratio in ratios.values()} == {None}
    assert Ratio.of(0, 4, "x / y").value == 0


@pytest.mark.parametrize(
    ("start", "end", "width", "starts"),
    [
        (NOON, NOON + HOUR, HOUR, [NOON]),
        (NOON, NOON + 2 * HOUR, HOUR, [NOON, NOON + HOUR]),
        (NOON, NOON + MINUTE, HOUR, [NOON]),
        (NOON + MINUTE, NOON + HOUR, HOUR, [NOON + MINUTE]),
        (NOON - MINUTE, NOON + MINUTE, HOUR, [NOON - MINUTE, NOON]),
        (NOON, NOON + DAY, DAY, [NOON, NOON + DAY / 2]),
        (datetime.max.replace(tzinfo=UTC) - MINUTE, datetime.max.replace(tzinfo=UTC), DAY, None),
        (datetime.min.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC) + HOUR, HOUR, None),
    ],
)
def test_buckets_are_cut_at_multiples_of_their_width(
    start: datetime, end: datetime, width: timedelta, starts: list[datetime] | None
) -> None:
    wanted = CallFilter(start=start, end=end)
    assert bucket_starts(wanted, width) == (starts or [start])
    assert bucket_count(wanted, width) == len(starts or [start])
