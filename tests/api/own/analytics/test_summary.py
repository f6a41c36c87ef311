"""Calls in numbers over HTTP: shapes, filters, ranges, and what is refused.

That the numbers are right is shown in tests/projections/views/analytics/test_reads.py.
"""

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from telnyx import AsyncTelnyx

from offhook.api.own.analytics.summary import RANGE_MAX
from offhook.projections.views.analytics.kpis import COUNTERS, RATIOS
from offhook.projections.views.analytics.timeseries import BUCKETS_MAX
from tests.api.stack import FRIEND, OURS, READER, Stack

BUSY = "+12025550186"
DAY = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}
LAST_WEEK, TOMORROW = ((datetime.now(UTC) + timedelta(days=days)).isoformat() for days in (-7, 1))
BOTH = pytest.mark.parametrize("path", ["summary", "timeseries", "groups"])


async def get(stack: Stack, path: str, **query: Any) -> httpx.Response:
    async with stack.http(READER) as http:
        return await http.get(f"/analytics/{path}", params=query)


async def error_of(stack: Stack, path: str, **query: Any) -> dict[str, Any]:
    response = await get(stack, path, **query)
    assert response.status_code == 422, response.text
    (error,) = response.json()["errors"]
    assert error["code"] == "10015"
    found: dict[str, Any] = error
    return found


async def called(stack: Stack, telnyx: AsyncTelnyx, connection_id: str) -> dict[str, Any]:
    """One call in, answered and hung up; one out to a busy number, one out that is up."""
    ids = await stack.ring(connection_id)
    await stack.session(ids["call_session_id"])
    await telnyx.calls.actions.answer(ids["call_control_id"])
    await telnyx.calls.actions.hangup(ids["call_control_id"])
    busy, friend = [
        (await telnyx.calls.dial(to=to, from_=OURS, connection_id=connection_id)).data
        for to in (BUSY, FRIEND)
    ]
    assert busy is not None
    assert friend is not None
    await stack.in_state(str(friend.call_control_id), "answered")
    await stack.settled(ids["call_session_id"], "ended")
    await stack.settled(str(busy.call_session_id), "ended")
    await stack.settled(str(friend.call_session_id))
    reply: dict[str, Any] = (await get(stack, "summary", connection_id=connection_id)).json()
    counts = reply["data"]["counts"]
    assert (counts["calls"], counts["ended"], counts["answered"]) == (3, 2, 2)
    return reply


async def test_a_summary_tells_counts_ratios_durations_concurrency_and_causes(
    stack: Stack, sdk: AsyncTelnyx
) -> None:
    connection_id = await stack.connection()
    reply = await called(stack, sdk, connection_id)
    data = reply["data"]
    assert list(data["counts"]) == [counter.name for counter in COUNTERS]
    assert list(data["ratios"]) == [rule.name for rule in RATIOS]
    assert data["counts"]["in_progress"] == 1
    assert data["ratios"]["asr"] == {
        "value": 2 / 3,
        "numerator": 2,
        "denominator": 3,
        "formula": "answered / (answered + unanswered)",
    }
    assert data["ratios"]["ner"]["value"] == 1
    assert data["ratios"]["short_call"]["value"] is None  # the one that was answered is still up
    acd = data["durations"]["acd_s"]
    assert (acd["denominator"], acd["value"]) == (1, acd["numerator"])
    delay = data["durations"]["answer_delay"]
    assert (delay["samples"], delay["p50_s"]) == (1, delay["p95_s"])
    assert data["concurrency"]["peak"] >= 1
    assert 0 < data["concurrency"]["erlangs"]["value"] < 1
    assert 86_399 < data["concurrency"]["erlangs"]["denominator"] <= 86_400
    causes = data["hangup_causes"]
    assert {"hangup_cause": "user_busy", "sip_hangup_cause": "486", "count": 1} in causes[
        "most_frequent"
    ]
    assert causes["others"] == 0
    assert "started in the range" in reply["grouping"]["counts, ratios, hangup_causes"]
    assert "ended in the range" in reply["grouping"]["durations"]
    assert reply["asked"]["connection_id"] == connection_id
    assert max(reply["meta"]["checkpoints"]) > 0
    assert reply["meta"]["lag_ms"] >= 0

    for direction, calls in (("incoming", 1), ("outgoing", 2)):
        chosen = {"connection_id": connection_id, "direction": direction}
        reply = (await get(stack, "summary", **chosen)).json()
        assert reply["data"]["counts"]["calls"] == calls
        assert reply["asked"]["direction"] == direction
    reply = (await get(stack, "summary", connection_id="nobody's")).json()
    assert reply["data"]["counts"]["calls"] == 0
    assert reply["data"]["ratios"]["asr"]["value"] is None


