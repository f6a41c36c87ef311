"""The result of a check, and the clock check that three places share."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

State = Literal["good", "wrong", "unknown"]
"""Unknown: it could not be checked, and nothing suggests that it is wrong."""

Place = Literal["settings", "carrier", "ingress", "log", "workers", "views", "api"]

Findings = AsyncIterator["Finding"]
Now = Callable[[], datetime]
"""This machine's clock, aware and in UTC."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The result of one check. `found` and `fix` (what to do about it) are one line each."""

    place: Place
    check: str
    state: State
    found: str
    fix: str = ""


def good(place: Place, check: str, found: str) -> Finding:
    """A check that passed."""
    return Finding(place=place, check=check, state="good", found=found)


def wrong(place: Place, check: str, found: str, fix: str) -> Finding:
    """A check that failed, and what to do."""
    return Finding(place=place, check=check, state="wrong", found=found, fix=fix)


def unknown(place: Place, check: str, found: str, fix: str = "") -> Finding:
    """A check that could not be made, and what to do to have it made."""
    return Finding(place=place, check=check, state="unknown", found=found, fix=fix)


def clock(
    place: Place,
    *,
    asked_at: datetime,
    theirs: datetime,
    answered_at: datetime,
    skew_max_s: float,
    because: str,
    resolution_s: float = 0.0,
) -> Finding:
    """Compare their clock, read between `asked_at` and `answered_at` of ours, with ours.

    It may be off by half of that time, and by half of its resolution, without being wrong.
    """
    middle = asked_at + (answered_at - asked_at) / 2
    skew_s = (theirs - middle).total_seconds() + resolution_s / 2
    doubt_s = (answered_at - asked_at).total_seconds() / 2 + resolution_s / 2
    found = f"{abs(skew_s):.1f} s {'ahead of' if skew_s > 0 else 'behind'} ours, ±{doubt_s:.1f} s"
    if abs(skew_s) - doubt_s > skew_max_s:
        fix = f"synchronise both clocks by NTP: {because}"
        return wrong(place, "clock", f"{found}; at most {skew_max_s:g} s", fix)
    if abs(skew_s) <= doubt_s:
        found = f"the same as ours, ±{doubt_s:.1f} s"
    return good(place, "clock", found)
