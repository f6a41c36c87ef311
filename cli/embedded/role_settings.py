"""Settings that a role refuses at its start, found before anything is started."""

from pathlib import Path

from offhook.api.auth import tokens_from
from offhook.settings import Settings
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