async def test_a_timeseries_is_the_summary_in_parts(stack: Stack, sdk: AsyncTelnyx) -> None:
    connection_id = await stack.connection()
    whole = await called(stack, sdk, connection_id)
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    asked = {
        "from": start.isoformat(),
        "to": (start + timedelta(hours=3)).isoformat(),
        "connection_id": connection_id,
    }
    for bucket, count in (("minute", 180), ("5m", 36), ("15m", 12), ("hour", 3), ("day", None)):
        reply = (await get(stack, "timeseries", bucket=bucket, **asked)).json()
        buckets = reply["data"]
        assert count is None or len(buckets) == count
        assert sum(each["counts"]["calls"] for each in buckets) == 3
        assert [each["end"] for each in buckets[:-1]] == [each["start"] for each in buckets[1:]]
        assert [set(each) for each in buckets] == [set(whole["data"])] * len(buckets)
        assert reply["asked"]["bucket"] == bucket
    first = (await get(stack, "timeseries", bucket="minute", **asked)).json()["data"][0]
    assert first["counts"]["calls"] == 0
    assert {ratio["value"] for ratio in first["ratios"].values()} == {None}
    assert first["durations"]["acd_s"]["value"] is None
    assert first["durations"]["answer_delay"]["p95_s"] is None
    assert first["concurrency"]["peak"] == 0
    assert first["concurrency"]["erlangs"]["value"] == 0
    assert first["hangup_causes"] == {"most_frequent": [], "others": 0}


async def test_without_a_range_it_is_the_last_day_by_the_hour(stack: Stack) -> None:
    reply = (await get(stack, "timeseries")).json()
    start, end = (datetime.fromisoformat(reply["asked"][name]) for name in ("from", "to"))
    assert end - start == timedelta(days=1)
    assert abs(datetime.now(UTC) - end) < timedelta(minutes=1)
    assert len(reply["data"]) in (24, 25)
    assert reply["data"][0]["start"] == reply["asked"]["from"]
    reply = (await get(stack, "summary", to="2026-01-02T03:00:00+03:00")).json()
    assert (reply["asked"]["from"], reply["asked"]["to"]) == (DAY["from"], DAY["to"])


@BOTH
@pytest.mark.parametrize("parameter", ["from", "to"])
@pytest.mark.parametrize(
    "value",
    [
        "",
        "yesterday",
        "1767225600",
        "2026-01-01",
        "2026-01-01T00:00:00",
        "0001-01-01T00:00:00+14:00",
        "2200-01-01T00:00:00Z",
        "9999-12-31T23:59:59-14:00",
    ],
)
async def test_a_time_has_its_offset(stack: Stack, path: str, parameter: str, value: str) -> None:
    error = await error_of(stack, path, **{parameter: value})
    assert error["source"] == {"parameter": parameter}
    assert f"{parameter} is {repr(value) if value else 'empty'}" in error["detail"]


@BOTH
async def test_a_range_has_a_length(stack: Stack, path: str) -> None:
    for start in (DAY["to"], "2027-01-01T00:00:00Z"):
        error = await error_of(stack, path, **(DAY | {"from": start}))
        assert error["source"] == {"parameter": "from"}
        assert f"from is {start}" in error["detail"]
    error = await error_of(stack, path, **(DAY | {"from": "2024-12-31T00:00:00Z"}))
    assert error["source"] == {"parameter": "from"}
    assert f"at most {RANGE_MAX.days}" in error["detail"]


