"""Search: find calls by number, outcome, cause, flow and time; export what was found.

The query has the names of the API's filters, `last` for a range until now, and `before_seq` for the
next page. `last` has precedence over started_from and started_before; today begins at midnight in
the time zone `tz`, UTC without one.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request

from offhook.api.console.charts.ranges import TODAY, floor_of, zone_of
from offhook.api.console.client import Api, ApiRefused
from offhook.api.console.page import BAR, Page, Shown
from offhook.api.console.page_query import choice_in
from offhook.commands import COMMANDS
from offhook.wording.causes import CAUSES, cause_text, sip_text
from offhook.wording.found_row import found_row
from offhook.wording.why import REASONS

ROWS_MAX = 50
"""Rows on a page; older sessions are on the next one."""

FIRST = (
    *("number", "failed", "failed_command", "flow_raised", "status"),
    *("hangup_cause", "sip_hangup_cause", "any_leg"),
)
STARTED = ("started_from", "started_before")
TIMES = (*STARTED, "flow_raised_from", "flow_raised_before")
MORE = (
    *("leg_hangup_cause", "leg_sip_hangup_cause"),
    *("from_number", "to_number", "direction", "hangup_source", "flow", "flow_version"),
    *("connection_id", "session_id", "call_control_id"),
    *TIMES,
    *("ended_from", "ended_before", "duration_s_min", "duration_s_max"),
    *("answered", "answer_delay_s_min", "answer_delay_s_max", "talk_s_min", "talk_s_max"),
)
"""Filters that are hidden until one of them is in use, or the reader asks for them."""

OF_A_LEG = frozenset(
    {
        *("hangup_cause", "hangup_source", "sip_hangup_cause"),
        *("from_number", "to_number", "direction", "connection_id", "call_control_id"),
    }
)
"""Filters that may find another leg than the first one."""

RANGES: Mapping[str, tuple[str, timedelta | None]] = {
    TODAY: ("Today", None),
    "1h": ("Last hour", timedelta(hours=1)),
    "24h": ("Last 24 hours", timedelta(days=1)),
    "7d": ("Last 7 days", timedelta(days=7)),
    "31d": ("Last 31 days", timedelta(days=31)),
}
"""Until now, since midnight if there is no length."""

FAILURES = {
    "*": "any command",
    **{name: f"any command: {words}" for name, words in REASONS.items()},
    **dict.fromkeys(sorted(COMMANDS), "this operation"),
}
"""What `failed_command` can be."""

STARTS = (
    ("Failed", {"failed": "true", "last": "24h"}),
    ("Failed commands", {"failed_command": "*", "last": "24h"}),
    ("Flow raised", {"flow_raised": "true", "last": "24h"}),
    ("Busy", {"hangup_cause": "user_busy", "any_leg": "true", "last": "24h"}),
    ("SIP 5xx", {"sip_hangup_cause": "5*", "any_leg": "true", "last": "24h"}),
    ("Longer than an hour", {"duration_s_min": "3600", "last": "24h"}),
)
"""Searches to begin with, of the last 24 hours."""


async def shown(request: Request, api: Api) -> Shown:
    """The sessions that the query asks for, newest first. What the API refuses is said."""
    query = request.query_params
    given = given_in(query)
    filters: dict[str, Any] = {}
    page: dict[str, object] = {
        "before_seq": query.get("before_seq") or None,
        "limit": ROWS_MAX,
        "include": "legs",
    }
    error = ""
    causes = Causes()
    sessions: list[dict[str, Any]] = []
    following: int | None = None
    try:
        filters = filters_of(given, datetime.now(UTC))
        wanted = api.get("/sessions", filters | page)
        if page["before_seq"] is None:
            listed, causes = await asyncio.gather(wanted, _causes(api, given, filters))
        else:
            listed = await wanted
        sessions, following = listed["data"], listed["meta"]["next"]
    except ApiRefused as refused:
        if refused.status != 422:
            raise
        error = refused.detail
    return {
        "given": given,
        "more_given": any(name in given for name in MORE),
        "times": {name: in_utc(given.get(name, "")) for name in TIMES},
        "ranges": RANGES,
        "today": TODAY,
        "causes": CAUSES,
        "failures": FAILURES,
        "starts": [(words, f"?{urlencode(each)}") for words, each in STARTS],
        "error": error,
        "by_cause": causes,
        "rows": [found_row(session) for session in sessions],
        "offers": [] if sessions or error else offers_for(given),
        "newest": f"?{urlencode(given)}" if page["before_seq"] else None,
        "older": None if following is None else f"?{urlencode({**given, 'before_seq': following})}",
        "exported": urlencode(filters),
    }


@dataclass(frozen=True, kw_only=True)
class Cause:
    """How many of the sessions have it, in words, and the query that finds just them, if any."""

    sessions: int
    words: str
    title: str
    link: str | None


@dataclass(frozen=True, kw_only=True)
class Causes:
    """What failed in the sessions that match; `newest`, if only so many of them were counted."""

    found: Sequence[Cause] = ()
    newest: int | None = None


async def _causes(api: Api, given: Mapping[str, str], filters: Mapping[str, object]) -> "Causes":
    """What failed in all that match, if the search is for failures."""
    if given.get("failed") != "true" and "failed_command" not in given:
        return Causes()
    try:
        counted = (await api.get("/sessions/failures", filters))["data"]
    except ApiRefused:
        return Causes()  # what was found is shown without them
    newest = counted["sessions"] if counted["has_more"] else None
    return Causes(found=causes_of(given, counted), newest=newest)


def causes_of(given: Mapping[str, str], counted: Mapping[str, Any]) -> list[Cause]:
    """A cause for each count of the API; those of commands only if commands are searched."""

    def cause(sessions: int, words: str, title: str, **filters: str) -> Cause:
        is_exact = (
            given["failed_command"] == "*"
            if "failed_command" in filters
            else not given.keys() & filters.keys()
        )
        link = f"?{urlencode({**given, **filters}, safe='*')}" if is_exact else None
        return Cause(sessions=sessions, words=words, title=title, link=link)

    found = []
    if given.get("failed") == "true":
        for each in counted["legs"]:
            name, sip = each["hangup_cause"], each["sip_hangup_cause"]
            code = "" if sip in (None, "unspecified") else f" {sip}"
            title = ", ".join(filter(None, [cause_text(name), sip_text(sip)]))
            asked = {"leg_hangup_cause": name or "!*", "leg_sip_hangup_cause": sip or "!*"}
            found.append(cause(each["sessions"], f"{name}{code}", title, **asked))
        if raised := counted["flow_raised"]:
            title = "The flow raised, and the session is or was parked"
            found.append(cause(raised, "flow raised", title, flow_raised="true"))
    if "failed_command" in given:
        for each in counted["operations"]:
            name = each["operation"]
            title = f"A command {name} failed"
            found.append(cause(each["sessions"], name, title, failed_command=name))
        for each in counted["reasons"]:
            name = each["reason"]
            title = f"A command failed: {REASONS.get(name, name)}"
            found.append(cause(each["sessions"], name, title, failed_command=name))
    return sorted(found, key=lambda each: -each.sessions)


def given_in(query: Mapping[str, str]) -> dict[str, str]:
    """What the query filters by, in the order of the form."""
    names = (*FIRST, "last", "tz", *MORE)
    given = {name: text for name in names if (text := query.get(name, "").strip())}
    if given.get("last") != TODAY:
        given.pop("tz", None)
    if "last" in given:
        given = {name: text for name, text in given.items() if name not in STARTED}
    return given


def offers_for(given: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """What may have been meant, if nothing was found: a question, and words and query of a link."""
    offers: list[tuple[str, str, dict[str, str]]] = []
    number = given.get("number", "")
    text = number.removesuffix("*")
    if _SESSION_ID.fullmatch(text) and _LETTER.search(text):
        words = "Search for the session"
        offers.append(
            ("Is it the id of a session, or its start?", words, {"session_id": f"{text}*"})
        )
    elif _END.fullmatch(number):
        end = f"*{_NO_DIGIT.sub('', number)}"
        words = f"Search for {end}"
        offers.append(("Is it the end of a number?", words, {**given, "number": end}))
    if given.get("any_leg") != "true" and OF_A_LEG & given.keys():
        words = "Search all legs"
        offers.append(("Only first legs were searched.", words, {**given, "any_leg": "true"}))
    return [
        (question, words, f"?{urlencode(query, safe='*')}") for question, words, query in offers
    ]


def filters_of(given: Mapping[str, str], now: datetime) -> dict[str, Any]:
    """The parameters of the API. A time without an offset is in UTC, as in the form.

    Raises ApiRefused 422 for an unknown range or time zone.
    """
    filters = {name: text for name, text in given.items() if name not in ("last", "tz")}
    if "last" in given:
        length = RANGES[choice_in(given, "last", RANGES, TODAY)][1]
        since = (
            now - length
            if length
            else floor_of(now.astimezone(zone_of(given.get("tz", "UTC"))), "day")
        )
        filters["started_from"] = since.isoformat(timespec="seconds")
    for name in TIMES:
        if (text := filters.get(name)) and _LOCAL.fullmatch(text):
            filters[name] = f"{text}{':00' if len(text) == _TO_MINUTE else ''}Z"
    return filters


def in_utc(text: str) -> str:
    """A time of the query for an input of type datetime-local; empty if it is not one."""
    try:
        at = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        return ""
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%S")


_LOCAL = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?")
_SESSION_ID = re.compile(r"[A-Za-z0-9_-]{4,64}")
_LETTER = re.compile(r"[A-Za-z]")
_END = re.compile(r"[0-9(][0-9 ().-]{2,}")  # without a country code
_NO_DIGIT = re.compile(r"[^0-9]")
_TO_MINUTE = len("2026-11-22T10:00")

SEARCH = Page(path="/search", template="search.html", shown=shown, in_menu="Search", at_once=BAR)
