"""The report: the picture of the system and one line for each finding, or JSON."""

from collections.abc import Iterator, Sequence
from typing import get_args

import msgspec
from rich.console import Console
from rich.text import Text

from offhook.cli.counted import counted
from offhook.cli.doctor.finding import Finding, Place, State

_PLACES: tuple[Place, ...] = get_args(Place)
_GLYPHS: dict[State, tuple[str, str]] = {
    "good": ("✓", "green"),
    "wrong": ("✗", "bold red"),
    "unknown": ("·", "yellow"),
}
_WORST_FIRST: tuple[State, ...] = ("wrong", "unknown", "good")


def print_report(console: Console, findings: Sequence[Finding], *, as_json: bool) -> None:
    """Print the picture and a line for each finding, or JSON."""
    if as_json:
        result = {"good": not wrong_of(findings), "checks": findings}
        print(msgspec.json.encode(result).decode())  # noqa: T201, rich would wrap it
        return
    for line in (_picture(findings), *_lines(findings), _verdict(findings)):
        # Not wrapped here: a fix is often a command, which one may want to copy.
        console.print(line, soft_wrap=True)


def _lines(findings: Sequence[Finding]) -> Iterator[Text]:
    """A line for each finding, and below it what to do."""
    places = max(len(place) for place in _PLACES)
    checks = max((len(finding.check) for finding in findings), default=0)
    last = ""
    for finding in findings:
        place = "" if finding.place == last else finding.place
        last = finding.place
        yield Text.assemble(
            (f"{place:<{places}}  ", "bold"),
            _GLYPHS[finding.state],
            f"  {finding.check:<{checks}}  {finding.found}",
        )
        if finding.fix:
            yield Text(f"{'':<{places + 5}}→ {finding.fix}", "yellow")


def _picture(findings: Sequence[Finding]) -> Text:
    """carrier ✓ ──▶ ingress · ──▶ log ✗ ──▶ views ✓"""
    picture = Text()
    for place in _PLACES:
        states = {finding.state for finding in findings if finding.place == place}
        worst: State = next((each for each in _WORST_FIRST if each in states), "unknown")
        glyph, style = _GLYPHS[worst]
        if place == "carrier":
            picture.append("   ")
        elif picture:
            picture.append(" ──▶ ", "dim")
        picture.append(f"{place} ").append(glyph, style)
    return picture.append("\n")


def _verdict(findings: Sequence[Finding]) -> Text:
    count = len(wrong_of(findings))
    if count:
        return Text(f"\n{count} of {counted(len(findings), 'check')}: wrong", "bold red")
    unknown = sum(finding.state == "unknown" for finding in findings)
    more = f", {unknown} not checked" if unknown else ""
    return Text(f"\n{counted(len(findings) - unknown, 'check')}: all good{more}", "bold green")


def wrong_of(findings: Sequence[Finding]) -> list[Finding]:
    """The checks that failed."""
    return [finding for finding in findings if finding.state == "wrong"]