async def test_buckets_have_a_bound(stack: Stack) -> None:
    error = await error_of(
        stack, "timeseries", bucket="minute", **(DAY | {"to": "2026-01-02T01:00:01Z"})
    )
    assert error["source"] == {"parameter": "bucket"}
    assert "bucket is 'minute'" in error["detail"]
    assert "1501 buckets" in error["detail"]
    assert f"at most {BUCKETS_MAX}" in error["detail"]
    widest = DAY | {"to": "2026-01-02T01:00:00Z"}
    response = await get(stack, "timeseries", bucket="minute", **widest)
    assert len(response.json()["data"]) == BUCKETS_MAX


@pytest.mark.parametrize(
    ("path", "parameter", "value"),
    [
        ("summary", "direction", "sideways"),
        ("timeseries", "direction", ""),
        ("timeseries", "bucket", "week"),
        ("summary", "min_seq", "-1"),
    ],
)
async def test_what_is_none_of_the_choices(
    stack: Stack, path: str, parameter: str, value: str
) -> None:
    error = await error_of(stack, path, **{parameter: value})
    assert error["source"] == {"parameter": parameter}
    assert f"{parameter} is {repr(value) if value else 'empty'}" in error["detail"]


@BOTH
async def test_analytics_wait_for_the_views(stack: Stack, path: str) -> None:
    as_of = (await get(stack, path)).json()["meta"]["checkpoints"][0]
    assert (await get(stack, path, min_seq=as_of)).status_code == 200
    response = await get(stack, path, min_seq=as_of + 10**6, timeout_s=0.1)
    assert response.status_code == 504
    assert response.json()["errors"][0]["code"] == "10008"


@BOTH
async def test_analytics_need_a_token(stack: Stack, path: str) -> None:
    for token in (None, "wrong"):
        async with stack.http(token) as http:
            assert (await http.get(f"/analytics/{path}")).status_code == 401


async def test_the_docs_tell_every_formula(stack: Stack) -> None:
    async with stack.http(None) as http:
        openapi = (await http.get("/openapi.json")).json()
    (tag,) = (tag for tag in openapi["tags"] if tag["name"] == "analytics")
    for rule in RATIOS:
        assert f"| {rule.name} | `{rule.formula}` |" in tag["description"]
    asked = openapi["paths"]["/analytics/timeseries"]["get"]["parameters"]
    assert {"bucket", "from", "to", "direction", "connection_id", "min_seq"} <= {
        parameter["name"] for parameter in asked
    }


async def test_definitions_are_those_of_the_replies(stack: Stack) -> None:
    found = (await get(stack, "definitions")).json()["data"]
    summary = (await get(stack, "summary")).json()["data"]
    assert found["counts"].keys() - {"bids_failed"} == summary["counts"].keys()
    for name in ("load", "queues", "commands", "webhooks"):
        defined = found[name]
        ours = {**defined["counts"], **defined["ratios"], **defined["figures"]}
        assert ours.keys() == (await get(stack, name)).json()["definitions"].keys()
        for each in (*defined["ratios"].values(), *defined["figures"].values()):
            assert each["formula"]
            assert each["source"]
    for name, ratio in summary["ratios"].items():
        assert found["ratios"][name]["formula"] == ratio["formula"]
    assert found["ratios"]["ner"]["source"] == "ITU-T E.425 §1.5"
    assert found["counts"]["busy"] == "ended unanswered: user_busy"
    lines = {name: each["policy_line"] for name, each in found["ratios"].items()}
    assert {name: line for name, line in lines.items() if line} == {
        "short_call": 0.15,
        "abandoned": 0.2,
    }


