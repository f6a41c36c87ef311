"""What a check found, and the clock check that three places share."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

State = Literal["good", "wrong", "unknown"]
"""Unknown: it could not be looked at, and nothing says that it is wrong."""

Place = Literal["settings", "carrier", "ingress", "log", "workers", "views", "api"]

Findings = AsyncIterator["Finding"]
Now = Callable[[], datetime]
"""Our own clock, aware and in UTC."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the report; `fix` is what to do about it, in one line."""

    place: Place
    check: str
    state: State
    found: str
    fix: str = ""


def good(place: Place, check: str, found: str) -> Finding:
    return Finding(place=place, check=check, state="good", found=found)


def wrong(place: Place, check: str, found: str, fix: str) -> Finding:
    return Finding(place=place, check=check, state="wrong", found=found, fix=fix)


def unknown(place: Place, check: str, found: str, fix: str = "") -> Finding:
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
    """Whether their clock, read between two looks at ours, shows the same time.

    Half of the time between, and what their clock does not tell, count for them.
    """
    middle = asked_at + (answered_at - asked_at) / 2
    skew_s = (theirs - middle).total_seconds() + resolution_s / 2
    doubt_s = (answered_at - asked_at).total_seconds() / 2 + resolution_s / 2
    found = f"{abs(skew_s):.1f} s {'ahead of' if skew_s > 0 else 'behind'} ours, ±{doubt_s:.1f} s"
    if abs(skew_s) - doubt_s > skew_max_s:
        fix = f"set both clocks by NTP: {because}"
        return wrong(place, "clock", f"{found}; at most {skew_max_s:g} s", fix)
    if abs(skew_s) <= doubt_s:
        found = f"the same as ours, ±{doubt_s:.1f} s"
    return good(place, "clock", found)
