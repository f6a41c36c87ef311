"""Tiles: whatever ratios a group of the API has, with formula, change and curve. Pure.

Which figures there are, and their formulas, is up to the API: a new one is shown without a change
here. Only how a name is written, and the unit of a value, is decided here.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from offhook.wording.durations import duration

Kind = Literal["count", "share", "seconds", "number"]
Group = Mapping[str, Any]

SPARK_WIDTH, SPARK_HEIGHT = 100, 24
SPARK_POINTS_MAX = 24

_ABBREVIATIONS = frozenset(
    ("abr", "acd", "aht", "asa", "asr", "cps", "isa", "mos", "ner", "scr", "seer", "ser", "sip")
)
_TITLES = {
    "abandoned": "Abandoned calls",
    "loss": "Packet loss",
    "ring_s": "Ring time",
    "short_call": "Short calls",
}


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A value with the sums that it is the quotient of; a count is its own numerator."""

    value: float | None
    numerator: float
    denominator: float | None
    formula: str
    kind: Kind


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A figure in words. `curve` has the points of its sparkline, in one text for each line."""

    key: str
    title: str
    full_name: str  # of an abbreviation
    value: str
    parts: str
    meaning: str
    source: str
    formula: str
    change: str
    before: str
    curve: Sequence[str]


def figures_of(group: Group) -> dict[str, Figure]:
    """The number of calls, and every quotient or number in the sections of a group."""
    calls = group["counts"]["calls"]
    found = {
        "calls": Figure(value=calls, numerator=calls, denominator=None, formula="", kind="count")
    }
    for section, members in group.items():
        if section in ("group", "counts") or not isinstance(members, Mapping):
            continue
        for key, each in members.items():
            if isinstance(each, Mapping) and {"value", "numerator", "formula"} <= each.keys():
                found[key] = _quotient(key, each)
            elif isinstance(each, int | float) and not isinstance(each, bool):
                found[key] = Figure(
                    value=each, numerator=each, denominator=None, formula="", kind=_kind(key, each)
                )
    return found


def _quotient(key: str, ratio: Mapping[str, Any]) -> Figure:
    above, below, value = ratio["numerator"], ratio["denominator"], ratio["value"]
    # A quotient of two counts is a share, unless it exceeds 1.
    is_share = isinstance(above, int) and isinstance(below, int) and (value or 0) <= 1
    return Figure(
        value=value,
        numerator=above,
        denominator=below,
        formula=ratio["formula"],
        kind="share" if is_share and not key.endswith("_s") else _kind(key, 0.5),
    )


def _kind(key: str, value: float) -> Kind:
    if key.endswith("_s"):
        return "seconds"
    return "count" if isinstance(value, int) else "number"


def summed(groups: Sequence[Group]) -> dict[str, Figure]:
    """The figures of all groups together: quotients of the sums, never means of quotients."""
    found: dict[str, Figure] = {}
    for key, each in ((key, each) for group in groups for key, each in figures_of(group).items()):
        if each.denominator is None and each.kind != "count":
            continue
        above, below = each.numerator, each.denominator
        if (before := found.get(key)) is not None:
            above += before.numerator
            below = None if below is None else below + (before.denominator or 0)
        value = above if below is None else above / below if below else None
        found[key] = Figure(
            value=value, numerator=above, denominator=below, formula=each.formula, kind=each.kind
        )
    return found


def tiles_of(
    total: Group,
    series: Sequence[Group | None],
    before: Sequence[Group],
    definitions: Mapping[str, Any],
) -> list[Tile]:
    """A tile for each figure that has no policy line; those have a gauge.

    `series` has the group of each whole bucket in order of time, `before` those of a week earlier.
    """
    earlier = summed(before)
    size = max(1, -(-len(series) // SPARK_POINTS_MAX))
    # Points of the same length each, or a count would drop where one is shorter.
    parts = [series[at : at + size] for at in range(len(series) % size, len(series), size)]
    by_part = [summed([group for group in part if group is not None]) for part in parts]
    tiles = []
    for key, figure in figures_of(total).items():
        found = (definitions.get(kind, {}).get(key) for kind in ("ratios", "figures"))
        definition: Mapping[str, Any] = next(filter(None, found), {})
        if definition.get("policy_line") is not None:
            continue
        values = [
            each[key].value if key in each else 0 if figure.kind == "count" else None
            for each in by_part
        ]
        past = earlier.get(key)
        tiles.append(
            Tile(
                key=key,
                title=title_of(key),
                full_name=full_name_of(key, definition.get("meaning", "")),
                value=written(figure.value, figure.kind),
                parts=parts_of(figure),
                meaning=definition.get("meaning") or definitions["counts"].get(key, ""),
                source=definition.get("source", ""),
                formula=figure.formula,
                change=change_of(figure, past),
                before="" if past is None else written(past.value, past.kind),
                curve=curve_of(values),
            )
        )
    return tiles


def title_of(key: str) -> str:
    """How the name of a figure is written: "ner_strict" is "NER strict"."""
    if key in _TITLES:
        return _TITLES[key]
    words = key.removesuffix("_s").split("_")
    text = " ".join(word.upper() if word in _ABBREVIATIONS else word for word in words)
    return text[:1].upper() + text[1:]


def full_name_of(key: str, meaning: str) -> str:
    """What the abbreviation in a title stands for, as its meaning begins; empty without one."""
    first, *more = key.removesuffix("_s").split("_")
    if first not in _ABBREVIATIONS:
        return ""
    return "with callers who give up" if more == ["strict"] else _NAME_END.split(meaning)[0]


_NAME_END = re.compile("[:,]| of ")


def written(value: float | None, kind: Kind) -> str:
    """A value with its unit."""
    if value is None:
        return "–"
    match kind:
        case "count":
            return f"{value:,.0f}"
        case "share":
            return f"{100 * value:.1f} %"
        case "seconds":
            return duration(value)
        case "number":
            return f"{value:.2f}" if abs(value) < 100 else f"{value:,.0f}"


def parts_of(figure: Figure) -> str:
    """The two numbers that a quotient is of: "41 / 60"; "51,408 s / 237" of seconds."""
    if figure.denominator is None:
        return ""
    unit = " s" if figure.kind == "seconds" else ""
    return f"{_number(figure.numerator)}{unit} / {_number(figure.denominator)}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) or value >= 1000 else f"{value:,.1f}"


def change_of(now: Figure, before: Figure | None) -> str:
    """Since the week before: of a share in percentage points, of the rest in per cent."""
    if before is None or before.value is None or now.value is None:
        return ""
    if now.kind == "share":
        points = 100 * (now.value - before.value)
        return f"{_signed(points, 1)} pp"
    if not before.value:
        return ""
    return f"{_signed(100 * (now.value / before.value - 1), 0)} %"


def _signed(value: float, digits: int) -> str:
    text = f"{abs(value):,.{digits}f}"
    if not float(text.replace(",", "")):
        return f"±{text}"
    return f"{'+' if value > 0 else '−'}{text}"


def curve_of(values: Sequence[float | None]) -> list[str]:
    """Lines of a sparkline, broken where a bucket has no value; from the least to the most."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return []
    least, most = min(known), max(known)
    step = SPARK_WIDTH / (len(values) - 1)
    lines: list[list[str]] = [[]]
    for at, value in enumerate(values):
        if value is None:
            lines.append([])
            continue
        share = (value - least) / (most - least) if most > least else 0.5
        lines[-1].append(f"{at * step:.1f},{SPARK_HEIGHT - 2 - share * (SPARK_HEIGHT - 4):.1f}")
    # A point by itself is a line of no length, which round ends make a dot.
    return [" ".join(line if len(line) > 1 else line * 2) for line in lines if line]
