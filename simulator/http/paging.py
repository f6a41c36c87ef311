"""Pages of lists. Active calls have both forms, any other list has numbered pages only.

    page[number], page[size]                  numbered pages from 1
    page[after], page[before], page[limit]    cursors: the position of a leg, ended or not

The `meta` of active calls has what both forms need. The documents promise the cursors only, but the
official SDK reads page_number and total_pages, and without them asks for page after page forever.
"""

import base64
import binascii
import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

from offhook.simulator.call.legs import SimulatedLeg
from offhook.simulator.errors import request_errors
from offhook.simulator.timestamps import iso_microseconds

SIZE_DEFAULT = 20
SIZE_MAX = 250
NUMBER_MAX = 1_000_000
Item = TypeVar("Item")


def numbered(
    items: Sequence[Item], query: Mapping[str, str]
) -> tuple[Sequence[Item], dict[str, int]]:
    """The numbered page that the query asks for, and its `meta`. Raises CarrierError (10033)."""
    number = _number(query, "page[number]", 1, NUMBER_MAX)
    size = _number(query, "page[size]", SIZE_DEFAULT, SIZE_MAX)
    start = (number - 1) * size
    return items[start : start + size], {
        "page_number": number,
        "page_size": size,
        "total_pages": max(1, -(-len(items) // size)),
        "total_results": len(items),
    }


@dataclass(frozen=True, kw_only=True)
class Page:
    """Some of the legs, and the `meta` that leads to the others."""

    legs: Sequence[SimulatedLeg]
    meta: Mapping[str, Any]


def page_of(legs: Sequence[SimulatedLeg], query: Mapping[str, str], path: str) -> Page:
    """The page that the query asks for; `path` is that of the list. Raises CarrierError."""
    ordered = sorted(legs, key=_position)
    positions = [_position(leg) for leg in ordered]
    size_name = "page[size]" if "page[size]" in query else "page[limit]"
    size = _number(query, size_name, SIZE_DEFAULT, SIZE_MAX)
    if "page[number]" in query:
        start = (_number(query, "page[number]", 1, NUMBER_MAX) - 1) * size
        stop = start + size
    elif "page[after]" in query:
        start = bisect.bisect_right(positions, _position_in(query, "page[after]"))
        stop = start + size
    elif "page[before]" in query:
        stop = bisect.bisect_left(positions, _position_in(query, "page[before]"))
        start = max(0, stop - size)
    else:
        start, stop = 0, size
    on_page = ordered[start:stop]
    meta: dict[str, Any] = {
        "total_items": len(ordered),
        "page_number": start // size + 1,
        "page_size": size,
        "total_pages": max(1, -(-len(ordered) // size)),
        "total_results": len(ordered),
    }
    if on_page:
        before, after = _cursor(on_page[0]), _cursor(on_page[-1])
        meta["cursors"] = {"before": before, "after": after}
        if stop < len(ordered):
            meta["next"] = f"{path}?page[after]={quote(after)}&page[limit]={size}"
        if start > 0:
            meta["previous"] = f"{path}?page[before]={quote(before)}&page[limit]={size}"
    return Page(legs=on_page, meta=meta)


_Position = tuple[str, str]


def _position(leg: SimulatedLeg) -> _Position:
    return iso_microseconds(leg.started_at), leg.call_control_id


def _cursor(leg: SimulatedLeg) -> str:
    return "v1:" + base64.urlsafe_b64encode("|".join(_position(leg)).encode()).decode()


def _position_in(query: Mapping[str, str], parameter: str) -> _Position:
    try:
        text = base64.urlsafe_b64decode(query[parameter].removeprefix("v1:")).decode()
    except (binascii.Error, ValueError):
        raise request_errors.cursor_invalid(parameter) from None
    started_at, bar, call_control_id = text.partition("|")
    if not bar:
        raise request_errors.cursor_invalid(parameter)
    return started_at, call_control_id


def _number(query: Mapping[str, str], parameter: str, default: int, largest: int) -> int:
    text = query.get(parameter)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= largest):
        raise request_errors.page_out_of_range(parameter, largest)
    return int(text[:9])
