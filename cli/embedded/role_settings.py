"""Settings that a role refuses at its start, found before anything is started."""

import os
import socket
from contextlib import ExitStack
from pathlib import Path

from offhook.api.auth import tokens_from
from offhook.errors import OperatorFault
from offhook.settings import PREFIX, Settings
from offhook.simulator.journal import Journal
from offhook.telnyx.http import require_header_value, require_http_url
from offhook.telnyx.signature import public_keys_from, signing_key_from
from offhook.workers.sessions.flow_loading import flows_from
from offhook.workers.sessions.parked_policy import policy_from


def require_usable(settings: Settings) -> None:
    """Raise SettingInvalid if a role of `offhook up` could not run with these settings.

    Keys and tokens that are missing are made later; without a carrier key the simulator runs.
    """
    flows_from(settings.flows)
    policy_from(settings.parked)
    public_keys_from(settings.public_keys)
    if settings.signing_key:
        signing_key_from(settings.signing_key)
    if settings.api_tokens:
        tokens_from(settings.api_tokens)
    if settings.carrier_key:
        require_http_url(settings.carrier_url, "OFFHOOK_CARRIER_URL")
        require_header_value(settings.carrier_key, "OFFHOOK_CARRIER_KEY")
    elif settings.simulator_journal:
        Journal(Path(settings.simulator_journal)).close()


def require_ports(settings: Settings) -> None:
    """Raise OperatorFault if a port that the settings name is taken, or two roles have the same.

    A role would find that out by itself, 10 s later, or not at all: a role that listens there
    already would answer for it that it is ready.
    """
    roles = ["ingress", "api", *([] if settings.carrier_key else ["simulator"]), "projector"]
    named: dict[int, str] = {}
    with ExitStack() as held:
        for role in roles:
            host, port = getattr(settings, f"{role}_host"), getattr(settings, f"{role}_port")
            if not port:
                continue  # 0: any free port
            variable = f"{PREFIX}{role.upper()}"
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            try:
                held.enter_context(socket.create_server((host, port), family=family))
            except OSError as error:
                why = f"{named[port]} is the same" if port in named else _words_of(error)
                raise OperatorFault(
                    f"cannot listen on {host}:{port}: {why}; see {variable}_PORT and"
                    f" {variable}_HOST, or use --free-ports"
                ) from error
            named[port] = f"{variable}_PORT"


def _words_of(error: OSError) -> str:
    """The reason alone: the error's own text repeats the address."""
    if isinstance(error, socket.gaierror) or error.errno is None:
        return str(error.strerror or error)
    return os.strerror(error.errno)
