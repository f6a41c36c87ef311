"""A session: why it ended, its ladder, its legs, commands and records, now or as of a moment."""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import starmap
from typing import Any
from urllib.parse import quote, urlencode

from starlette.requests import Request

from offhook.api.console.client import Api, ApiRefused
from offhook.api.console.ladder.drawing import Order, draw
from offhook.api.console.page import HEAD, Later, Page, Shown
from offhook.api.console.page_query import choice_in, named, not_expected
from offhook.api.console.record_text import pretty, record_text, with_positions
from offhook.flow import WITHOUT_FLOW
from offhook.position import position_from, position_text
from offhook.wording.asked import numbers_of
from offhook.wording.causes import sip_text
from offhook.wording.durations import duration
from offhook.wording.ended_by import ender_of, who_sent
from offhook.wording.moments import seconds_between
from offhook.wording.why import event_name, tone_of, why

RECORDS_MAX = 200
"""Records on a page: the last ones of the session, or those before or after another."""

LAST = 2**63 - 1
"""Above every position, as the API has it."""

COMMANDS_MAX = 200
"""Commands in the table, the last ones."""

EARLIER_MAX = 20
"""Earlier commands that failed, and as many dials: what the sentence and the links are about."""

ISSUED_MAX = 10
"""Commands that were decided before the first record on the page, and have an outcome on it."""

LINKS_MAX = 10
"""Sessions that are linked from one."""

ORDERS = ("arrival", "true")

PARAMETERS = ("as_of", "order", "record", "before", "after")

COMMANDING = ("command", "admin")
"""The scopes whose tokens may hang up and transfer."""


async def shown(request: Request, api: Api) -> Shown:
    """The session at `as_of`, or now: what became of it, then its ladder, then its tables."""
    head = await _head(request, api)

    async def ladder() -> Shown:
        return await _ladder(request, api, head, _ladder_width(request))

    return {
        **head,
        "later": [
            Later(template="session_ladder.html", shown=ladder),
            Later(template="session_tables.html", shown=_nothing_more),
        ],
    }


async def picture(request: Request, api: Api) -> Shown:
    """The ladder to be exported: wide on every device."""
    head = await _head(request, api)
    return {**head, **await _ladder(request, api, head, None)}


async def _head(request: Request, api: Api) -> dict[str, Any]:
    """What became of the session, and the `window` of records that was read for that, if any."""
    quoted = quote(request.path_params["session_id"], safe="")
    as_of = request.query_params.get("as_of") or None
    reply = await api.get(f"/sessions/{quoted}", {"as_of": as_of, "commands_limit": COMMANDS_MAX})
    detail = reply["data"]
    session = detail["session"]
    failed: list[Mapping[str, Any]] = []
    if session["failed_commands"]:
        failed = await earlier_commands(api, detail, as_of, status="failed")
    window: _Window | None = None
    if session["parked"] or session["flow_raised_at"]:
        with suppress(ApiRefused):  # the ladder asks again, and says what was refused
            window = await _records(api, session["session_id"], request.query_params)
    records = window.shown if window else ()
    told = {**detail, "commands": [*failed, *detail["commands"]]}
    return {
        **detail,
        "asked": (asked := asked_in(detail)),
        "parties": asked or session,
        "why": why(told, records),
        "tone": tone_of(told, records),
        "as_of": as_of,
        "as_of_seq": reply["meta"]["as_of_seq"],
        "window": window,
    }


async def _ladder(
    request: Request, api: Api, head: Mapping[str, Any], ladder_width: int | None
) -> Shown:
    """The records on the page, drawn, and what the tables below them need."""
    query, as_of = request.query_params, head["as_of"]
    order: Order = "true" if choice_in(query, "order", ORDERS, "arrival") == "true" else "arrival"
    chosen = _chosen(query.get("record"))
    session_id = head["session"]["session_id"]

    async def read() -> _Window:
        known: _Window | None = head["window"]
        return known or await _records(api, session_id, query)

    window, dials = await asyncio.gather(
        read(), earlier_commands(api, head, as_of, operation="dial")
    )
    every, records = window.every, window.shown
    positions = [entry["seq"] for entry in every]
    has_earlier = bool(every) and head["session"]["first_seq"] not in positions
    drawn = {**head, "commands": [*await issued_before(api, head, records), *head["commands"]]}
    record, links, drawing = await asyncio.gather(
        _record(api, session_id, chosen, records),
        _links(api, {**head, "commands": [*dials, *head["commands"]]}, every),
        # The API sends commands in the meantime.
        asyncio.to_thread(
            draw, drawn, records, order, has_earlier=has_earlier, narrow=ladder_width
        ),
    )
    return {
        "records": records,
        "has_earlier": has_earlier,
        "has_later": window.has_later,
        "drawing": drawing,
        "ladder_width": ladder_width,
        "order": order,
        "positions": positions,
        "place": len(records),
        "chosen": chosen,
        "record": record,
        "has_flow": any(map(_is_of_flow, records)),
        "links": links,
        "commanding": COMMANDING if as_of is None else (),
        "up": legs_up(head["legs"]),
        "elapsed": lambda start, end: duration(seconds_between(start, end), "–"),
        "sip": sip_text,
        "ended_by": partial(ended_by, head),
        "position": position_text,
        "event_name": event_name,
        "pretty": pretty,
        "record_text": record_text,
        "with_positions": with_positions,
        "signed_at": signed_at,
        "link": _linker(query),
    }


def _chosen(record: str | None) -> int | None:
    """The position of the record to show. Raises ApiRefused for anything else."""
    if not record:
        return None
    if (position := position_from(record)) is None:
        raise not_expected("record", record, "a position such as 2:1234")
    return position


async def _nothing_more() -> Shown:
    return {}


