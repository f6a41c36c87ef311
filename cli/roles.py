"""`offhook ingress`, `worker`, `projector`, `api` and `simulator`: one role as this process."""

import os
from collections.abc import Callable, Coroutine
from typing import Any

from offhook.cli.options import settings_of_command
from offhook.errors import AddressUnusable, OperatorFault
from offhook.process import configure_logs, run_to_end
from offhook.settings import Settings, secrets_in


def ingress() -> None:
    """Take webhooks: verify, append to the log, answer."""
    from offhook.ingress.app import run

    _serve("ingress", run)


def worker() -> None:
    """Settle sessions: decide and command. Start as many as you like."""
    from offhook.workers.app import run

    _serve("worker", run)


def projector() -> None:
    """Fold the log into the views. A second one stands by."""
    from offhook.projections.app import run

    _serve("projector", run)


def api() -> None:
    """Answer applications: Telnyx-compatible calls, sessions, status."""
    from offhook.api.app import run

    _serve("api", run)


def simulator() -> None:
    """Be the carrier, on this machine."""
    from offhook.simulator.app import run

    _serve("simulator", run)


def _serve(role: str, run: Callable[[Settings], Coroutine[Any, Any, None]]) -> None:
    configure_logs(role, secrets_in(os.environ))
    try:
        run_to_end(run(settings_of_command()))
    except AddressUnusable as error:
        name = f"OFFHOOK_{role.upper()}"
        raise OperatorFault(f"{error}: see {name}_PORT and {name}_HOST") from error
