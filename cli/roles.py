"""The commands `offhook ingress`, `worker`, `projector`, `api` and `simulator`: one role each."""

import os
from collections.abc import Callable, Coroutine
from typing import Any

from offhook.cli.options import settings_of_command
from offhook.errors import AddressUnusable, OperatorFault
from offhook.process.logs import configure_logs
from offhook.process.serve import run_to_end
from offhook.settings import Settings, secrets_in


def ingress() -> None:
    """Run ingress: verify webhooks and append them to the log."""
    from offhook.ingress.app import run

    _serve("ingress", run)


def worker() -> None:
    """Run a worker: ask the flow and send its commands. Any number may run."""
    from offhook.workers.app import run

    _serve("worker", run)


def projector() -> None:
    """Run a projector: fold the log into the views. Several share the partitions."""
    from offhook.projections.app import run

    _serve("projector", run)


def api() -> None:
    """Run the API: Telnyx-compatible calls, sessions, analytics."""
    from offhook.api.app import run

    _serve("api", run)


def simulator() -> None:
    """Run the simulator: a carrier on this machine."""
    from offhook.simulator.app import run

    _serve("simulator", run)


def _serve(role: str, run: Callable[[Settings], Coroutine[Any, Any, None]]) -> None:
    configure_logs(role, secrets_in(os.environ))
    try:
        run_to_end(run(settings_of_command()))
    except AddressUnusable as error:
        name = f"OFFHOOK_{role.upper()}"
        raise OperatorFault(f"{error}: see {name}_PORT and {name}_HOST") from error
