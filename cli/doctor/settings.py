"""What is on this side: settings, flows, public keys, and ingress where its address is given."""

import os
from collections.abc import Mapping

import httpx
from prometheus_client.parser import text_string_to_metric_families

from offhook.cli.doctor.finding import Finding, Findings, good, unknown, wrong
from offhook.cli.doctor.roles import TIMEOUT_S, role
from offhook.cli.embedded.ready_file import fingerprint, settings_in
from offhook.errors import SettingInvalid, shown_url
from offhook.settings import PREFIX, SECRET_FIELDS, Settings, settings_from
from offhook.telnyx.signature import public_keys_from
from offhook.workers.sessions.flow_loading import flows_from
from offhook.workers.sessions.parked_policy import policy_from


async def examine_settings(settings: Settings) -> Findings:
    """They were read, or there were none of them; and what of them is a name or a key."""
    count = sum(name.startswith(PREFIX) for name in os.environ)
    yield good("settings", "readable", f"{PREFIX}* variables: {count}")
    try:
        flows = flows_from(settings.flows)
    except SettingInvalid as error:
        fix = "OFFHOOK_FLOWS is module:attribute of each Flow, found from where you are"
        yield wrong("settings", "flows", str(error), fix)
    else:
        named = ", ".join(f"{flow.name} {flow.version}" for flow in flows)
        yield good("settings", "flows", named or "OFFHOOK_FLOWS names none: a worker records calls")
    try:
        policy_from(settings.parked)
    except SettingInvalid as error:
        yield wrong("settings", "parked", str(error), "docs/flows.md says what each one does")
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


def examine_same_settings(
    found: Mapping[str, str], environment: Mapping[str, str]
) -> list[Finding]:
    """Where the environment and a ready file differ: the roles run with what the file says.

    `found` is the file's content.
    """
    roles = settings_in(found)
    if "simulator" not in found:
        del roles["webhook_url"]  # ours is the public one, for the carrier
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
            told = f"{variable} is not the one that the roles of the ready file use"
        else:
            told = f"{variable} is {_shown(ours)}; the roles of the ready file use {_shown(theirs)}"
        fix = f"unset {variable}, or restart `offhook up` with it: the ready file was examined"
        differ.append(wrong("settings", "same as the roles", told, fix))
    key = here.carrier_key
    if (theirs_key := found.get("carrier_key_sha256")) and theirs_key != fingerprint(key):
        told = "OFFHOOK_CARRIER_KEY is not " + ("the one that the roles use" if key else "set here")
        fix = "set it to the key that `offhook up` was started with, or restart `offhook up`"
        differ.append(wrong("settings", "same as the roles", told, fix))
    return differ or [good("settings", "same as the roles", "nothing differs from the ready file")]


def _shown(value: object) -> str:
    texts = value if isinstance(value, tuple) else (value,)
    return ",".join(shown_url(str(text)) for text in texts) or "empty"


async def examine_ingress(url: str, metrics_token: str) -> Findings:
    """Whether it is ready, and knows the carrier's key; unknown where no address is given."""
    if not url:
        yield unknown("ingress", "ready", "not looked at", "give its address: --ingress URL")
        return
    finding, is_one = await role("ingress", "ready", url, "ingress")
    yield finding
    if not is_one:
        return
    bearer = {"authorization": f"Bearer {metrics_token}"} if metrics_token else {}
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT_S) as http:
            counted = await http.get(f"{url.rstrip('/')}/metrics", headers=bearer)
    except httpx.TransportError:
        return  # it was there a moment ago
    if counted.status_code == httpx.codes.UNAUTHORIZED:
        fix = "set OFFHOOK_METRICS_TOKEN to that of ingress"
        yield unknown("ingress", "signed with our key", "its metrics ask for a token", fix)
    else:
        yield _same_key(counted.text)


def _same_key(metrics: str) -> Finding:
    """Whether the carrier signs with a key that we know: its API does not tell, webhooks do."""
    count = {
        sample.labels["result"]: int(sample.value)
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        if sample.name == "offhook_webhooks_total"
    }
    taken = count.get("stored", 0) + count.get("duplicate", 0)
    refused = count.get("bad_signature", 0)
    found = f"since it started: {taken} webhooks taken, {refused} with a bad signature"
    check = "signed with our key"
    if refused and not taken:
        fix = "set OFFHOOK_PUBLIC_KEYS to the base64 public key that the portal shows"
        return wrong("ingress", check, found, fix)
    if not taken:
        return unknown("ingress", check, found, "place a call, then look again")
    return good("ingress", check, found)
