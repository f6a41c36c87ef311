"""How calls divide: by hangup cause and SIP code, along the funnel, and by a dimension. Pure."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from offhook.api.console.charts.figures import Figure, Group, figures_of
from offhook.api.console.charts.links import NONE, span_filters

LEVELS = 6
"""Colours of the heat map."""

CallsUrl = Callable[[Mapping[str, str]], str]
"""The search for the calls of the range and the page's filters that have these values too."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Calls with a cause and a SIP code. `level` is from 1 to LEVELS."""

    calls: int
    level: int
    url: str


@dataclass(frozen=True, kw_only=True)
class HeatRow:
    """A cause, the most frequent first; None is what has none yet, or had none in its hangup."""

    cause: str | None
    calls: int
    cells: Sequence[Cell | None]


@dataclass(frozen=True, kw_only=True)
class HeatMap:
    """`codes` are in order, None last; `others` are calls of pairs that are too rare to list."""

    codes: Sequence[str | None]
    rows: Sequence[HeatRow]
    others: int


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step of a funnel: how many calls came so far, and their share of those one step before."""

    name: str
    calls: int
    share: float | None
    of_first: float | None
    url: str


@dataclass(frozen=True, kw_only=True)
class Part:
    """A group of the breakdown. `values` are None for all others together.

    `url` is None for those, and where `obstacle` says why the search cannot find these calls.
    """

    values: Mapping[str, str | None] | None
    calls: int
    answered: int
    share: float
    figures: Mapping[str, Figure]
    url: str | None
    obstacle: str


def heat_map(groups: Sequence[Group], calls_url: CallsUrl) -> HeatMap:
    """Groups by hangup cause and SIP code as a table."""
    pairs: Counter[tuple[str | None, str | None]] = Counter()
    causes: Counter[str | None] = Counter()
    others = 0
    for group in groups:
        calls = group["counts"]["calls"]
        if group["is_other"]:
            others += calls
            continue
        cause, code = group["group"]["hangup_cause"], group["group"]["sip_hangup_cause"]
        pairs[cause, code] += calls
        causes[cause] += calls
    codes = sorted({code for _, code in pairs}, key=lambda code: (code is None, code or ""))
    most = max(pairs.values(), default=0)

    def cell(cause: str | None, code: str | None) -> Cell | None:
        if not (calls := pairs[cause, code]):
            return None
        url = calls_url({"hangup_cause": cause or NONE, "sip_hangup_cause": code or NONE})
        return Cell(calls=calls, level=level_of(calls, most), url=url)

    rows = [
        HeatRow(cause=cause, calls=calls, cells=[cell(cause, code) for code in codes])
        for cause, calls in sorted(causes.items(), key=lambda each: (-each[1], each[0] or ""))
    ]
    return HeatMap(codes=codes, rows=rows, others=others)


def level_of(calls: int, most: int) -> int:
    """By the logarithm, so that a few calls that failed do not fade beside many that did not."""
    level = math.ceil(LEVELS * math.log1p(calls) / math.log1p(most))
    return min(LEVELS, max(1, level))


def funnel_of(counts: Mapping[str, int], direction: str, calls_url: CallsUrl) -> list[Step]:
    """How far the calls of one direction came; `counts` are those of this direction."""
    answered = {"answered": "true"}
    steps: list[tuple[str, int, Mapping[str, str]]] = [
        ("Started", counts["calls"], {}),
        ("Answered", counts["answered"], answered),
    ]
    if failed := counts.get("bids_failed"):
        # Dials and transfers that never became a call.
        steps.insert(0, ("Asked for", counts["calls"] + failed, {}))
    if direction == "outgoing":
        longer = counts["outgoing_talked"] - counts["outgoing_short"]
        steps.append(("Talked for over 6 s", longer, span_filters("talk", 6, None)))
    else:
        normal = {**answered, "hangup_cause": "normal_clearing"}
        steps.append(("Ended normally", counts["completed"], normal))
    found = []
    for at, (name, calls, values) in enumerate(steps):
        before = steps[at - 1][1] if at else 0
        found.append(
            Step(
                name=name,
                calls=calls,
                share=calls / before if before else None,
                of_first=calls / steps[0][1] if steps[0][1] else None,
                url=calls_url({"direction": direction, **values}),
            )
        )
    return found


NEEDS_DIRECTION = "choose a direction to open these"
"""The number of the other side, which has the prefix, is the caller's or the callee's."""


def parts_of_all(
    groups: Sequence[Group], calls_url: CallsUrl, *, has_direction: bool = False
) -> list[Part]:
    """Groups by a dimension, with their share of the largest; the others come last.

    `has_direction` says whether the URLs of calls have a direction.
    """
    most = max((group["counts"]["calls"] for group in groups), default=0)
    parts = []
    for group in groups:
        values = None if group["is_other"] else group["group"]
        asked = {name: value or NONE for name, value in (values or {}).items()}
        obstacle = ""
        if asked.get("number_prefix") == NONE and not has_direction:
            obstacle = NEEDS_DIRECTION
        parts.append(
            Part(
                values=values,
                calls=group["counts"]["calls"],
                answered=group["counts"]["answered"],
                share=group["counts"]["calls"] / most,
                figures=figures_of(group),
                url=calls_url(asked) if asked and not obstacle else None,
                obstacle=obstacle,
            )
        )
    return parts
