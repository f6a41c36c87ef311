import itertools
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from offhook.projections.views.analytics.rollups.filling import SLICE_LEGS, slices_of

START = datetime(2026, 11, 1, tzinfo=UTC)
HOURS = st.dictionaries(st.integers(0, 2000), st.integers(1, SLICE_LEGS * 2), max_size=40)


@given(hours=HOURS)
def test_each_hour_is_in_one_slice_and_only_one_hour_makes_a_slice_longer(
    hours: dict[int, int],
) -> None:
    counted = [(START + timedelta(hours=hour), hours[hour]) for hour in sorted(hours)]
    slices = list(slices_of(counted))
    within = [[legs for at, legs in counted if first <= at < last] for first, last in slices]
    assert sum(map(len, within)) == len(counted)
    assert all(earlier[1] <= later[0] for earlier, later in itertools.pairwise(slices))
    assert all(sum(each) <= SLICE_LEGS or len(each) == 1 for each in within)
    assert all(sum(one) + more[0] > SLICE_LEGS for one, more in itertools.pairwise(within))
