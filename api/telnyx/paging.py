"""Pages of active calls, in both forms that the carrier accepts.

    page[number], page[size]                  numbered pages from 1
    page[after], page[before], page[limit]    cursors; a position by call_control_id, valid even
                                              after its leg has ended

`meta` in the answer has what both forms need. The carrier's documents describe only the cursors,
but the official SDK reads page_number and total_pages, and without them requests pages forever. A
page beyond the last one is empty, which ends the list in any case.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from offhook.api.errors import refusal
from offhook.errors import shown
from offhook.projections.views.live.active_legs import LegPage

SIZE_DEFAULT = 20
SIZE_MAX = 250
NUMBER_MAX = 1_000_000

PAGE_PARAMETERS = [
    {
        "name": name,
        "in": "query",
        "required": False,
        "description": description,
        "schema": {"type": kind},
    }
    for name, kind, description in (
        ("page[number]", "integer", "Page number, from 1"),
        ("page[size]", "integer", f"Legs on a page, at most {SIZE_MAX}; default: {SIZE_DEFAULT}"),
        ("page[after]", "string", "`meta.cursors.after` of a page: the legs that follow it"),
        ("page[before]", "string", "`meta.cursors.before` of a page: the legs before it"),
        ("page[limit]", "integer", "As page[size], with a cursor"),
    )
]
"""As OpenAPI describes them."""


@dataclass(frozen=True, kw_only=True)
class PageRequest:
    """A requested page. Only one of `number`, `after` and `before` counts."""

    size: int
    number: int = 1
    after: str | None = None  # call_control_id
    before: str | None = None  # call_control_id


def page_request_from(query: Mapping[str, str]) -> PageRequest:
    """The page that a query requests. Raises ErrorAnswer 422."""
    size_name = "page[size]" if "page[size]" in query else "page[limit]"
    size = _number(query, size_name, SIZE_DEFAULT, SIZE_MAX)
    if "page[number]" in query:
        return PageRequest(size=size, number=_number(query, "page[number]", 1, NUMBER_MAX))
    if "page[after]" in query:
        return PageRequest(size=size, after=_leg_in(query, "page[after]"))
    if "page[before]" in query:
        return PageRequest(size=size, before=_leg_in(query, "page[before]"))
    return PageRequest(size=size)


def meta_of(page: LegPage, requested: PageRequest, start: int, path: str) -> dict[str, Any]:
    """The `meta` of a page whose first leg has index `start`, from 0; `path` is the list's own."""
    meta: dict[str, Any] = {
        "total_items": page.total,
        "page_number": start // requested.size + 1,
        "page_size": requested.size,
        "total_pages": max(1, -(-page.total // requested.size)),
        "total_results": page.total,
    }
    if page.legs:
        before = _cursor(page.legs[0].call_control_id)
        after = _cursor(page.legs[-1].call_control_id)
        meta["cursors"] = {"before": before, "after": after}
        if start + len(page.legs) < page.total:
            meta["next"] = f"{path}?page[after]={quote(after)}&page[limit]={requested.size}"
        if start > 0:
            meta["previous"] = f"{path}?page[before]={quote(before)}&page[limit]={requested.size}"
    return meta


def _cursor(call_control_id: str) -> str:
    return "v1:" + base64.urlsafe_b64encode(call_control_id.encode()).decode()


def _leg_in(query: Mapping[str, str], parameter: str) -> str:
    version, _, text = query[parameter].partition(":")
    try:
        if version == "v1" and (leg := base64.b64decode(text, b"-_", validate=True).decode()):
            return leg
        raise ValueError(version)
    except ValueError:
        detail = f"{parameter} is {shown(query[parameter])}; expected a cursor of this list"
        raise refusal(422, "10015", detail, parameter=parameter) from None


def _number(query: Mapping[str, str], parameter: str, default: int, largest: int) -> int:
    text = query.get(parameter)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= largest):
        detail = f"{parameter} is {shown(text)}; expected a whole number from 1 to {largest}"
        raise refusal(422, "10033", detail, parameter=parameter)
    return int(text)
