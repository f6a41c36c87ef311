"""What is on this side: settings, flows, public keys, and ingress where its address is given."""

import os

import httpx
import msgspec
from prometheus_client.parser import text_string_to_metric_families

from cli.doctor.finding import Finding, Findings, good, unknown, wrong
from offhook.errors import SettingInvalid
from offhook.settings import PREFIX, Settings
from offhook.telnyx.signature import public_keys_from
from workers.loading import flows_from

TIMEOUT_S = 5.0


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
    fix = "set OFFHOOK_PUBLIC_KEYS to the base64 public key that the portal shows"
    if not settings.public_keys:
        yield wrong("settings", "public keys", "OFFHOOK_PUBLIC_KEYS is not set", fix)
        return
    try:
        keys = public_keys_from(settings.public_keys)
    except SettingInvalid as error:
        yield wrong("settings", "public keys", f"OFFHOOK_PUBLIC_KEYS: {error}", fix)
    else:
        yield good("settings", "public keys", f"{len(keys)}, base64 of 32 bytes")


async def examine_ingress(url: str, metrics_token: str) -> Findings:
    """Whether it is ready, and knows the carrier's key; unknown where no address is given."""
    if not url:
        yield unknown("ingress", "ready", "not looked at", "give its address: --ingress URL")
        return
    fix = f"start `offhook ingress`, or give another address than {url}"
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT_S) as http:
            answer = await http.get(f"{url.rstrip('/')}/health/ready")
            bearer = {"authorization": f"Bearer {metrics_token}"} if metrics_token else {}
            counted = await http.get(f"{url.rstrip('/')}/metrics", headers=bearer)
    except (httpx.TransportError, httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        found = f"not reachable at {url}: {type(error).__name__} {error}"
        yield wrong("ingress", "ready", found, fix)
        return
    try:
        told = msgspec.json.decode(answer.content, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError):
        told = {}
    if "ready" not in told:
        found = f"what answers {answer.status_code} at {url} is no ingress"
        yield wrong("ingress", "ready", found, fix)
    elif answer.status_code == httpx.codes.OK:
        yield good("ingress", "ready", f"at {url}")
    else:
        fix = "mend what it says, then look again"
        yield wrong("ingress", "ready", f"{told.get('because')}", fix)
    if "ready" in told and counted.status_code == httpx.codes.UNAUTHORIZED:
        fix = "set OFFHOOK_METRICS_TOKEN to that of ingress"
        yield unknown("ingress", "signed with our key", "its metrics ask for a token", fix)
    elif "ready" in told:
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
