"""Load, queues, commands and webhooks over HTTP: shapes, CSV, and what is refused.

That the numbers are right is shown in tests/projections/views/analytics/test_reads.py.
"""

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from telnyx import AsyncTelnyx

from offhook.projections.views.analytics.subjects.commands import COMMANDS
from offhook.projections.views.analytics.subjects.subject import Subject
from offhook.projections.views.analytics.subjects.visits import VISITS
from offhook.projections.views.analytics.subjects.webhooks import WEBHOOKS
from tests.api.stack import FRIEND, OURS, READER, Stack, until

ALL = pytest.mark.parametrize("path", ["load", "queues", "commands", "webhooks"])


async def get(stack: Stack, path: str, **query: Any) -> httpx.Response:
    async with stack.http(READER) as http:
        return await http.get(f"/analytics/{path}", params=query)


async def called(stack: Stack, telnyx: AsyncTelnyx) -> str:
    """Its connection, with a call out that was answered and hung up."""
    connection_id = await stack.connection()
    dialled = await telnyx.calls.dial(to=FRIEND, from_=OURS, connection_id=connection_id)
    assert dialled.data is not None
    assert dialled.data.call_control_id is not None

    async def load() -> Any:
        reply = (await get(stack, "load", connection_id=connection_id)).json()
        return reply if reply["data"] and reply["data"][0]["peak"] else None

    await until(load, "the call to be up")
    await telnyx.calls.actions.hangup(dialled.data.call_control_id)
    return connection_id


async def test_the_load_of_a_call(stack: Stack, sdk: AsyncTelnyx) -> None:
    while True:
        hour = datetime.now(UTC).hour
        connection_id = await called(stack, sdk)
        reply = (await get(stack, "load", connection_id=connection_id, group_by="direction")).json()
        if datetime.now(UTC).hour == hour:  # else it may have been up for longer in the next
            break
    (group,) = reply["data"]
    assert group["group"] == {"direction": "outgoing"}
    assert (group["calls"], group["peak"], group["calls_per_second"]["peak"]) == (1, 1, 1)
    assert 0 < group["erlangs"]["value"] < group["busy_hour"]["erlangs"]["value"]
    assert group["busy_hour"]["calls"] == 1
    assert reply["asked"]["connection_id"] == connection_id
    assert {"peak", "erlangs", "calls_per_second", "busy_hour"} <= {*reply["definitions"]}
    text = (await get(stack, "load", connection_id=connection_id, format="csv")).text
    (row,) = csv.DictReader(io.StringIO(text))
    assert (row["peak"], row["cps_peak"]) == ("1", "1")


async def test_commands_and_webhooks_of_a_call(stack: Stack, sdk: AsyncTelnyx) -> None:
    await called(stack, sdk)
    reply = (await get(stack, "commands", group_by="hour,operation")).json()
    dials = [each for each in reply["data"] if each["group"] == {"operation": "dial"}]
    assert sum(each["counts"]["succeeded"] for each in dials) > 0
    assert sum(each["percentiles"]["reaction"]["samples"] for each in dials) > 0
    (group,) = (await get(stack, "webhooks")).json()["data"]
    assert group["counts"]["received"] > 0
    assert group["percentiles"]["delay"]["samples"] > 0
    start = datetime.fromisoformat(group["start"])
    assert (start.minute % 5, start.second, start.microsecond) == (0, 0, 0)


@pytest.mark.parametrize(
    "subject", [COMMANDS, VISITS, WEBHOOKS], ids=["commands", "visits", "webhooks"]
)
async def test_every_name_is_defined(stack: Stack, subject: Subject) -> None:
    path = {"visits": "queues"}.get(subject.name, subject.name)
    reply = (await get(stack, path)).json()
    named = {*subject.counters, *subject.durations}
    named |= {rule.name for rule in subject.ratios} | {mean.name for mean in subject.means}
    assert {*reply["definitions"]} == named


@ALL
@pytest.mark.parametrize(
    ("parameter", "value"),
    [("group_by", "colour"), ("tz", "Nowhere/Town"), ("from", "yesterday"), ("top", "0")],
)
async def test_what_is_refused(stack: Stack, path: str, parameter: str, value: str) -> None:
    response = await get(stack, path, **{"group_by": "day", parameter: value})
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert error["source"] == {"parameter": parameter}
    assert value in error["detail"]


async def test_a_range_has_a_bound(stack: Stack) -> None:
    since = (datetime.now(UTC) - timedelta(days=32)).isoformat()
    response = await get(stack, "commands", **{"from": since})
    assert response.status_code == 422
    response = await get(stack, "webhooks", group_by="minute")
    assert "5 minutes" in response.json()["errors"][0]["detail"]


async def test_the_headline_ratios_are_metrics(stack: Stack) -> None:
    async with stack.http(None) as http:
        text = (await http.get("/metrics")).text
    assert "# TYPE offhook_calls_ratio gauge" in text
