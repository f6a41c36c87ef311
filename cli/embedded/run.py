"""`offhook up`: everything on this machine, for your own flow, until Ctrl-C."""

import signal
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import FrameType

from rich.console import Console

from offhook.cli.embedded import ready_file as ready_files
from offhook.cli.embedded.role_logs import RoleLogs
from offhook.cli.embedded.role_settings import require_usable
from offhook.cli.embedded.stack import Stack, with_free_ports
from offhook.cli.embedded.supervisor import Supervisor
from offhook.cli.embedded.trouble_report import TroubleReport
from offhook.errors import OperatorFault
from offhook.settings import Settings

LOOK_S = 0.25


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

    Raises OperatorFault if a part ends again and again, or does not start at all.

    Settings that a role would refuse, and paths that cannot be written, are found before anything
    is started. Without a carrier key the simulator is the carrier; without a directory nothing is
    kept.
    """
    require_usable(settings)
    if ready_file is not None:
        ready_files.require_writable(ready_file)
    if directory is not None:
        _require_writable(directory)
    if free_ports:
        settings = with_free_ports(settings)
    stopped = _stop_on_signals()
    with ExitStack() as closing:
        is_kept = directory is not None
        if directory is None:
            name = closing.enter_context(tempfile.TemporaryDirectory(prefix="offhook-up-"))
            directory = Path(name)
        logs = RoleLogs(directory)
        with_simulator = not settings.carrier_key
        journal = settings.simulator_journal or str(directory / "simulator.db")
        settings = replace(settings, simulator_journal=journal)
        stack = closing.enter_context(
            Stack(
                directory,
                settings,
                workers=workers,
                with_simulator=with_simulator,
                say=console.log,
            )
        )
        _tell(console, stack, directory)
        if ready_file is not None:
            closing.callback(ready_file.unlink, missing_ok=True)
            ready_files.write(ready_file, stack.addresses)
        supervisor = Supervisor(stack, console.log)
        report = TroubleReport(console, parked=stack.settings.parked, log_path=stack.log_path)
        if not is_kept:
            closing.callback(_keep_tracebacks, console, report)
        while not stopped():
            for role, line in logs.new_lines():
                report.take(role, line)
            report.tell_repeats()
            supervisor.look()
            time.sleep(LOOK_S)
        console.log("draining")


def _require_writable(directory: Path) -> None:
    try:
        # Phone numbers and what was said are in the log: a new directory is for its owner alone.
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory).close()
    except OSError as error:
        raise OperatorFault(f"{directory} cannot be written to: {error.strerror}") from error


def _keep_tracebacks(console: Console, report: TroubleReport) -> None:
    """The logs go with the temporary directory; what went wrong in a flow is still wanted."""
    tracebacks = list(report.tracebacks())
    if not tracebacks:
        return
    with tempfile.NamedTemporaryFile(
        "w", prefix="offhook-up-", suffix="-errors.log", delete=False, encoding="utf-8"
    ) as file:
        file.write("\n\n".join(tracebacks) + "\n")
    console.print(f"the flows' tracebacks are in {file.name}", soft_wrap=True, highlight=False)


class _Stopped:
    def __init__(self) -> None:
        self._stopped = False

    def __call__(self) -> bool:
        return self._stopped

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stopped = True


def _stop_on_signals() -> _Stopped:
    stopped = _Stopped()
    # SIGHUP: a terminal that is closed must not leave the processes behind.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stopped.on_signal)
    return stopped


def _tell(console: Console, stack: Stack, directory: Path) -> None:
    addresses = stack.addresses
    console.print(f"webhooks to   {addresses['ingress']}/webhooks/telnyx")
    console.print(f"API           {addresses['api']}  (pages at /docs)")
    if "simulator" in addresses:
        told = f"key: {addresses['simulator_key']}; no OFFHOOK_CARRIER_KEY is set"
        console.print(f"simulator     {addresses['simulator']}/v2  ({told})")
    console.print(f"token         {addresses['token']}")
    console.print(f"logs, data    {directory}")
    console.print("the rest      --ready-file FILE writes every address and key")
    if not stack.settings.flows:
        console.print("no OFFHOOK_FLOWS is set: calls are recorded and left alone", style="yellow")
