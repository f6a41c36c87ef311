"""What `offhook doctor` does: check all places at once, each within a time limit, and report.

carrier ──▶ ingress ──▶ log ──▶ workers ──▶ views ──▶ api     and this machine's settings
"""

import asyncio
import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from offhook.cli.doctor.carrier import examine_carrier
from offhook.cli.doctor.finding import Finding, Findings, Now, Place, wrong
from offhook.cli.doctor.log import examine_log, examine_servers
from offhook.cli.doctor.report import print_report, wrong_of
from offhook.cli.doctor.roles import examine_api, examine_ingress, examine_others
from offhook.cli.doctor.settings import examine_same_settings, examine_settings
from offhook.cli.doctor.views import examine_views
from offhook.cli.doctor.work import examine_projector, examine_workers
from offhook.cli.embedded import ready_file as ready_files
from offhook.cli.options import settings_of_command
from offhook.errors import SettingInvalid
from offhook.settings import Settings

PLACE_TIMEOUT_S = 20.0
"""For all checks of one place; each request has a shorter timeout of its own."""


@dataclass(frozen=True, kw_only=True)
class Roles:
    """The addresses of the roles; empty if unknown."""

    ingress: str = ""
    api: str = ""
    projector: str = ""
    workers: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


def run_doctor(
    console: Console,
    ready_file: Path | None,
    *,
    connection: str,
    webhook_url: str,
    given: Roles,
    as_json: bool,
) -> bool:
    """Check everything and print the report. True if nothing is wrong.

    `given` are the addresses from the command line. Raises OffhookError for an unusable ready file.
    """
    found: dict[str, str] = {}
    try:
        settings = settings_of_command(ready_file)
        if ready_file is not None:
            found = ready_files.read(ready_file)
    except SettingInvalid as error:
        fix = "correct or remove it; offhook/settings.py lists all settings"
        print_report(console, [wrong("settings", "readable", str(error), fix)], as_json=as_json)
        return False
    if connection:
        settings = dataclasses.replace(settings, connection_id=connection)
    if found and "simulator" not in found:
        # The carrier's webhooks use a public address, which is only in the environment.
        public = settings_of_command().webhook_url
        settings = dataclasses.replace(settings, webhook_url=public)
    # The default is where the simulator's webhooks go, not the carrier's.
    if not webhook_url and settings.webhook_url != Settings().webhook_url:
        webhook_url = settings.webhook_url
    findings = examine_same_settings(found, os.environ) if found else []
    roles = _roles(given, found, settings)
    findings += asyncio.run(examine(settings, webhook_url=webhook_url, roles=roles, now=_now))
    print_report(console, findings, as_json=as_json)
    is_good = not wrong_of(findings)
    if ready_file is None and not is_good and not as_json:
        console.print("To check an `offhook up`, give its --ready-file.", highlight=False)
    return is_good


def _roles(given: Roles, found: Mapping[str, str], settings: Settings) -> Roles:
    """The addresses from the command line, else from the ready file, else from the settings."""
    workers = [each for each in found.get("workers", "").split(",") if each]
    worker = _address(settings, "worker")
    return dataclasses.replace(
        given,
        ingress=given.ingress or found.get("ingress") or _address(settings, "ingress"),
        api=given.api or settings.api_url or _address(settings, "api"),
        projector=found.get("projector") or _address(settings, "projector"),
        workers=tuple(workers or [each for each in [worker] if each]),
    )


def _address(settings: Settings, name: str) -> str:
    """Where a role listens on this machine; empty if the settings do not say, or the port is 0."""
    default = Settings()
    names = (f"{name}_host", f"{name}_port")
    host, port = (getattr(settings, each) for each in names)
    if not port or all(getattr(settings, each) == getattr(default, each) for each in names):
        return ""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


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
    """What the probe found in time, and a finding if it took too long."""
    found: list[Finding] = []
    try:
        async with asyncio.timeout(timeout_s):
            async for finding in probe:
                found.append(finding)
    except TimeoutError:
        fix = "something there accepts connections but does not answer: see its address and its log"
        found.append(wrong(place, "answers in time", f"nothing more within {timeout_s:g} s", fix))
    return found


def _now() -> datetime:
    return datetime.now(UTC)
