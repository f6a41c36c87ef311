"""What the carrier's answers mean: every code, every status, first tries and repeated ones."""

import json
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.telnyx.error_codes import CODES
from offhook.telnyx.outcomes import (
    ANSWER_BYTES_MAX,
    ERRORS_MAX,
    Accepted,
    Busy,
    NoAnswer,
    Outcome,
    RateLimit,
    Refused,
    outcome_of,
)
from tests.offhook.telnyx.answers import OK, errors, summary

IDS = b'{"data":{"call_control_id":"v3:new","call_leg_id":"l","call_session_id":"s"}}'

# ------------------------------------------------------------------ a first try

FIRST: list[tuple[str, int, bytes, tuple[Any, ...]]] = [
    ("answer", 200, OK, ("accepted", {"data": {"result": "ok"}}, "")),
    ("dial", 200, IDS, ("accepted", json.loads(IDS), "")),
    ("dial", 201, b"{}", ("accepted", {}, "")),
    (
        "dial",
        200,
        b'{"data":{"call_control_id":"v3:a","client_state":"Jos\xe9"}}',
        ("accepted", {"data": {"call_control_id": "v3:a", "client_state": "Jos\ufffd"}}, ""),
    ),
    ("dial", 204, b"", ("accepted", {}, "its answer could not be read")),
    ("dial", 200, b"<html>", ("accepted", {}, "its answer could not be read")),
    ("dial", 200, b'{"data":{"call_con', ("accepted", {}, "its answer could not be read")),
    ("dial", 200, b'["ok"]', ("accepted", {}, "its answer could not be read")),
    ("hangup", 422, errors("90018"), ("accepted", {}, "already ended")),
    ("hangup", 422, errors(90018), ("accepted", {}, "already ended")),
    ("answer", 422, errors("90018"), ("refused", "call_ended", "422 90018 T90018")),
    ("reject", 422, errors("90018"), ("refused", "call_ended", "422 90018 T90018")),
    ("hangup", 404, errors("90018"), ("refused", "refused", "404 90018 T90018")),
    ("hangup", 422, errors("90015"), ("refused", "refused", "422 90015 T90015")),
    ("answer", 422, errors("90034"), ("refused", "refused", "422 90034 T90034")),
    ("dial", 422, errors("10011"), ("refused", "refused", "422 10011 T10011")),
    ("dial", 422, errors("10012"), ("refused", "refused", "422 10012 T10012")),
    (
        "dial",
        400,
        errors("10015", detail="no such connection"),
        ("refused", "refused", "400 10015 T10015: no such connection"),
    ),
    ("dial", 404, errors("10007"), ("refused", "refused", "404 10007 T10007")),
    ("dial", 404, b"<html>not here", ("refused", "refused", "404")),
    ("dial", 409, errors("10036"), ("refused", "refused", "409 10036 T10036")),
    ("dial", 401, errors("10009"), ("refused", "unauthorized", "401 10009 T10009")),
    ("dial", 403, errors("10010"), ("refused", "unauthorized", "403 10010 T10010")),
    ("hangup", 403, errors("90018"), ("refused", "unauthorized", "403 90018 T90018")),
    ("dial", 301, b"", ("refused", "refused", "301")),
    ("dial", 429, errors("10011"), ("busy", 1.0, "429 10011 T10011")),
    ("dial", 429, errors("90103"), ("busy", 1.0, "429 90103 T90103")),
    ("dial", 429, b"", ("busy", 1.0, "429")),
    ("dial", 408, b"", ("no answer", True, "408")),
    ("dial", 500, errors("10007"), ("no answer", True, "500 10007 T10007")),
    ("dial", 502, b"<html>", ("no answer", True, "502")),
    ("hangup", 503, errors("90018"), ("no answer", True, "503 90018 T90018")),
]


@pytest.mark.parametrize(("operation", "status", "body", "wanted"), FIRST)
def test_what_an_answer_means(
    operation: str, status: int, body: bytes, wanted: tuple[Any, ...]
) -> None:
    assert summary(outcome_of(operation, status, {}, body)) == wanted


# ------------------------------------------------------------------ a repeated try

TAKEN = "taken before: the carrier rejects the repeated command_id"
UNCLEAR = "probably taken before: webhooks show what happened"

