"""All places side by side, each for a bounded time; the report as a picture and lines, or JSON.

carrier ──▶ ingress ──▶ log ──▶ views          beside them: this machine's settings
"""

import asyncio
import dataclasses
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import msgspec
from rich.console import Console
from rich.text import Text

from cli.doctor.carrier import examine_carrier
from cli.doctor.finding import Finding, Findings, Now, Place, State, wrong
from cli.doctor.here import examine_ingress, examine_settings
from cli.doctor.log import examine_log, examine_servers
from cli.doctor.views import examine_views
from cli.options import settings_of_command
from ingress.webhook import PATH
from offhook.errors import SettingInvalid
from offhook.settings import Settings

PLACE_TIMEOUT_S = 20.0
"""For all checks of one place; each question has a shorter time of its own."""

_PLACES: tuple[Place, ...] = get_args(Place)
_GLYPHS: dict[State, tuple[str, str]] = {
    "good": ("✓", "green"),
    "wrong": ("✗", "bold red"),
    "unknown": ("·", "yellow"),
}
_WORST_FIRST: tuple[State, ...] = ("wrong", "unknown", "good")


def run_doctor(
    console: Console,
    ready_file: Path | None,
    *,
    connection: str,
    webhook_url: str,
    ingress_url: str,
    as_json: bool,
) -> bool:
    """Look at everything and print it. True if nothing is wrong."""
    try:
        settings = settings_of_command(ready_file)
    except SettingInvalid as error:
        fix = "correct it, or take it away; offhook/settings.py has all of them"
        report(console, [wrong("settings", "readable", str(error), fix)], as_json=as_json)
        return False
    if connection:
        settings = dataclasses.replace(settings, connection_id=connection)
    # Without `offhook up` the default is where the simulator's webhooks go, not the carrier's.
    if not webhook_url and settings.webhook_url != Settings().webhook_url:
        webhook_url = settings.webhook_url
    if not ingress_url and ready_file is not None:
        ingress_url = settings.webhook_url.removesuffix(PATH)
    findings = asyncio.run(
        examine(settings, webhook_url=webhook_url, ingress_url=ingress_url, now=_now)
    )
    report(console, findings, as_json=as_json)
    return not _wrong(findings)


async def examine(
    settings: Settings,
    *,
    webhook_url: str,
    ingress_url: str,
    now: Now,
    place_timeout_s: float = PLACE_TIMEOUT_S,
) -> list[Finding]:
    """The findings of every place, in the order of the picture."""
    probes: list[tuple[Place, Findings]] = [
        ("settings", examine_settings(settings)),
        ("carrier", examine_carrier(settings, webhook_url, now)),
        ("ingress", examine_ingress(ingress_url, settings.metrics_token)),
        ("log", examine_servers(settings, now)),
        ("log", examine_log(settings)),
        ("views", examine_views(settings, now)),
    ]
    found = await asyncio.gather(
        *(_bounded(place, probe, place_timeout_s) for place, probe in probes)
    )
    return [finding for each in found for finding in each]


async def _bounded(place: Place, probe: Findings, timeout_s: float) -> list[Finding]:
    """What the probe found in time, and that it was late."""
    found: list[Finding] = []
    try:
        async with asyncio.timeout(timeout_s):
            async for finding in probe:
                found.append(finding)
    except TimeoutError:
        fix = "something accepts connections there and does not answer: see its address and its log"
        found.append(wrong(place, "answers in time", f"nothing more within {timeout_s:g} s", fix))
    return found


def report(console: Console, findings: Sequence[Finding], *, as_json: bool) -> None:
    """The picture and a line for each finding, or JSON."""
    if as_json:
        told = {"good": not _wrong(findings), "checks": findings}
        print(msgspec.json.encode(told).decode())  # noqa: T201, rich would wrap it
        return
    for line in (_picture(findings), *_lines(findings), _verdict(findings)):
        # Never wrapped by us: a fix is often a command, which should be copied whole.
        console.print(line, soft_wrap=True)


def _lines(findings: Sequence[Finding]) -> Iterator[Text]:
    """A line for each finding, under it what to do about it."""
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
    count = len(_wrong(findings))
    if count:
        return Text(f"\n{count} of {len(findings)} checks: wrong", "bold red")
    unknown = sum(finding.state == "unknown" for finding in findings)
    more = f", {unknown} not looked at" if unknown else ""
    return Text(f"\n{len(findings) - unknown} checks: all good{more}", "bold green")


def _wrong(findings: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.state == "wrong"]


def _now() -> datetime:
    return datetime.now(UTC)
