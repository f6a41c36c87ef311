"""Both pagination forms show every active call once, in the same order."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.simulator.call.legs import SimulatedLeg, SimulatedLegState
from offhook.simulator.errors.carrier_error import CarrierError
from offhook.simulator.http.paging import page_of

PATH = "/v2/connections/1/active_calls"


def legs_of(offsets_s: list[int]) -> list[SimulatedLeg]:
    """Legs that started so many seconds after noon."""
    noon = datetime(2026, 11, 22, 12, tzinfo=UTC)
    return [
        SimulatedLeg(
            call_control_id=f"v3:{number}",
            call_leg_id=str(number),
            call_session_id=str(number),
            connection_id="1",
            direction="incoming",
            from_="+12025550101",
            to="+12025550102",
            state=SimulatedLegState.PARKED,
            started_at=noon + timedelta(seconds=offset),
        )
        for number, offset in enumerate(offsets_s)
    ]


def ids(legs: list[SimulatedLeg]) -> list[str]:
    return [leg.call_control_id for leg in legs]


@given(st.lists(st.integers(0, 5), max_size=30).map(legs_of), st.integers(1, 7))
def test_following_next_numbers_or_total_pages_shows_the_same(
    legs: list[SimulatedLeg], size: int
) -> None:
    by_cursor: list[SimulatedLeg] = []
    query: dict[str, str] | None = {"page[limit]": str(size)}
    while query is not None:
        page = page_of(legs, query, PATH)
        by_cursor += page.legs
        following = page.meta.get("next")
        query = None if following is None else dict(parse_qsl(urlsplit(following).query))
    by_number: list[SimulatedLeg] = []
    number, pages = 1, 1
    while number <= pages:
        page = page_of(legs, {"page[number]": str(number), "page[size]": str(size)}, PATH)
        by_number += page.legs
        number, pages = number + 1, page.meta["total_pages"]
    assert ids(by_cursor) == ids(by_number)
    assert sorted(ids(by_cursor)) == sorted(ids(legs))


@given(st.lists(st.integers(0, 5), min_size=3, max_size=30).map(legs_of), st.data())
def test_a_cursor_keeps_its_place_when_legs_end(
    legs: list[SimulatedLeg], data: st.DataObject
) -> None:
    first = page_of(legs, {"page[limit]": "2"}, PATH)
    after = first.meta["cursors"]["after"]
    left = [leg for leg in legs if data.draw(st.booleans())]
    rest = page_of(left, {"page[after]": after, "page[limit]": "250"}, PATH)
    expected = {leg.call_control_id for leg in left} - {leg.call_control_id for leg in first.legs}
    assert {leg.call_control_id for leg in rest.legs} == expected


@pytest.mark.parametrize(
    "query",
    [
        {"page[limit]": "0"},
        {"page[size]": "251"},
        {"page[number]": "x"},
        {"page[after]": "v1:?"},
        {"page[before]": "v1:bm9iYXI="},
    ],
)
def test_a_page_that_cannot_be_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(CarrierError) as raised:
        page_of([], query, PATH)
    assert raised.value.status == 422
