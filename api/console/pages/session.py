"""A session: why it ended, its ladder, its legs, commands and records, now or as of a moment."""

from datetime import datetime
from typing import Any

from starlette.requests import Request

from offhook.api.console.client import Api
from offhook.api.console.ladder.causes import sip_text
from offhook.api.console.ladder.why import event_name, tone_of, why
from offhook.api.console.page import Page, Shown
from offhook.api.console.rendering import duration
from offhook.position import position_text

RECORDS_MAX = 2_000
"""Records shown of a session; the timeline of the API has them all."""


async def shown(request: Request, api: Api) -> Shown:
    """The session at `as_of`, or now."""
    session_id = request.path_params["session_id"]
    as_of = request.query_params.get("as_of") or None
    reply = await api.get(f"/sessions/{session_id}", {"as_of": as_of})
    detail = reply["data"]
    records, has_more = await _timeline(api, session_id, as_of)
    return {
        "session": detail["session"],
        "legs": detail["legs"],
        "commands": detail["commands"],
        "records": records,
        "has_more": has_more,
        "why": why(detail, records),
        "tone": tone_of(detail),
        "as_of": as_of,
        "meta": reply["meta"],
        "elapsed": elapsed,
        "sip": sip_text,
        "position": position_text,
        "event_name": event_name,
    }


def elapsed(start: str | None, end: str | None) -> str:
    """The time between two moments of the API; below ten seconds in milliseconds."""
    if not start or not end:
        return "–"
    seconds = (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
    return f"{seconds * 1000:.0f} ms" if abs(seconds) < 10 else duration(seconds)


async def _timeline(api: Api, session_id: str, as_of: str | None) -> tuple[list[Any], bool]:
    """The records until then, and whether there are more than are shown."""
    records: list[Any] = []
    after = None
    while len(records) < RECORDS_MAX:
        page = await api.get(
            f"/sessions/{session_id}/timeline", {"as_of": as_of, "after_seq": after}
        )
        records += page["data"]
        after = page["meta"]["next"]
        if after is None:
            return records, False
    return records[:RECORDS_MAX], True


SESSION = Page(path="/sessions/{session_id}", template="session.html", shown=shown)
