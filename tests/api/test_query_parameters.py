"""Query parameters: names that a route does not have, and values that are not of their kind."""

import itertools
from contextlib import suppress
from datetime import UTC, timedelta, timezone
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telnyx.types import call_control_application_list_params as sdk

from offhook.api.errors import ErrorAnswer
from offhook.api.query_parameters import EARLIEST, moment_in, number_in
from offhook.api.telnyx.applications import LIST_PARAMETERS
from offhook.position import position_of
from tests.api.stack import Stack

OWN = ("/sessions", "/sessions/x", "/sessions/x/timeline", "/commands/x")
ANALYTICS = ("/analytics/summary", "/analytics/timeseries")


async def refused(stack: Stack, path: str, method: str = "GET") -> dict[str, Any]:
    """The one error of a request that is answered with 422."""
    async with stack.http() as http:
        response = await http.request(method, path)
    assert response.status_code == 422, f"{path}: {response.text}"
    (error,) = response.json()["errors"]
    found: dict[str, Any] = error
    return found


async def test_a_name_that_a_route_does_not_have_is_refused_with_those_it_has(
    stack: Stack,
) -> None:
    async with stack.http() as http:
        paths = (await http.get("/openapi.json")).json()["paths"]
        seen = 0
        for path, operations in paths.items():
            for method, operation in operations.items():
                parameters = operation.get("parameters", ())
                names = sorted(each["name"] for each in parameters if each["in"] == "query")
                target = path.replace("{", "").replace("}", "")
                response = await http.request(method, f"{target}?nonsense=1")
                assert response.status_code == 422, f"{method} {target}: {response.text}"
                (error,) = response.json()["errors"]
                assert error["code"] == "10015"
                assert error["source"] == {"parameter": "nonsense"}
                there_are = f"there are {', '.join(names)}" if names else "there are none"
                assert error["detail"] == f"'nonsense' is not a query parameter here; {there_are}"
                seen += 1
    assert seen > 50  # every call action is one


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/sessions?cause=normal_clearing", "cause"),
        ("/sessions?as_off=5", "as_off"),
        ("/analytics/summary?bucket=hour", "bucket"),
        ("/v2/connections/1/active_calls?limit=5", "limit"),
        ("/v2/call_control_applications?page_size=5", "page_size"),
        ("/sessions?limit=1&limit=2", "limit"),
        ("/v2/connections/1/active_calls?page[size]=1&page[size]=2", "page[size]"),
        *((f"{path}?min_seq=", "min_seq") for path in (*OWN, *ANALYTICS)),
        ("/sessions?connection_id=", "connection_id"),
        ("/sessions?from_number=", "from_number"),
        ("/analytics/summary?connection_id=", "connection_id"),
    ],
)
async def test_unknown_repeated_and_empty_parameters_are_named(
    stack: Stack, path: str, name: str
) -> None:
    assert (await refused(stack, path))["source"] == {"parameter": name}


async def test_without_a_token_nothing_else_is_said(stack: Stack) -> None:
    async with stack.http(None) as http:
        assert (await http.get("/sessions?nonsense=1")).status_code == 401


