"""The roles: whether each answers and is ready, and whether ingress and API accept our keys."""

from collections.abc import Mapping, Sequence

import httpx
import msgspec
from prometheus_client.parser import text_string_to_metric_families

from offhook.cli.counted import counted
from offhook.cli.doctor.finding import Finding, Findings, Place, good, unknown, wrong
from offhook.cli.tokens import widest_token
from offhook.errors import shown_url
from offhook.settings import Settings

TIMEOUT_S = 5.0


async def examine_role(place: Place, check: str, url: str, name: str) -> tuple[Finding, bool]:
    """Whether a role is ready, and whether what answered is such a role at all."""
    where = shown_url(url)
    fix = f"start `offhook {name}`, or give another address than {where}"
    try:
        answer = await _get(url, "/health/ready", within_s=TIMEOUT_S)
    except httpx.TimeoutException:
        found = f"{where} accepts connections but does not answer within {TIMEOUT_S:g} s"
        return wrong(
            place, check, found, f"it hangs: see the log of the {name}, then restart it"
        ), False
    except (httpx.TransportError, httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        found = f"not reachable at {where}: {type(error).__name__} {error}"
        return wrong(place, check, found, fix), False
    try:
        readiness = msgspec.json.decode(answer.content, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError):
        readiness = {}
    if "ready" not in readiness:
        found = f"what answers {answer.status_code} at {where} is not the {name} role"
        return wrong(place, check, found, fix), False
    if answer.status_code == httpx.codes.OK:
        return good(place, check, f"at {where}"), True
    fix = "fix what it reports, then run this again"
    return wrong(place, check, f"{readiness.get('because')}", fix), True


async def examine_ingress(url: str, metrics_token: str) -> Findings:
    """Whether ingress is ready, and has the carrier's public key; unknown without an address."""
    if not url:
        yield unknown("ingress", "ready", "not checked", "give its address: --ingress URL")
        return
    finding, is_ingress = await examine_role("ingress", "ready", url, "ingress")
    yield finding
    if not is_ingress:
        return
    try:
        metrics = await _get(url, "/metrics", token=metrics_token, within_s=TIMEOUT_S)
    except httpx.TransportError:
        return  # it was there a moment ago
    if metrics.status_code == httpx.codes.UNAUTHORIZED:
        fix = "set OFFHOOK_METRICS_TOKEN to the one of ingress"
        yield unknown("ingress", "signed with our key", "its metrics require a token", fix)
    else:
        yield _same_key(metrics.text)


def _same_key(metrics: str) -> Finding:
    """Whether the carrier signs with a key that we have; only its webhooks show that."""
    count = {
        sample.labels["result"]: int(sample.value)
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        if sample.name == "offhook_webhooks_total"
    }
    taken = count.get("stored", 0) + count.get("duplicate", 0)
    refused = count.get("bad_signature", 0)
    found = f"since it started: {counted(taken, 'webhook')} taken, {refused} with a bad signature"
    check = "signed with our key"
    if refused and not taken:
        fix = "set OFFHOOK_PUBLIC_KEYS to the base64 public key that the portal shows"
        return wrong("ingress", check, found, fix)
    if not taken:
        return unknown("ingress", check, found, "place a call, then run this again")
    return good("ingress", check, found)


async def examine_api(settings: Settings, url: str) -> Findings:
    """Whether the API is ready, and accepts our token; unknown without an address."""
    if not url:
        yield unknown("api", "ready", "not checked", "give its address: --api URL")
        return
    finding, is_api = await examine_role("api", "ready", url, "api")
    yield finding
    token = settings.api_token or widest_token(settings.api_tokens)
    if not is_api or not token:
        return
    base = url.rstrip("/").removesuffix("/v2")
    timeout_s = settings.answer_timeout_s
    try:
        answer = await _get(
            base, "/sessions", token=token, query={"limit": "1"}, within_s=timeout_s
        )
    except (httpx.TransportError, UnicodeEncodeError) as error:
        found = f"it does not answer a request with a token: {type(error).__name__}"
        yield wrong("api", "token", found, "see the log of the api")
        return
    if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        fix = "set OFFHOOK_API_TOKEN to one of the API's OFFHOOK_API_TOKENS"
        yield wrong("api", "token", f"{answer.status_code}: it does not accept ours", fix)
    elif answer.is_success:
        yield good("api", "token", "it accepts ours")
    else:
        found = f"it answers {answer.status_code} when asked for sessions"
        yield wrong("api", "token", found, "see the log of the api")


async def examine_others(urls: Sequence[str]) -> Findings:
    """Roles whose addresses were given by --role."""
    for url in urls:
        yield (await examine_role("workers", "role", url, "role"))[0]


async def _get(
    url: str,
    path: str,
    *,
    token: str = "",
    query: Mapping[str, str] | None = None,
    within_s: float,
) -> httpx.Response:
    """What a role answers. Raises httpx errors, and UnicodeEncodeError for an odd token."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    async with httpx.AsyncClient(timeout=within_s, headers=headers) as http:
        return await http.get(f"{url.rstrip('/')}{path}", params=query)
