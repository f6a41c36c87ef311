"""This machine's settings: flows, policy, public keys, and whether the roles use the same."""

import os
from collections.abc import Mapping

from offhook.cli.doctor.finding import Finding, Findings, good, wrong
from offhook.cli.embedded.ready_file import fingerprint, settings_in
from offhook.errors import SettingInvalid, shown_url
from offhook.settings import PREFIX, SECRET_FIELDS, Settings, settings_from
from offhook.telnyx.signature import public_keys_from
from offhook.workers.sessions.flow_loading import flows_from
from offhook.workers.sessions.parked_policy import policy_from


async def examine_settings(settings: Settings) -> Findings:
    """Settings that name something or are keys; the others were checked when they were read."""
    count = sum(name.startswith(PREFIX) for name in os.environ)
    yield good("settings", "readable", f"{PREFIX}* variables: {count}")
    try:
        flows = flows_from(settings.flows)
    except SettingInvalid as error:
        fix = "set OFFHOOK_FLOWS to module:attribute of each Flow, found in the working directory"
        yield wrong("settings", "flows", str(error), fix)
    else:
        named = ", ".join(f"{flow.name} {flow.version}" for flow in flows)
        yield good("settings", "flows", named or _NO_FLOWS)
    try:
        policy_from(settings.parked)
    except SettingInvalid as error:
        yield wrong("settings", "parked", str(error), "see docs/flows.md for what each one does")
    fix = "set OFFHOOK_PUBLIC_KEYS to the base64 public key that the portal shows"
    if not settings.public_keys:
        yield wrong("settings", "public keys", "OFFHOOK_PUBLIC_KEYS is not set", fix)
        return
    try:
        keys = public_keys_from(settings.public_keys)
    except SettingInvalid as error:
        yield wrong("settings", "public keys", str(error), fix)
    else:
        yield good("settings", "public keys", f"{len(keys)}, base64 of 32 bytes")


_NO_FLOWS = (
    "OFFHOOK_FLOWS is not set in this terminal; a worker has the flows that it was started with "
    "and does not report them, and with none it only records calls"
)


def examine_same_settings(
    found: Mapping[str, str], environment: Mapping[str, str]
) -> list[Finding]:
    """Where the environment and a ready file differ. The roles use what the file says.

    `found` is the content of the file.
    """
    roles = settings_in(found)
    if "simulator" not in found:
        del roles["webhook_url"]  # ours is the public address, for the carrier
    here = settings_from(environment)
    differ = []
    for name, theirs in roles.items():
        variable = PREFIX + name.upper()
        ours = getattr(here, name)
        if (
            variable not in environment
            or ours == theirs
            or (isinstance(ours, tuple) and set(ours) <= set(theirs))
        ):
            continue
        if name in SECRET_FIELDS:
            differs = f"{variable} is not the one that the roles of the ready file use"
        else:
            differs = (
                f"{variable} is {_shown(ours)}; the roles of the ready file use {_shown(theirs)}"
            )
        fix = f"unset {variable}, or restart `offhook up` with it; this check used the ready file"
        differ.append(wrong("settings", "same as the roles", differs, fix))
    key = here.carrier_key
    if (theirs_key := found.get("carrier_key_sha256")) and theirs_key != fingerprint(key):
        differs = "OFFHOOK_CARRIER_KEY is not " + (
            "the one that the roles use" if key else "set here"
        )
        fix = "set it to the key that `offhook up` was started with, or restart `offhook up`"
        differ.append(wrong("settings", "same as the roles", differs, fix))
    return differ or [good("settings", "same as the roles", "nothing differs from the ready file")]


def _shown(value: object) -> str:
    texts = value if isinstance(value, tuple) else (value,)
    return ",".join(shown_url(str(text)) for text in texts) or "empty"
