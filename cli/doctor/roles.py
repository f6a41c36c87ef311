"""Whether a role answers now, and is ready; and the API, whether it takes the token."""

from collections.abc import Sequence

import httpx
import msgspec

from offhook.cli.doctor.finding import Finding, Findings, Place, good, unknown, wrong
from offhook.cli.tokens import ablest_token
from offhook.errors import shown_url
from offhook.settings import Settings

TIMEOUT_S = 5.0


async def role(place: Place, check: str, url: str, name: str) -> tuple[Finding, bool]:
    """What a role says of its readiness, and whether it was such a role that answered."""
    where = shown_url(url)
    fix = f"start `offhook {name}`, or give another address than {where}"
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT_S) as http:
            answer = await http.get(f"{url.rstrip('/')}/health/ready")
    except httpx.TimeoutException:
        found = f"{where} accepts connections and does not answer within {TIMEOUT_S:g} s"
        return wrong(place, check, found, f"it hangs: see the log of the {name}, restart it"), False
    except (httpx.TransportError, httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        found = f"not reachable at {where}: {type(error).__name__} {error}"
        return wrong(place, check, found, fix), False
    try:
        told = msgspec.json.decode(answer.content, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError):
        told = {}
    if "ready" not in told:
        found = f"what answers {answer.status_code} at {where} is no {name}"
        return wrong(place, check, found, fix), False
    if answer.status_code == httpx.codes.OK:
        return good(place, check, f"at {where}"), True
    return wrong(place, check, f"{told.get('because')}", "mend what it says, then look again"), True


async def examine_others(urls: Sequence[str]) -> Findings:
    """Roles at addresses that were given by hand."""
    for url in urls:
        yield (await role("workers", "role", url, "role"))[0]


async def examine_api(settings: Settings, url: str) -> Findings:
    """The API where its address is known, and whether it takes the token."""
    if not url:
        yield unknown("api", "ready", "not looked at", "give its address: --api URL")
        return
    finding, is_one = await role("api", "ready", url, "api")
    yield finding
    token = settings.api_token or ablest_token(settings.api_tokens)
    if not is_one or not token:
        return
    bearer = {"authorization": f"Bearer {token}"}
    try:
        async with httpx.AsyncClient(timeout=settings.answer_timeout_s, headers=bearer) as http:
            answer = await http.get(
                f"{url.rstrip('/').removesuffix('/v2')}/sessions", params={"limit": "1"}
            )
    except (httpx.TransportError, UnicodeEncodeError) as error:
        found = f"it does not answer a request with a token: {type(error).__name__}"
        yield wrong("api", "token", found, "see the log of the api")
        return
    if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        fix = "set OFFHOOK_API_TOKEN to one of the API's own OFFHOOK_API_TOKENS"
        yield wrong("api", "token", f"{answer.status_code}: it does not take ours", fix)
    elif answer.is_success:
        yield good("api", "token", "it takes ours")
    else:
        found = f"{answer.status_code} to a list of sessions"
        yield wrong("api", "token", found, "see the log of the api")
