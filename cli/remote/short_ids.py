"""Sessions and legs that are named by the start of their id, as the API's search finds them."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from offhook.cli.listing import GAP
from offhook.cli.printable import printable
from offhook.cli.remote.exchange import ErrorResponse, RemoteServer
from offhook.commands.paths import call_path
from offhook.errors import OperatorFault
from offhook.wording.found_row import found_row

CANDIDATES_MAX = 10
"""Ids that are printed if several start so."""

LEG_START_MIN = 8
LEG_START_MAX = 40
"""Characters of a leg's start: v3: and some of its own, and less than the carrier's whole ids have.

Of a longer text no search is made, so that a command to a leg is sent at once.
"""

_START = re.compile(r"[A-Za-z0-9_:=-]+")


def session_starting(api: RemoteServer, start: str) -> str | None:
    """The session whose id starts so; None if there is none.

    Raises OperatorFault if there are several, ErrorResponse or Unanswered.
    """
    if not _START.fullmatch(start):
        return None
    found = _sessions(api, {"session_id": f"{start}*"})
    lines = {each["session_id"]: GAP.join(_about(each)) for each in found}
    return _one(lines, "session", start)


def whole_leg(api: RemoteServer, text: str) -> str:
    """The leg whose id is the text, or starts so; the text itself if there is none.

    Raises OperatorFault if there are several, or if the start is too short to be searched.
    """
    if text.startswith("v3:") and len(text) < LEG_START_MIN:  # no id of the carrier is so short
        raise OperatorFault(
            f"{text} is too short for the start of a leg's id; expected at least {LEG_START_MIN} "
            "characters"
        )
    if not LEG_START_MIN <= len(text) <= LEG_START_MAX or not _START.fullmatch(text):
        return text
    try:
        api.ask("GET", f"/v2{call_path(text)}")
    except ErrorResponse:
        found = _sessions(api, {"call_control_id": f"{text}*", "any_leg": "true"})
        legs = {
            leg["call_control_id"]: GAP.join([leg["state"], *_about(each)])
            for each in found
            for leg in each["legs"]
            if leg["call_control_id"].startswith(text)
        }
        return _one(legs, "leg", text) or text
    return text


def _sessions(api: RemoteServer, query: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    """Calls, then sessions without legs, which are not listed among them."""
    query = {**query, "include": "legs", "limit": str(CANDIDATES_MAX + 1)}
    seen = set()
    for more in ({}, {"status": "empty"}):
        for each in api.ask("GET", "/sessions", query={**query, **more}).body["data"]:
            if each["session_id"] not in seen:
                seen.add(each["session_id"])
                yield each


def _about(session: Mapping[str, Any]) -> list[str]:
    """When it started, its outcome, and who called whom."""
    row = found_row(session)
    at = datetime.fromisoformat(row.started_at).astimezone(UTC) if row.started_at else None
    started = f"{at:%Y-%m-%d %H:%M:%S}" if at else "–"
    return [started, row.outcome_words, printable(f"{row.from_number} → {row.to_number}")]


def _one(lines: Mapping[str, str], what: str, start: str) -> str | None:
    """The one key; None without any. Raises OperatorFault, with the lines, if there are more."""
    if len(lines) <= 1:
        return next(iter(lines), None)
    more = len(lines) > CANDIDATES_MAX
    count = f"more than {CANDIDATES_MAX}" if more else f"{len(lines)}"
    shown = [f"{GAP}{id_}{GAP}{about}" for id_, about in lines.items()][:CANDIDATES_MAX]
    raise OperatorFault(
        "\n".join(
            [f"{count} {what}s have an id that starts with {start}; give more of it:", *shown]
        )
    )