async def test_groups_are_the_summary_in_parts(stack: Stack, sdk: AsyncTelnyx) -> None:
    connection_id = await stack.connection()
    whole = await called(stack, sdk, connection_id)
    ours = {"connection_id": connection_id}
    (group,) = (await get(stack, "groups", **ours)).json()["data"]
    assert group["counts"] == whole["data"]["counts"] | {"bids_failed": 0}
    abr = group["ratios"].pop("abr")
    assert (abr["numerator"], abr["denominator"]) == (1, 2)
    assert group["ratios"] == whole["data"]["ratios"]
    assert group["group"] == {}
    assert group["durations"]["answer_delay"]["samples"] == 2
    assert group["durations"]["answer_delay"]["histogram"] is None

    (group,) = (await get(stack, "groups", **ours, include="histograms")).json()["data"]
    histogram = group["durations"]["answer_delay"]["histogram"]
    assert sum(each["calls"] for each in histogram) == 2
    assert all(each["from_s"] < each["to_s"] for each in histogram)

    defined = (await get(stack, "definitions")).json()["data"]
    assert defined["ratios"]["abr"]["formula"] == abr["formula"]
    named = {**group["durations"], **group["quality"]}
    assert defined["figures"].keys() == {*named, "costs"}
    for name, figure in named.items():
        if isinstance(figure, dict) and "formula" in figure:
            assert defined["figures"][name]["formula"] == figure["formula"]

    by = {"group_by": "day,direction,number_prefix,hangup_cause", "tz": "America/New_York"}
    reply = (await get(stack, "groups", **ours, **by)).json()
    assert reply["asked"]["group_by"] == by["group_by"].split(",")
    assert sum(each["counts"]["calls"] for each in reply["data"]) == 3
    busy = {"direction": "outgoing", "number_prefix": "+1202", "hangup_cause": "user_busy"}
    (found,) = (each for each in reply["data"] if each["group"] == busy)
    assert (found["counts"]["busy"], found["costs"]) == (1, None)
    assert found["durations"]["answer_delay"] is None

    reply = (await get(stack, "groups", **ours, group_by="hangup_cause", top="1")).json()
    assert [each["is_other"] for each in reply["data"]] == [False, True]
    reply = (await get(stack, "groups", **ours, number_prefix="+120", direction="outgoing")).json()
    assert reply["asked"]["number_prefix"] == "+120"
    assert [each["counts"]["calls"] for each in reply["data"]] == [2]


async def test_groups_as_csv(stack: Stack, sdk: AsyncTelnyx) -> None:
    connection_id = await stack.connection()
    await called(stack, sdk, connection_id)
    asked = {"connection_id": connection_id, "group_by": "hour,direction"}
    asked |= {"from": LAST_WEEK, "to": TOMORROW}
    response = await get(stack, "groups", **asked, format="csv")
    assert response.headers["content-type"].startswith("text/csv")
    rows = [*csv.DictReader(io.StringIO(response.text))]
    assert sum(int(row["calls"]) for row in rows) == 3
    assert {row["direction"] for row in rows} == {"incoming", "outgoing"}
    assert sum(int(row["asr_numerator"]) for row in rows) == 2
    async with stack.http(READER) as http:
        accepted = await http.get("/analytics/groups", params=asked, headers={"Accept": "text/csv"})
    assert [*csv.DictReader(io.StringIO(accepted.text))] == rows
    nothing = await get(stack, "groups", connection_id="nobody's", format="csv")
    assert nothing.text.splitlines() == ["start,end,is_other"]


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("group_by", "hour,hour"),
        ("group_by", "hour,day"),
        ("group_by", "colour"),
        ("group_by", "hour, direction"),
        ("tz", "Nowhere/Town"),
        ("tz", "XYZ5"),
        ("top", "101"),
        ("number_prefix", "+12025"),
        ("number_prefix", "+"),
        ("include", "causes"),
        ("format", "xml"),
    ],
)
async def test_what_no_group_can_be(stack: Stack, parameter: str, value: str) -> None:
    error = await error_of(stack, "groups", **{parameter: value})
    assert error["source"] == {"parameter": parameter}
    assert value in error["detail"]