REPEATED: list[tuple[str, int, bytes, tuple[Any, ...]]] = [
    # The three ways a duplicate may be answered.
    ("dial", 200, IDS, ("accepted", json.loads(IDS), "")),
    ("dial", 200, OK, ("accepted", {"data": {"result": "ok"}}, "")),
    ("dial", 422, errors("10012"), ("accepted", {}, f"{UNCLEAR} (422 10012 T10012)")),
    (
        "dial",
        422,
        errors("10012", detail="A command with this command_id was received before."),
        (
            "accepted",
            {},
            f"{TAKEN} (422 10012 T10012: A command with this command_id was received before.)",
        ),
    ),
    (
        "transfer",
        400,
        errors("10015", source={"pointer": "/command_id"}),
        ("accepted", {}, f"{TAKEN} (400 10015 T10015)"),
    ),
    ("answer", 409, errors("10036"), ("accepted", {}, f"{UNCLEAR} (409 10036 T10036)")),
    ("answer", 409, b"", ("accepted", {}, f"{UNCLEAR} (409)")),
    ("dial", 422, errors("77777"), ("accepted", {}, f"{UNCLEAR} (422 77777 T77777)")),
    # The first dial may be the call that fills the channel.
    ("dial", 422, errors("90041"), ("accepted", {}, f"{UNCLEAR} (422 90041 T90041)")),
    # Refusals that the first try would have met as well.
    ("dial", 422, errors("10016"), ("refused", "refused", "422 10016 T10016")),
    (
        "dial",
        422,
        errors("10015", source={"pointer": "/connection_id"}),
        ("refused", "refused", "422 10015 T10015"),
    ),
    ("answer", 422, errors("90034"), ("refused", "refused", "422 90034 T90034")),
    ("answer", 422, errors("90015"), ("refused", "refused", "422 90015 T90015")),
    ("answer", 404, errors("10005"), ("refused", "refused", "404 10005 T10005")),
    ("dial", 401, errors("10009"), ("refused", "unauthorized", "401 10009 T10009")),
    ("dial", 403, b"", ("refused", "unauthorized", "403")),
    ("hangup", 403, errors("90018"), ("refused", "unauthorized", "403 90018 T90018")),
    # The leg is gone, whoever ended it.
    ("transfer", 422, errors("90018"), ("refused", "call_ended", "422 90018 T90018")),
    ("hangup", 422, errors("90018"), ("accepted", {}, "already ended")),
    ("reject", 422, errors("90018"), ("accepted", {}, "already ended (422 90018 T90018)")),
    ("hangup", 404, errors("10005"), ("accepted", {}, "already ended (404 10005 T10005)")),
    ("hangup", 422, errors("90015"), ("accepted", {}, "already ended (422 90015 T90015)")),
    # Nothing else changes.
    ("dial", 429, errors("10011"), ("busy", 1.0, "429 10011 T10011")),
    ("dial", 503, b"", ("no answer", True, "503")),
    ("dial", 302, b"", ("refused", "refused", "302")),
]


@pytest.mark.parametrize(("operation", "status", "body", "wanted"), REPEATED)
def test_what_an_answer_to_a_repeated_command_means(
    operation: str, status: int, body: bytes, wanted: tuple[Any, ...]
) -> None:
    assert summary(outcome_of(operation, status, {}, body, repeated=True)) == wanted


# ------------------------------------------------------------------ every code

VALUES = """
    10002 10003 10004 10006 10011 10014 10016 10018 10019 10020 10022 10023 10024 10025 10026
    10028 10029 10030 10031 10032 10033 10034 10700 20000 20004 20005 20007 20009 20010 20011 20200
    20201 20202 20203 20204 20205 20206 20207 20208 20209 90000 90001 90002 90003 90004 90005 90006
    90007 90008 90009 90010 90011 90012 90013 90014 90016 90017 90021 90022 90023 90024 90025 90026
    90027 90028 90029 90030 90049 90056 90057 90059 90100 90101"""