NUMBERS: tuple[str, ...] = (
    "0.5",
    "5.0",
    "+5",
    "%2B5",
    "1_0",
    "1e1",
    " 5",
    "five",
    "9" * 400,
    "%D9%A3",
    "NaN",
)
TIMES: tuple[str, ...] = (
    "0.5",
    "0",
    "1764150000",
    "-1",
    "2026-11-22",
    "2026-11-22T10:00:00",
    "10:00",
    "now",
)
TIMES += ("1e400", "9" * 400, "2026-13-01T00:00:00Z", "1969-12-31T23:59:59Z")
TIMES += ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "2200-01-01T00:00:00Z")
AS_OF = (*(set(TIMES) - {"0", "1764150000"}), "9" * 20, "10:30")
NOWHERE = (str(position_of(10, 30)),)  # the log has fewer partitions
WRONG = [
    *itertools.product(("/sessions?limit=", "/sessions/x/timeline?limit="), NUMBERS),
    *itertools.product(("/sessions?before_seq=", "/sessions/x/timeline?after_seq="), NUMBERS),
    *itertools.product((f"{path}?min_seq=" for path in (*OWN, *ANALYTICS)), NUMBERS[:5]),
    *itertools.product(("/sessions?timeout_s=",), ("nan", "inf", "1_0", "1e1", "-1", "11", "x")),
    *itertools.product(("/sessions?started_from=", "/sessions?started_before="), TIMES),
    *itertools.product(("/analytics/summary?from=", "/analytics/timeseries?to="), TIMES),
    *itertools.product(("/sessions/x?as_of=", "/sessions?as_of=", "/queues/visits?as_of="), AS_OF),
    *itertools.product(("/sessions/x/timeline?as_of=",), ("10:30",)),
    *itertools.product(("/sessions?before_seq=", "/sessions/x/timeline?after_seq="), NOWHERE),
    *itertools.product(("/queues/visits?before_seq=", "/sessions/x?min_seq="), NOWHERE),
    *itertools.product(("/v2/connections/1/active_calls?page[number]=",), NUMBERS),
    *itertools.product(("/sessions?status=",), ("alive", "ACTIVE", "active,ended")),
    *itertools.product(
        ("/sessions?number=", "/sessions?hangup_cause="), ("a*b", "**", "a,,b", "!")
    ),
    *itertools.product(("/sessions?failed=",), ("1", "yes", "True")),
    *itertools.product(("/sessions?duration_s_min=",), ("-1", "nan", "1e1")),
    *itertools.product(("/analytics/summary?direction=",), ("inbound", "INCOMING")),
    *itertools.product(("/analytics/timeseries?bucket=",), ("1h", "week", "60")),
]


async def test_a_value_of_another_kind_is_refused(stack: Stack) -> None:
    async with stack.http() as http:
        for path, value in WRONG:
            response = await http.get(path + value)
            assert response.status_code == 422, f"{path}{value}: {response.text}"
            (error,) = response.json()["errors"]
            name = path.partition("?")[2].removesuffix("=")
            assert error["source"] == {"parameter": name}
            # By the kind of fault (decision 18): a number, a range, a form; 10015 is the rest.
            assert error["code"] in {"10003", "10006", "10015", "10025", "10026", "10032", "10033"}
            assert "; expected " in error["detail"] or f"{name} has " in error["detail"], error
            assert len(error["detail"]) < 400


@pytest.mark.parametrize("name", ["from_number", "to_number"])
async def test_what_claims_to_be_e164_has_to_be(stack: Stack, name: str) -> None:
    for number in ("%2B12", "%2B", "%2Babc", "%2B0", "%2B1234567890123456", "%2B12@x", "%2Bx*"):
        error = await refused(stack, f"/sessions?{name}={number}")
        assert (error["code"], error["source"]) == ("10016", {"parameter": name})
    error = await refused(stack, f"/sessions?{name}=%2B999")
    assert "the start of one and a star (+999*)" in error["detail"]
    error = await refused(stack, f"/sessions/stream?{name}=%2B999")
    assert "+999*" not in error["detail"]
    async with stack.http() as http:
        for number in ("%2B12025550101", " 12025550101", "anonymous", "1001", "sip:a@b"):
            assert (await http.get(f"/sessions?{name}={number}")).status_code == 200


@given(
    st.timedeltas(timedelta(days=1), timedelta(days=365 * 229)),
    st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
def test_every_time_with_its_offset_is_read(since: timedelta, offset: timezone) -> None:
    at = (EARLIEST + since).astimezone(offset)
    for text in (at.isoformat(), at.isoformat().replace("+", " "), at.isoformat(" ")):
        if text.count(" ") < 2:  # not both for the T and for the plus
            assert moment_in("from", text) == at.astimezone(UTC)


@given(st.text(max_size=40))
def test_no_text_raises_anything_but_a_refusal(text: str) -> None:
    for kind in (moment_in, number_in):
        with suppress(ErrorAnswer):
            kind("from", text)


def test_the_carriers_filters_are_those_of_the_official_sdk() -> None:
    expected = {"sort", "page[number]", "page[size]", *_names("filter", sdk.Filter)}
    assert set(LIST_PARAMETERS) - expected == {"page[after]", "page[before]", "page[limit]"}
    assert expected <= set(LIST_PARAMETERS)


def _names(prefix: str, kind: Any) -> list[str]:
    """The query parameters of an object of the SDK's: filter[from], filter[occurred_at][eq] …"""
    found: list[str] = []
    for name, hint in get_type_hints(kind, include_extras=True).items():
        alias = next((each.alias for each in getattr(hint, "__metadata__", ())), None)
        place = f"{prefix}[{alias or name}]"
        found += _names(place, hint) if hasattr(hint, "__total__") else [place]
    return found
