"""From a figure to the calls behind it, and from one view of the page to another. Pure."""

from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlencode

from offhook.api.console.charts.ranges import rfc3339

FILTERS = (
    "direction",
    "connection_id",
    "number_prefix",
    "flow",
    "flow_version",
    "hangup_cause",
    "hangup_source",
    "sip_hangup_cause",
)
"""Parameters of the page that are the API's too."""


NONE = "!*"
"""The search pattern of what has no value."""

WITHOUT_COUNTRY = "!+*,!sip:+*,!sips:+*,!tel:+*"
"""The search pattern of numbers that have no prefix, which is a country and an area of it."""

_REMOTE = {"incoming": "from_number", "outgoing": "to_number"}


def calls_url(start: datetime, end: datetime, filters: Mapping[str, str]) -> str:
    """The search for sessions with a leg that started in a range and has all these values.

    The remote number is that of the leg if the direction is known, otherwise of any leg: without
    a direction, calls that have no prefix cannot be found.
    """
    asked = {name: value for name, value in filters.items() if name != "number_prefix"}
    if (prefix := filters.get("number_prefix")) is not None:
        side = _REMOTE.get(filters.get("direction", ""), "number")
        asked[side] = WITHOUT_COUNTRY if prefix == NONE else f"{prefix}*"
    # Of a hundred points most have no filter, and urlencode would take a millisecond for them.
    within = f"started_from={_escaped(start)}&started_before={_escaped(end)}&any_leg=true"
    return f"/console/search?{urlencode(asked)}&{within}" if asked else f"/console/search?{within}"


def _escaped(at: datetime) -> str:
    return rfc3339(at).replace(":", "%3A")


def span_filters(name: str, above_s: float, most_s: float | None) -> dict[str, str]:
    """The search's filters for a duration above the one and at most the other."""
    # The search includes both bounds; durations are whole microseconds.
    least = {f"{name}_s_min": f"{above_s + 1e-6:.6f}" if above_s else "0"}
    return least | ({} if most_s is None else {f"{name}_s_max": f"{most_s:.6f}"})


def view_url(given: Mapping[str, str], **changed: str | None) -> str:
    """This page with some parameters changed; None takes one away."""
    asked = {**given, **changed}
    return f"?{urlencode({name: value for name, value in asked.items() if value})}"