STATES = "10021 90020 90034 90037 90050 90053 90055 90080 90081 90102"
OWN_DOING = "90019 90031 90033 90035 90038 90044 90045 90047 90048 90054 90061"
FORBIDDEN = """
    D10 D11 D12 D13 D14 D15 D16 D17 D24 D25 D26 D27 D28 D29 D30 D31 D35 D36 D38 D41 D42 D49
    D51 D52 D53 D54 D57"""

# What a dial and a hangup come to, at their first try and when they are repeated: the group of a
# refusal, or done, wait (as long as the carrier says), again (after a pause).
EVERY_CODE: list[tuple[int, str, str, str, str, str]] = [
    (401, "10009 20001 20002 20003 20006 20008", *("unauthorized",) * 4),
    (403, "10010", *("unauthorized",) * 4),
    (403, "20012 20013 20100", *("account",) * 4),
    (422, "20012 20013 20100", *("account",) * 4),
    (403, f"10038 20014 20015 20016 20017 {FORBIDDEN}", *("not_permitted",) * 4),
    (422, "10038 20014 20015 20016 20017", *("not_permitted",) * 4),
    (429, "10011 90103", *("wait",) * 4),
    (422, "90103", *("wait",) * 4),
    (500, "10007", *("again",) * 4),
    (503, "10007 10037", *("again",) * 4),
    (408, "10008", *("again",) * 4),
    (400, "10008 10037", *("again",) * 4),
    (422, "90018", "call_ended", "call_ended", "done", "done"),
    (422, "90015", "leg_unknown", "leg_unknown", "leg_unknown", "done"),
    (404, "10001 10005 10007 90058", "not_found", "not_found", "not_found", "done"),
    (422, "10001 10005 10013 10017 90058", "not_found", "not_found", "not_found", "done"),
    (422, "10039 90032 90036 90041 90042 90043", "capacity", "done", "capacity", "done"),
    (403, "90041 D1 D2 D3 D5 D22 D56", "capacity", "done", "capacity", "done"),
    (422, STATES, *("wrong_state",) * 4),
    (400, "90040 90046", *("media_failed",) * 4),
    (422, VALUES, *("wrong_value",) * 4),
    (422, OWN_DOING, "already_so", "done", "already_so", "done"),
    (422, "10012 10035 10036", "duplicate", "done", "duplicate", "done"),
    (422, "10007 10015 10027 77777", "unexplained", "done", "unexplained", "done"),
]


@pytest.mark.parametrize(
    ("status", "code", "wanted"),
    [(status, code, wanted) for status, codes, *wanted in EVERY_CODE for code in codes.split()],
)
def test_what_every_code_means(status: int, code: str, wanted: list[str]) -> None:
    tries = [
        (operation, repeated) for operation in ("dial", "hangup") for repeated in (False, True)
    ]
    assert [
        _in_a_word(outcome_of(operation, status, {}, errors(code), repeated=repeated))
        for operation, repeated in tries
    ] == wanted


def test_no_code_of_the_table_is_left_out_and_none_has_two_groups() -> None:
    tested = {code for _, codes, *_ in EVERY_CODE for code in codes.split()}
    listed = [code for codes in CODES.values() for code in codes]
    assert sorted(tested - {"77777"}) == sorted(listed)
    # The api-errors page has 133 codes of call control, of requests and of accounts.
    assert len([code for code in listed if code.isdigit()]) == 133


def _in_a_word(outcome: Outcome) -> str:
    match outcome:
        case Accepted():
            return "done"
        case Refused(group=group):
            return group
        case Busy():
            return "wait"
        case NoAnswer():
            return "again"


def test_of_several_errors_the_one_that_stops_most_counts() -> None:
    mixed = errors("10015", "20100", "90034")
    assert _in_a_word(outcome_of("dial", 422, {}, mixed)) == "account"
    assert _in_a_word(outcome_of("dial", 422, {}, errors("10027", "90034"))) == "wrong_state"


def test_too_many_dials_stop_no_other_command() -> None:
    dials = outcome_of("dial", 429, {}, errors("90103"))
    everything = outcome_of("dial", 429, {}, errors("10011"))
    assert isinstance(dials, Busy)
    assert isinstance(everything, Busy)
    assert (dials.dials_only, everything.dials_only) == (True, False)