def asked_in(detail: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What the first command of a session without legs asked for, and when; None if it has none."""
    if detail["legs"] or not detail["commands"]:
        return None
    first = detail["commands"][0]
    caller, called = numbers_of(first["parameters"])
    return {
        "operation": first["operation"],
        "from_number": caller,
        "to_number": called,
        "asked_at": first["requested_at"] or first["decided_at"],
    }


def ended_by(detail: Mapping[str, Any], leg: Mapping[str, Any]) -> str:
    """Who ended the leg: what of ours did, else the side that the carrier names."""
    ours = ender_of(leg, detail["legs"], detail["commands"])
    return who_sent(ours.command) if ours else leg["hangup_source"] or ""


def _ladder_width(request: Request) -> int | None:
    """Of the ladder's place on a phone, as the page's script noted it; None on a wide screen."""
    text = request.cookies.get(WIDTH_COOKIE, "")
    return int(text) if _WIDTH.fullmatch(text) else None


WIDTH_COOKIE = "offhook_ladder_width"
_WIDTH = re.compile("[2-6][0-9]{2}")


def legs_up(legs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those that can be commanded; one whose hangup was lost has ended without a time."""
    return [leg for leg in legs if leg["state"] != "ended"]


async def earlier_commands(
    api: Api, detail: Mapping[str, Any], as_of: str | None, **kind: str
) -> list[Mapping[str, Any]]:
    """Of the commands of this kind before those in `detail`, the last ones."""
    if detail["commands_next"] is None:
        return []
    path = f"/sessions/{detail['session']['session_id']}/commands"
    page = {"before": detail["commands_next"], "limit": EARLIER_MAX, "as_of": as_of}
    found: list[Mapping[str, Any]] = (await api.get(path, {**page, **kind}))["data"]
    return found


async def issued_before(
    api: Api, detail: Mapping[str, Any], records: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """The commands of records whose decision is on an earlier page, unless `detail` has them."""
    known = {"", *(command["command_id"] for command in detail["commands"])}
    wanted: dict[str, None] = {}
    for entry in records:
        fields = entry["fields"]
        if entry["type"] == "Decided":
            known |= {command["command_id"] for command in fields.get("commands", ())}
        elif entry["type"] in _OF_A_COMMAND and fields.get("command_id", "") not in known:
            wanted[fields["command_id"]] = None

    async def read(command_id: str) -> Mapping[str, Any] | None:
        try:
            command: Mapping[str, Any] = (await api.get(f"/commands/{quote(command_id, safe='')}"))[
                "data"
            ]
        except ApiRefused:
            return None  # nothing but its outcome is known
        return command

    found = await asyncio.gather(*map(read, list(wanted)[:ISSUED_MAX]))
    return [command for command in found if command is not None]


_OF_A_COMMAND = ("CommandAttempted", "CommandSucceeded", "CommandFailed")


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
            return entry["fields"].get("flow") not in (None, *WITHOUT_FLOW)
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
    kept = {name: query[name] for name in PARAMETERS if query.get(name)}

    def link(**changes: object) -> str:
        wanted = {name: value for name, value in (kept | changes).items() if value is not None}
        return f"?{urlencode(wanted)}"

    return link


@dataclass(frozen=True, kw_only=True)
class _Window:
    """A page of records: `every` for the slider to lead through, `shown` those up to `as_of`."""

    every: Sequence[Mapping[str, Any]]
    shown: Sequence[Mapping[str, Any]]
    has_later: bool


async def _records(api: Api, session_id: str, query: Mapping[str, str]) -> _Window:
    """The page of records that the query asks for, with `before`, `after` or neither."""
    as_of = query.get("as_of") or None

    async def found(parameters: Mapping[str, object]) -> tuple[Sequence[Mapping[str, Any]], bool]:
        asked = {"limit": RECORDS_MAX, **parameters}
        with named({"before_seq": "before", "after_seq": "after"}):
            reply = await api.get(f"/sessions/{session_id}/timeline", asked)
        return reply["data"], reply["meta"]["next"] is not None

    if after := query.get("after"):
        wanted: Mapping[str, object] = {"after_seq": _position(after)}
    else:
        wanted = {"before_seq": _position(query.get("before") or str(LAST))}
    if as_of is None:
        every, has_later = await found(wanted)
        return _Window(every=every, shown=every, has_later=has_later)
    last = {"before_seq": LAST, "as_of": as_of}
    (every, has_later), (until, _) = await asyncio.gather(found(wanted), found(last))
    past = {entry["seq"] for entry in until}
    if not any(entry["seq"] in past for entry in every):
        return _Window(every=until, shown=until, has_later=True)
    shown = [entry for entry in every if entry["seq"] in past]
    return _Window(every=every, shown=shown, has_later=has_later)


def _position(text: str) -> object:
    """The number; the text itself if it is none, for the API to refuse."""
    position = position_from(text)
    return text if position is None else position


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

    async def linked(session_id: str, how: str) -> dict[str, Any] | None:
        try:
            other = (await api.get(f"/sessions/{session_id}", {"commands_limit": 1}))["data"][
                "session"
            ]
        except ApiRefused:
            return None  # its dial was refused, or it is archived
        # The id of a requested dial leads to the call itself.
        return None if other["session_id"] == own else {"how": how, "session": other}

    wanted = list(found.items())[:LINKS_MAX]
    return [link for link in await asyncio.gather(*starmap(linked, wanted)) if link is not None]


SESSION = Page(
    path="/sessions/{session_id}",
    template="session.html",
    shown=shown,
    at_once=HEAD,
)
LADDER = Page(
    path="/sessions/{session_id}/ladder.svg",
    template="ladder.svg",
    shown=picture,
    media_type="image/svg+xml",
)
