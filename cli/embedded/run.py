"""What `offhook up` does: everything on this machine, for your own flow, until Ctrl-C."""

import shlex
import signal
import tempfile
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType

from rich.console import Console

from offhook.cli.embedded import ready_file as ready_files
from offhook.cli.embedded.error_report import ErrorReport
from offhook.cli.embedded.role_logs import RoleLogs
from offhook.cli.embedded.role_settings import require_ports, require_usable
from offhook.cli.embedded.stack import Stack, StartStopped, with_free_ports
from offhook.cli.embedded.supervisor import Supervisor
from offhook.cli.listing import print_timed
from offhook.errors import OperatorFault
from offhook.settings import Settings
from offhook.telnyx.webhook_path import WEBHOOK_PATH

CHECK_S = 0.25
"""Pause between two checks of logs and processes."""


def run_up(
    console: Console,
    settings: Settings,
    *,
    workers: int,
    directory: Path | None,
    ready_file: Path | None,
    free_ports: bool,
) -> None:
    """Run until SIGINT or SIGTERM; what ends by itself is restarted.

    Raises SettingInvalid or OperatorFault before anything is started for settings that a role would
    refuse, paths that cannot be written, ports that are taken and a ready file of another run that
    has not ended; OperatorFault if a part does not start, or ends
    again and again. Without a carrier key the carrier is the simulator; without a directory nothing
    is kept.
    """
    require_usable(settings)
    if ready_file is not None:
        ready_files.require_writable(ready_file)
        ready_files.require_unused(ready_file)
    if directory is not None:
        _require_writable(directory)
    if free_ports:
        settings = with_free_ports(settings)
    else:
        require_ports(settings)
    stopped = _stop_on_signals()
    with suppress(StartStopped), ExitStack() as closing:
        is_kept = directory is not None
        if directory is None:
            name = closing.enter_context(tempfile.TemporaryDirectory(prefix="offhook-up-"))
            directory = Path(name)
        journal = settings.simulator_journal or str(directory / "simulator.db")
        logs = RoleLogs(directory)
        stack = closing.enter_context(
            Stack(
                directory,
                replace(settings, simulator_journal=journal),
                workers=workers,
                with_simulator=not settings.carrier_key,
                say=partial(print_timed, console),
                is_stopped=stopped,
            )
        )
        if ready_file is not None:
            closing.callback(ready_files.remove, ready_file, stack.addresses)
            ready_files.write(ready_file, stack.addresses)
        kept = directory if is_kept else f"{directory}  (removed at the end; --data keeps them)"
        _print_addresses(console, stack, f"{kept}", ready_file)
        report = ErrorReport(console, parked=stack.settings.parked, log_path=stack.log_path)
        if not is_kept:
            closing.callback(_keep_tracebacks, console, report)
        _watch(stack, logs, report, console, stopped)
        print_timed(console, "draining")


def _watch(
    stack: Stack, logs: RoleLogs, report: ErrorReport, console: Console, stopped: "_Stopped"
) -> None:
    """Restart what ends and print what goes wrong, until a signal arrives."""
    supervisor = Supervisor(stack, partial(print_timed, console))
    while not stopped():
        for role, line in logs.new_lines():
            report.take(role, line)
        report.print_repeats()
        supervisor.check()
        time.sleep(CHECK_S)


def _require_writable(directory: Path) -> None:
    try:
        # The log holds phone numbers and what was said: a new directory is private to its owner.
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory).close()
    except OSError as error:
        raise OperatorFault(f"{directory} cannot be written to: {error.strerror}") from error


def _keep_tracebacks(console: Console, report: ErrorReport) -> None:
    """Save the flows' tracebacks: the logs are removed with the temporary directory."""
    tracebacks = list(report.tracebacks())
    if not tracebacks:
        return
    with tempfile.NamedTemporaryFile(
        "w", prefix="offhook-up-", suffix="-errors.log", delete=False, encoding="utf-8"
    ) as file:
        file.write("\n\n".join(tracebacks) + "\n")
    console.print(f"the flows' tracebacks are in {file.name}", soft_wrap=True, highlight=False)


class _Stopped:
    """True once a signal has arrived."""

    def __init__(self) -> None:
        self._stopped = False

    def __call__(self) -> bool:
        return self._stopped

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stopped = True


def _stop_on_signals() -> _Stopped:
    stopped = _Stopped()
    # SIGHUP: closing the terminal must not leave the processes behind.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stopped.on_signal)
    return stopped


def _print_addresses(
    console: Console, stack: Stack, directory: str, ready_file: Path | None
) -> None:
    addresses = stack.addresses
    api, token = addresses["api"], addresses["token"]
    lines = {
        "webhook URL": f"{addresses['ingress']}{WEBHOOK_PATH}",
        "API": f"{api}  (documentation at /docs)",
    }
    if "simulator" in addresses:
        key = f"key: {addresses['simulator_key']}; OFFHOOK_CARRIER_KEY is not set"
        lines["simulator"] = f"{addresses['simulator']}/v2  ({key})"
    lines |= {
        # What follows "#" is for the browser alone: it signs in with it.
        "console": f"{api}/console/sign-in#token={token}",
        "token": token,
        "logs, data": directory,
        "commands": "--ready-file FILE writes the addresses and keys that other commands need",
    }
    if ready_file is not None:
        path = shlex.quote(f"{ready_file.resolve()}")
        lines["commands"] = f"in another terminal: export {ready_files.VARIABLE}={path}"
    for name, text in lines.items():
        # Not wrapped, so that they can be copied.
        console.print(f"{name:<13} {text}", soft_wrap=True, markup=False)
    if not stack.settings.flows:
        console.print(
            "OFFHOOK_FLOWS is not set: calls are recorded, and no commands are sent", style="yellow"
        )