# ------------------------------------------------------------------ waits and bounds


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({}, 1.0),
        ({"x-ratelimit-reset": "3"}, 3.0),
        ({"retry-after": "2"}, 2.0),
        ({"x-ratelimit-reset": "3", "retry-after": "7"}, 7.0),
        ({"x-ratelimit-reset": "0"}, 0.1),
        ({"x-ratelimit-reset": "0.5"}, 0.5),
        ({"x-ratelimit-reset": "600"}, 60.0),
        ({"x-ratelimit-reset": "-5"}, 1.0),
        ({"x-ratelimit-reset": "nan"}, 1.0),
        ({"x-ratelimit-reset": "inf"}, 1.0),
        ({"retry-after": "Sun, 22 Nov 2026 09:00:00 GMT"}, 1.0),
        ({"x-ratelimit-reset": "1795338000"}, 1.0),  # a point in time is no number of seconds
        ({"x-ratelimit-reset": "1795338000", "retry-after": "2"}, 2.0),
        (httpx.Headers({"X-RateLimit-Reset": "4"}), 4.0),
    ],
)
def test_how_long_a_busy_carrier_wants_us_to_wait(
    headers: Mapping[str, str], wait_s: float
) -> None:
    outcome = outcome_of("dial", 429, headers, errors("10011"))
    assert outcome == Busy(retry_after_s=wait_s, detail="429 10011 T10011")


def test_what_is_kept_of_an_answer_has_a_bound() -> None:
    big = b'{"data":"' + b"x" * ANSWER_BYTES_MAX + b'"}'
    accepted = outcome_of("dial", 200, {}, big)
    assert accepted == Accepted(status=200, note=f"its answer of {len(big)} bytes was not kept")
    refused = outcome_of("dial", 422, {}, errors(*range(ERRORS_MAX + 5)))
    assert isinstance(refused, Refused)
    assert [error["code"] for error in refused.errors] == list(range(ERRORS_MAX))
    assert outcome_of("dial", 422, {}, big) == Refused(
        status=422, group="unexplained", detail="422"
    )


bodies = st.binary(max_size=60) | st.recursive(
    st.none() | st.integers() | st.text(max_size=5) | st.just("90018"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["errors", "code", "source", "title"]), inner)
    ),
).map(lambda document: json.dumps(document).encode())


@given(
    operation=st.sampled_from(["dial", "hangup", "reject", "answer"]),
    status=st.integers(200, 599),
    headers=st.dictionaries(st.sampled_from(["retry-after", "x-ratelimit-reset"]), st.text()),
    body=bodies,
    repeated=st.booleans(),
)
def test_any_answer_means_something(
    operation: str, status: int, headers: dict[str, str], body: bytes, repeated: bool
) -> None:
    outcome = outcome_of(operation, status, headers, body, repeated=repeated)
    if status < 300:
        assert isinstance(outcome, Accepted)
    elif status in (401, 403):
        assert isinstance(outcome, Refused)
        assert outcome.reason == "unauthorized"
    elif status == 429:
        assert isinstance(outcome, Busy)
        assert 0.1 <= outcome.retry_after_s <= 60
    elif status >= 500:
        assert isinstance(outcome, NoAnswer)
    else:
        assert isinstance(outcome, Accepted | Refused | NoAnswer)


# ------------------------------------------------------------------ the carrier's limit

RATE = {"x-ratelimit-limit": "20", "x-ratelimit-remaining": "3", "x-ratelimit-reset": "0.5"}


@pytest.mark.parametrize(("status", "body"), [(200, OK), (422, errors("90034"))])
def test_an_answer_tells_the_carriers_limit(status: int, body: bytes) -> None:
    outcome = outcome_of("answer", status, RATE, body)
    assert isinstance(outcome, Accepted | Refused)
    assert outcome.rate == RateLimit(limit=20, remaining=3, reset_s=0.5)


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("x-ratelimit-limit", ""),
        ("x-ratelimit-remaining", "-1"),
        ("x-ratelimit-reset", "soon"),
        ("x-ratelimit-reset", "1763868600"),
    ],
)
def test_rate_headers_that_make_no_sense_tell_nothing(header: str, value: str) -> None:
    outcome = outcome_of("answer", 200, {**RATE, header: value}, OK)
    assert isinstance(outcome, Accepted)
    assert outcome.rate is None
