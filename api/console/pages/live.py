"""Live: the calls that are up, kept fresh by the event stream.

    /console/             the page; with ?status= &connection= &from= &to= &before=
    /console/live/now     its part that changes, for the page's script: the same query

The page is complete without scripts. Its script follows the stream, asks for the changing part at
most a few times a second, and changes the rows that differ.
"""

import asyncio
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request

from offhook.api.console.client import Api
from offhook.api.console.live_rows import live_row
from offhook.api.console.page import BAR, Page, Shown
from offhook.api.console.page_query import choice_in, named
from offhook.session.failures import CHOSEN_CAUSES
from offhook.wording.found_row import STATES

ROWS_MAX = 50
"""Rows on a page; older sessions are on the next one."""

FIRST_ROWS_MAX = 25
"""Rows that the page comes with, more than a window shows; its script asks for the others."""

LAG_EXPECTED_MS = 1_000

FAILED_MAX = 1_000
"""GET /live counts failed sessions up to this many."""

NAMES = {
    "connection_id": "connection",
    "from_number": "from",
    "to_number": "to",
    "before_seq": "before",
}
"""What the API calls a parameter, and what the page does."""

UNANSWERED = sorted(CHOSEN_CAUSES - {"normal_clearing", "originator_cancel"})
"""Causes of a leg that was busy, declined or not answered, which is no failure of the call."""

FILTERS = ("status", "connection", "from", "to")
STATUSES = ("active", "setting_up", "waiting", "talking", "ended", "empty", "all")
PHASES = ("setting_up", "waiting", "talking")
PAST = ("ended", "empty", "all")
"""Lists with calls that are not up, which show when each started."""


async def shown(request: Request, api: Api) -> Shown:
    """What the page comes with."""
    return await _shown(request, api, FIRST_ROWS_MAX)


async def shown_now(request: Request, api: Api) -> Shown:
    """The same with all rows."""
    return await _shown(request, api, ROWS_MAX)


async def _shown(request: Request, api: Api, rows_max: int) -> Shown:
    """The sessions that the query asks for, newest first, and how many calls are up."""
    query = {name: value for name, value in request.query_params.items() if value}
    status = choice_in(query, "status", STATUSES, "active")
    asked = {
        "status": None if status == "all" or status in PHASES else status,
        "phase": status if status in PHASES else None,
        **{theirs: query.get(ours) for theirs, ours in NAMES.items()},
        "include": "legs,last",
        "limit": rows_max,
    }
    with named(NAMES):
        counts, listed = await asyncio.gather(api.get("/live"), api.get("/sessions", asked))
    now = datetime.now(UTC)
    filters = {name: query[name] for name in FILTERS if name in query}
    following = listed["meta"]["next"]
    return {
        "now": now,
        "counts": counts["data"],
        "tiles": _tiles(counts["data"], filters),
        "failures": _failures(counts["data"]),
        "unanswered": f"leg_hangup_cause={','.join(UNANSWERED)}",
        "dials_max": counts["limits"]["dials_per_s"],
        "lag_ms": counts["meta"]["lag_ms"],
        "lag_expected_ms": LAG_EXPECTED_MS,
        "rows": [live_row(session, now) for session in listed["data"]],
        "rows_max": rows_max,
        "status": status,
        "is_past": status in PAST,
        "statuses": [(name, _STATUS_WORDS[name]) for name in STATUSES],
        "filters": filters,
        "searched": _searched(filters),
        "query": request.url.query,
        "newest": _with(filters) if "before" in query else None,
        "older": None if following is None else _with(filters, before=following),
    }


def _searched(filters: dict[str, str]) -> str:
    """The search for these among all calls, whether they are up or not; empty without a filter."""
    asked = {theirs: filters[ours] for theirs, ours in NAMES.items() if ours in filters}
    return f"/console/search?{urlencode({**asked, 'any_leg': 'true'})}" if asked else ""


def _tiles(counts: dict[str, Any], filters: dict[str, str]) -> list[dict[str, Any]]:
    """A tile for each state, which leads to its calls with the other filters kept."""
    return [
        {
            "name": name,
            "words": "active" if name == "active" else STATES[name],
            "value": counts[name],
            "link": _with(filters, status=name),
        }
        for name in ("active", *PHASES)
    ]


def _failures(counts: dict[str, Any]) -> list[dict[str, Any]]:
    """How many calls failed, and how many had failed commands, with the searches for them."""
    return [
        {
            "words": words,
            "title": title,
            "value": counts[name],
            "is_more": counts[name] == FAILED_MAX,
            "link": f"/console/search?{urlencode({**asked, 'last': '1h'})}",
        }
        for name, words, title, asked in _FAILURES
    ]


def _with(filters: dict[str, str], **more: object) -> str:
    return f"?{urlencode({**filters, **more})}"


_FAILURES = (
    (
        "failed",
        "failed",
        "Calls of the last hour that are parked because their flow raised, or with a leg that "
        "failed and none answered later. A leg that was busy or not answered has not failed",
        {"failed": "true"},
    ),
    (
        "failed_commands",
        "with failed commands",
        "Calls of the last hour with a command that was refused, not allowed, too late, or retried "
        "until its leg ended",
        {"failed_command": "*"},
    ),
    (
        "flow_raised",
        "whose flow raised",
        "Calls of the last hour that were parked because the flow raised, resumed or not",
        {"flow_raised": "true"},
    ),
)
_STATUS_WORDS = {
    "active": "Up now",
    "setting_up": "Setting up",
    "waiting": "Waiting",
    "talking": "Talking",
    "ended": "Ended",
    "empty": "No legs",
    "all": "All",
}

LIVE = Page(path="/", template="live.html", shown=shown, in_menu="Live", at_once=BAR)
LIVE_NOW = Page(path="/live/now", template="live_now.html", shown=shown_now)
