"""A session: why it ended, its ladder, its legs, commands and records, now or as of a moment."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import msgspec
from starlette.requests import Request

from offhook.api.console.client import Api, ApiRefused
from offhook.api.console.ladder.drawing import Order, draw
from offhook.api.console.page import Page, Shown
from offhook.flow import API_FLOW, ARCHIVED, NO_FLOW, PARKED
from offhook.position import position_from, position_text
from offhook.wording.causes import sip_text
from offhook.wording.moments import seconds_between, shown_span
from offhook.wording.why import event_name, tone_of, why

RECORDS_MAX = 2_000
"""Records shown of a session; the timeline of the API has them all."""

LINKS_MAX = 10
"""Sessions that are linked from one."""

NO_FLOWS = frozenset({API_FLOW.name, ARCHIVED.name, NO_FLOW.name, PARKED.name})
"""What decides in place of a flow; a session without any other has no flow test."""

COMMANDING = ("command", "admin")
"""The scopes whose tokens may hang up and transfer."""


async def shown(request: Request, api: Api) -> Shown:
    """The session at `as_of`, or now."""
    session_id = request.path_params["session_id"]
    query = request.query_params
    as_of = query.get("as_of") or None
    order: Order = "true" if query.get("order") == "true" else "arrival"
    reply = await api.get(f"/sessions/{session_id}", {"as_of": as_of})
    detail = reply["data"]
    session_id = detail["session"]["session_id"]
    every, has_more = await _timeline(api, session_id, None)
    records = every if as_of is None else (await _timeline(api, session_id, as_of))[0]
    chosen = position_from(query.get("record") or "")
    who = (await api.get("/whoami"))["data"]
    return {
        **detail,
        "records": records,
        "has_more": has_more,
        "why": why(detail, records),
        "tone": tone_of(detail),
        "drawing": draw(detail, records, order),
        "order": order,
        "as_of": as_of,
        "positions": [entry["seq"] for entry in every],
        "place": len(records),
        "chosen": chosen,
        "record": await _record(api, session_id, chosen, records),
        "has_flow": any(map(_is_of_flow, records)),
        "links": await _links(api, detail, every),
        "may_command": as_of is None and who["scope"] in COMMANDING,
        "up": [leg for leg in detail["legs"] if leg["ended_at"] is None],
        "as_of_seq": reply["meta"]["as_of_seq"],
        "elapsed": lambda start, end: shown_span(seconds_between(start, end)) or "–",
        "sip": sip_text,
        "position": position_text,
        "event_name": event_name,
        "pretty": pretty,
        "pretty_body": pretty_body,
        "signed_at": signed_at,
        "link": _linker(request.query_params),
    }


def pretty(value: Any) -> str:
    """JSON on several lines."""
    return msgspec.json.format(msgspec.json.encode(value)).decode()


def pretty_body(record: Mapping[str, Any]) -> str:
    """The stored body: on several lines if it is JSON, else as it is."""
    body: str | None = record["body"]
    if body is None:
        return f"base64: {record['body_base64']}"
    try:
        return msgspec.json.format(body.encode()).decode()
    except msgspec.DecodeError:
        return body


async def _record(
    api: Api, session_id: str, chosen: int | None, records: Sequence[Mapping[str, Any]]
) -> Mapping[str, Any] | None:
    """The chosen record as it was stored, if it is one of these."""
    if not any(entry["seq"] == chosen for entry in records):
        return None
    found: Mapping[str, Any] = await api.get(f"/sessions/{session_id}/timeline/{chosen}")
    data: Mapping[str, Any] = found["data"]
    return data


def _is_of_flow(entry: Mapping[str, Any]) -> bool:
    match entry["type"]:
        case "Decided":
            return entry["fields"].get("flow") not in (None, *NO_FLOWS)
        case kind:
            return bool(kind == "SessionParked")


def signed_at(signature: Mapping[str, Any]) -> str | None:
    """When the carrier signed, as a time of the API; None if it is no time."""
    try:
        return datetime.fromtimestamp(int(signature["timestamp"]), UTC).isoformat()
    except (OSError, OverflowError, TypeError, ValueError):
        return None


def _linker(query: Mapping[str, str]) -> Callable[..., str]:
    """This page's URL with some of its query changed; None takes a parameter away."""
    kept = {name: query[name] for name in ("as_of", "order", "record") if query.get(name)}

    def link(**changes: object) -> str:
        wanted = {name: value for name, value in (kept | changes).items() if value is not None}
        return f"?{urlencode(wanted)}"

    return link


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


async def _links(
    api: Api, detail: Mapping[str, Any], records: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The sessions that its dials placed, and those whose dials placed it."""
    own = detail["session"]["session_id"]
    found: dict[str, str] = {}
    for command in detail["commands"]:
        if command["answer_session_id"] not in (None, own):
            found.setdefault(command["answer_session_id"], "Dialled from here")
        if command["session_id"] != own:
            found.setdefault(command["session_id"], "Dialled this call")
    for entry in records:
        if entry["session_id"] != own:
            found.setdefault(entry["session_id"], "Dialled this call")
    links = []
    for session_id, how in list(found.items())[:LINKS_MAX]:
        try:
            other = (await api.get(f"/sessions/{session_id}"))["data"]["session"]
        except ApiRefused:
            continue  # its dial was refused, or it is archived
        if other["session_id"] != own:  # the id of a requested dial leads to the call itself
            links.append({"how": how, "session": other})
    return links


SESSION = Page(path="/sessions/{session_id}", template="session.html", shown=shown)
LADDER = Page(
    path="/sessions/{session_id}/ladder.svg",
    template="ladder.svg",
    shown=shown,
    media_type="image/svg+xml",
)
