"""Health: every role, how far the views are, webhooks, commands, and parked sessions.

/console/health                all but what the roles say, which takes 0.3 s
/console/health?roles=wait     with it: for the page's script, and for a browser without scripts
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request

from offhook.api.console.client import Api, ApiRefused
from offhook.api.console.page import HEAD, Page, Shown
from offhook.api.console.page_query import choice_in
from offhook.wording.why import REASONS

PARKED_ROWS_MAX = 50

WHOLE = "/console/health?roles=wait"

ROLES = ("ingress", "worker", "projector", "api")

TAKEN = {
    "stored": "stored for the first time",
    "duplicate": "in the log already",
}
REFUSED = {
    "no_signature": "without a signature or its timestamp",
    "api_v1": "signed as API v1: set webhook_api_version to 2 in the portal",
    "bad_signature": "signed with another key: check OFFHOOK_PUBLIC_KEYS",
    "timestamp": "signed too long ago, or the clocks differ",
    "too_large": "over the size limit",
    "slow": "the body did not arrive in time",
    "method": "not a POST",
    "log_unavailable": "the log did not answer; the carrier sends it again",
    "left": "the sender closed the connection",
}


async def shown(request: Request, api: Api) -> Shown:
    """Each part of the page, or why it is not known: roles are needed most while others fail."""
    is_whole = choice_in(request.query_params, "roles", ("later", "wait"), "later") == "wait"
    roles, views, commands, parked = await asyncio.gather(
        _asked(api, "/health/roles", {}) if is_whole else _not_asked(),
        _asked(api, "/health/views", {}),
        _asked(api, "/health/commands", {}),
        _asked(api, "/parked", {"limit": PARKED_ROWS_MAX}),
    )
    answered = roles["data"] or []
    webhooks = webhooks_of(answered)
    return {
        "is_whole": is_whole,
        "whole": WHOLE,
        "expected": ROLES,
        "roles": roles,
        "views": views,
        "commands": commands,
        "parked": parked,
        "webhooks": webhooks,
        "refused": sum(each["count"] for each in webhooks if each["is_refused"]),
        "again": sum(each["count"] for each in webhooks if each["result"] == "duplicate"),
        "missing": [role for role in ROLES if role not in {each["role"] for each in answered}],
        "ready": sum(each["ready"] is True for each in answered),
        "lag_ms": worst_lag_ms(views["data"]),
        "work_of": work_of,
        "failures": failures_of(commands["data"]),
    }


async def _not_asked() -> dict[str, Any]:
    return {"data": None, "trouble": ""}


async def _asked(api: Api, path: str, parameters: Mapping[str, object]) -> dict[str, Any]:
    """The reply, with `trouble` as text if there is none."""
    try:
        reply = await api.get(path, parameters)
    except ApiRefused as refused:
        if refused.status in (401, 403):
            raise
        return {"data": None, "trouble": refused.detail}
    return {**reply, "trouble": ""}


def webhooks_of(roles: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What every ingress answered to webhooks, added up: what was taken first, then the refusals
    by their number."""
    counts: Counter[str] = Counter()
    for role in roles:
        for figure in role["figures"]:
            if figure["name"] == "offhook_webhooks_total":
                counts[figure["labels"]["result"]] += int(figure["value"])
    results = [*TAKEN, *(name for name, _ in counts.most_common() if name not in TAKEN)]
    return [
        {
            "result": name,
            "count": counts[name],
            "meaning": TAKEN.get(name) or REFUSED.get(name, ""),
            "is_refused": name not in TAKEN,
        }
        for name in results
        if counts[name] or name in TAKEN
    ]


def failures_of(commands: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The failed commands by reason, each with the search for its calls; those that only came after
    the end of their leg have none, because that is no failure."""
    if commands is None:
        return []
    counts = dict(commands["failed"])
    overtaken = commands["overtaken"]
    only_late = counts.pop("call_ended", 0) - overtaken
    if overtaken:
        counts["call_ended"] = overtaken
    failures = [
        {
            "words": f"failed: {reason}",
            "count": count,
            "meaning": REASONS.get(reason, ""),
            "link": f"/console/search?{urlencode({'failed_command': reason, 'last': '24h'})}",
        }
        for reason, count in sorted(counts.items())
    ]
    if only_late:
        words, meaning = "too late: the leg had ended", "no failure"
        failures.append({"words": words, "count": only_late, "meaning": meaning, "link": None})
    return failures


def worst_lag_ms(views: Mapping[str, Any] | None) -> int | None:
    """The longest lag of all partitions; None if one is not known."""
    if views is None:
        return None
    lags = [each["lag_ms"] for each in views["partitions"]]
    return None if None in lags else max(lags, default=0)


def work_of(role: Mapping[str, Any]) -> str:
    """What the role counted since it started, in a few words."""
    sums: Counter[str] = Counter()
    for figure in role["figures"]:
        sums[figure["name"]] += figure["value"]
    said = [
        _counted(int(sums[name]), words)
        for name, words in _WORK.get(role["role"], {}).items()
        if name in sums
    ]
    return ", ".join(said)


def _counted(number: int, words: str) -> str:
    """`1 command waiting`, `2 commands waiting`."""
    first, *rest = words.split()
    one = first.removesuffix("s") if number == 1 else first
    return " ".join([f"{number:,}", one, *rest])


_WORK: Mapping[str, Mapping[str, str]] = {
    "ingress": {"offhook_webhooks_total": "webhooks"},
    "worker": {
        "offhook_decisions_total": "decisions",
        "offhook_commands_total": "commands",
        "offhook_lanes": "sessions now",
        "offhook_commands_waiting": "commands waiting",
        "offhook_carrier_busy_total": "answers 429",
        "offhook_sessions_parked_total": "parked",
    },
    "projector": {
        "offhook_projector_records_total": "records",
        "offhook_projector_repeated_total": "repeated",
        "offhook_projector_restarts_total": "restarts",
        "offhook_projector_sessions_parked_total": "parked",
    },
    "api": {"offhook_api_requests_total": "requests"},
}

HEALTH = Page(path="/health", template="health.html", shown=shown, in_menu="Health", at_once=HEAD)
