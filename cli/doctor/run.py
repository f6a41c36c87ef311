"""All places side by side, each for a bounded time; the report as a picture and lines, or JSON.

carrier ──▶ ingress ──▶ log ──▶ workers ──▶ views ──▶ api     beside them: this machine's settings
"""

import asyncio
import dataclasses
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import msgspec
from rich.console import Console
from rich.text import Text

from offhook.cli.doctor.carrier import examine_carrier
from offhook.cli.doctor.finding import Finding, Findings, Now, Place, State, wrong
from offhook.cli.doctor.log import examine_log, examine_servers
from offhook.cli.doctor.roles import examine_api, examine_others
from offhook.cli.doctor.settings import examine_ingress, examine_same_settings, examine_settings
from offhook.cli.doctor.views import examine_views
from offhook.cli.doctor.work import examine_projector, examine_workers
from offhook.cli.embedded import ready_file as ready_files
from offhook.cli.options import settings_of_command
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


@dataclass(frozen=True, kw_only=True)
class Roles:
    """Where the roles answer; an empty address is not known."""

    ingress: str = ""
    api: str = ""
    projector: str = ""
    workers: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


def _listens(settings: Settings, name: str) -> str:
    """Where a role of this machine listens, if the settings say so; a port of 0 says nothing."""
    default = Settings()
    names = (f"{name}_host", f"{name}_port")
    host, port = (getattr(settings, each) for each in names)
    if not port or all(getattr(settings, each) == getattr(default, each) for each in names):
        return ""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run_doctor(
    console: Console,
    ready_file: Path | None,
    *,
    connection: str,
    webhook_url: str,
    ingress_url: str,
    api_url: str,
    role_urls: Sequence[str],
    as_json: bool,
) -> bool:
    """Look at everything and print it. True if nothing is wrong."""
    found: dict[str, str] = {}
    try:
        settings = settings_of_command(ready_file)
        if ready_file is not None:
            found = ready_files.read(ready_file)
    except SettingInvalid as error:
        fix = "correct it, or take it away; offhook/settings.py has all of them"
        report(console, [wrong("settings", "readable", str(error), fix)], as_json=as_json)
        return False
    if connection:
        settings = dataclasses.replace(settings, connection_id=connection)
    if found and "simulator" not in found:
        # The carrier's webhooks come by a public address, which only the environment may name.
        public = settings_of_command().webhook_url
        settings = dataclasses.replace(settings, webhook_url=public)
    # Without `offhook up` the default is where the simulator's webhooks go, not the carrier's.
    if not webhook_url and settings.webhook_url != Settings().webhook_url:
        webhook_url = settings.webhook_url
    roles = Roles(
        ingress=ingress_url or found.get("ingress") or _listens(settings, "ingress"),
        api=api_url or settings.api_url or _listens(settings, "api"),
        projector=found.get("projector") or _listens(settings, "projector"),
        workers=tuple(each for each in found.get("workers", "").split(",") if each)
        or tuple(each for each in [_listens(settings, "worker")] if each),
        others=tuple(role_urls),
    )
    findings = examine_same_settings(found, os.environ) if found else []
    findings += asyncio.run(examine(settings, webhook_url=webhook_url, roles=roles, now=_now))
    report(console, findings, as_json=as_json)
    return not _wrong(findings)


async def examine(
    settings: Settings,
    *,
    webhook_url: str,
    roles: Roles,
    now: Now,
    place_timeout_s: float = PLACE_TIMEOUT_S,
) -> list[Finding]:
    """The findings of every place, in the order of the picture."""
    probes: list[tuple[Place, Findings]] = [
        ("settings", examine_settings(settings)),
        ("carrier", examine_carrier(settings, webhook_url, now)),
        ("ingress", examine_ingress(roles.ingress, settings.metrics_token)),
        ("log", examine_servers(settings, now)),
        ("log", examine_log(settings)),
        ("workers", examine_workers(settings, roles.workers, now)),
        ("views", examine_views(settings, now)),
        ("views", examine_projector(settings, roles.projector, now)),
        ("api", examine_api(settings, roles.api)),
        ("workers", examine_others(roles.others)),
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
