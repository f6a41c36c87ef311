"""Queues: who waits now, and what became of those who waited before."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.requests import Request

from offhook.api.console.client import Api
from offhook.api.console.page import BAR, Page, Shown
from offhook.api.console.page_query import choice_in

WAITING_ROWS_MAX = 100
VISIT_ROWS_MAX = 50

RANGES = {
    "1h": ("the last hour", timedelta(hours=1)),
    "8h": ("the last 8 hours", timedelta(hours=8)),
    "24h": ("the last 24 hours", timedelta(days=1)),
    "7d": ("the last 7 days", timedelta(days=7)),
    "31d": ("the last 31 days", timedelta(days=31)),
}
RANGE_DEFAULT = "24h"


async def shown(request: Request, api: Api) -> Shown:
    """The waiting legs, and the queues, agents and visits of the range in the URL."""
    given = {name: value for name, value in request.query_params.items() if value.strip()}
    chosen = choice_in(given, "last", RANGES, RANGE_DEFAULT)
    name, start, end = range_of(given, chosen, datetime.now(UTC))
    queue = given.get("queue")
    asked = {"queue": queue, "from": start, "to": end}
    levels = {each: given.get(each) for each in ("service_level_s", "short_abandon_s")}
    queues, waiting, agents = await asyncio.gather(
        api.get("/queues", asked | levels),
        api.get("/queues/waiting", {"queue": queue, "limit": WAITING_ROWS_MAX}),
        api.get("/queues/agents", asked),
    )
    visits = await api.get(
        "/queues/visits",
        {
            "queue": queue,
            "enqueued_from": queues["asked"]["from"],
            "enqueued_before": queues["asked"]["to"],
            "limit": VISIT_ROWS_MAX,
        },
    )
    return {
        "queues": queues["data"],
        "asked": queues["asked"],
        "policy": queues["policy"],
        "total": total_of(queues["data"]),
        "waiting": waiting["data"],
        "agents": agents["data"],
        "visits": visits["data"],
        "visit_rows_max": VISIT_ROWS_MAX,
        "waiting_rows_max": WAITING_ROWS_MAX,
        "range_name": name,
        "ranges": RANGES,
        "chosen": None if "from" in given or "to" in given else chosen,
        "given": given,
    }


def range_of(
    given: Mapping[str, str], last: str, now: datetime
) -> tuple[str, str | None, str | None]:
    """What the range is called, and its start and end for the API."""
    if "from" in given or "to" in given:
        start, end = given.get("from"), given.get("to")
        return f"{start or '24 hours before'} to {end or 'now'}", start, end
    name, length = RANGES[last]
    return name, (now - length).isoformat(), None


def total_of(queues: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """All queues as one: counts are added, ratios from the sums of both sides."""
    counts = ("waiting", "offered", "answered", "abandoned", "short_abandoned")
    found: dict[str, Any] = {name: sum(each[name] for each in queues) for name in counts}
    for name in ("service_level", "abandon_rate", "asa_s"):
        above = sum(each[name]["numerator"] for each in queues)
        below = sum(each[name]["denominator"] for each in queues)
        found[name] = {
            "value": above / below if below else None,
            "numerator": above,
            "denominator": below,
        }
    waits = [wait for each in queues if (wait := each["longest_wait_now_s"]) is not None]
    return found | {"longest_wait_now_s": max(waits, default=None)}


QUEUES = Page(path="/queues", template="queues.html", shown=shown, in_menu="Queues", at_once=BAR)
