"""The carrier: whether it accepts the key, and whether its webhooks reach ingress."""

from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec

from offhook.cli.doctor.finding import Finding, Findings, Now, clock, good, wrong
from offhook.commands.paths import SEGMENT_RULE, is_segment
from offhook.errors import SettingInvalid, shown_url
from offhook.settings import Settings
from offhook.telnyx.http import HttpAnswer, NoHttpAnswer, TelnyxHttp
from offhook.telnyx.paths import APPLICATIONS, application_path
from offhook.telnyx.webhook_path import WEBHOOK_PATH

TIMEOUT_S = 5.0
LISTED_MAX = 10

SKEW_SHARE = 0.1
"""Of the tolerance for signatures; a clock that is off by this much keeps drifting."""

Application = Mapping[str, Any]


async def examine_carrier(settings: Settings, webhook_url: str, now: Now) -> Findings:
    """Key, clock, then the application; without a usable key only the key is checked."""
    if not settings.carrier_key:
        fix = "set OFFHOOK_CARRIER_KEY to an API key from the portal"
        yield wrong("carrier", "key", "OFFHOOK_CARRIER_KEY is not set", fix)
        return
    try:
        carrier = TelnyxHttp(
            base_url=settings.carrier_url, key=settings.carrier_key, timeout_s=TIMEOUT_S
        )
    except SettingInvalid as invalid:
        yield wrong(
            "carrier", "key", str(invalid), "correct OFFHOOK_CARRIER_URL or OFFHOOK_CARRIER_KEY"
        )
        return
    async with carrier as http:
        asked_at = now()
        answer = await http.request("GET", APPLICATIONS, query={"page[size]": "250"})
        if isinstance(answer, NoHttpAnswer):
            where = shown_url(settings.carrier_url)
            found = f"not reachable at {where}: {answer.detail}"
            fix = "see OFFHOOK_CARRIER_URL, the name server, proxy and firewall"
            yield wrong("carrier", "key", found, fix)
            return
        yield (key := _key(settings.carrier_url, answer))
        if skew := _clock(settings, answer, asked_at=asked_at, now=now):
            yield skew
        if key.state != "good":
            return
        async for finding in _application(http, settings, answer, webhook_url):
            yield finding


def _key(url: str, answer: HttpAnswer) -> Finding:
    status, words = answer.status, _words(answer)
    if status == 200 and isinstance(_body(answer).get("data"), list):
        return good("carrier", "key", f"{shown_url(url)} accepts it")
    match status:
        case 401:
            found = f"{words}: the carrier does not know it"
            fix = "set OFFHOOK_CARRIER_KEY to a valid API key from the portal"
        case 403:
            found = f"{words}: the carrier knows it, but it may not read applications"
            fix = "give the key its rights in the portal, or set OFFHOOK_CARRIER_KEY to another"
        case 429 | 500 | 502 | 503 | 504:
            found, fix = f"{words}: the carrier cannot answer now", "run this again in a while"
        case _:
            found = f"{words}: there are no Call Control Applications at {shown_url(url)}"
            fix = "OFFHOOK_CARRIER_URL ends in /v2, as https://api.telnyx.com/v2 does"
    return wrong("carrier", "key", found, fix)


def _clock(
    settings: Settings, answer: HttpAnswer, *, asked_at: datetime, now: Now
) -> Finding | None:
    """By the answer's Date header, which has whole seconds; None if it is missing."""
    try:
        theirs = parsedate_to_datetime(answer.headers.get("date", ""))
    except ValueError:
        return None
    return clock(
        "carrier",
        asked_at=asked_at,
        theirs=theirs,
        answered_at=now(),
        skew_max_s=settings.signature_tolerance_s * SKEW_SHARE,
        because="signatures older than OFFHOOK_SIGNATURE_TOLERANCE_S are refused",
        resolution_s=1.0,
    )


async def _application(
    http: TelnyxHttp, settings: Settings, listed: HttpAnswer, webhook_url: str
) -> Findings:
    known = [each for each in _body(listed)["data"] if isinstance(each, dict)]
    wanted = settings.connection_id
    if not wanted and len(known) != 1:
        found = f"which of them? {_names(known)}" if known else "the account has none"
        fix = "name it by --connection ID or OFFHOOK_CONNECTION_ID"
        make = "create one: offhook apps create NAME https://…" + WEBHOOK_PATH
        yield wrong("carrier", "application", found, fix if known else make)
        return
    application: Application
    if wanted:
        if not is_segment(wanted):
            fix = "name another by --connection ID or OFFHOOK_CONNECTION_ID"
            yield wrong("carrier", "application", f"its id is {wanted!r}; {SEGMENT_RULE}", fix)
            return
        answer = await http.request("GET", application_path(wanted))
        if isinstance(answer, NoHttpAnswer):
            found = f"the carrier did not answer about {wanted!r}: {answer.detail}"
            yield wrong("carrier", "application", found, "run this again in a while")
            return
        data = _body(answer).get("data")
        if answer.status != 200 or not isinstance(data, dict):
            found = f"{_words(answer)}: there is no {wanted!r}; there are {_names(known) or 'none'}"
            fix = "name another by --connection ID or OFFHOOK_CONNECTION_ID"
            yield wrong("carrier", "application", found, fix)
            return
        application = data
    else:
        application = known[0]
    name = f"{application.get('id')} ({application.get('application_name')})"
    yield good("carrier", "application", name if wanted else f"{name}, the only one")
    for finding in application_findings(application, webhook_url):
        yield finding


def application_findings(application: Application, webhook_url: str) -> list[Finding]:
    """Whether its webhooks reach ingress in a form it reads. An empty `webhook_url` accepts any."""
    update = f"offhook apps update {application.get('id')}"
    found = [_webhook_url(application, webhook_url, update)]
    if failover := application.get("webhook_event_failover_url"):
        found.append(_failover_url(str(failover), update))
    version = application.get("webhook_api_version")
    if version == "2":
        found.append(good("carrier", "webhook version", '"2", signed with Ed25519'))
    else:
        # The carrier's default for a new application.
        refused = f"{msgspec.json.encode(version).decode()}, which ingress refuses"
        fix = f"{update} --webhook-api-version 2"
        found.append(wrong("carrier", "webhook version", refused, fix))
    if application.get("active") is True:
        found.append(good("carrier", "active", "yes"))
    else:
        inactive = "no: it takes and places no calls"
        found.append(wrong("carrier", "active", inactive, f"{update} --active"))
    return found


def _webhook_url(application: Application, expected: str, update: str) -> Finding:
    url = application.get("webhook_event_url") or ""
    shown, wanted = shown_url(url), shown_url(expected)
    fix = f"{update} --webhook-event-url {wanted or 'https://…' + WEBHOOK_PATH}"
    if expected and url != expected:
        return wrong("carrier", "webhook URL", f"{shown or 'none'}, not {wanted}", fix)
    if urlsplit(url).path != WEBHOOK_PATH:
        found = f"{shown or 'none'} does not end in {WEBHOOK_PATH}, where ingress listens"
        return wrong("carrier", "webhook URL", found, fix)
    return good("carrier", "webhook URL", shown)


def _failover_url(url: str, update: str) -> Finding:
    if urlsplit(url).path == WEBHOOK_PATH:
        return good("carrier", "failover URL", shown_url(url))
    found = f"{shown_url(url)} does not end in {WEBHOOK_PATH}, where ingress listens"
    fix = f"{update} --webhook-event-failover-url https://…{WEBHOOK_PATH}"
    return wrong("carrier", "failover URL", found, fix)


def _names(applications: list[dict[str, Any]]) -> str:
    names = [f"{each.get('id')} ({each.get('application_name')})" for each in applications]
    more = f" and {len(names) - LISTED_MAX:,} more" if len(names) > LISTED_MAX else ""
    return ", ".join(names[:LISTED_MAX]) + more


def _body(answer: HttpAnswer) -> dict[str, Any]:
    try:
        return msgspec.json.decode(answer.body or b"", type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}


def _words(answer: HttpAnswer) -> str:
    """Status, code and title: "401 10009 Authentication failed"."""
    errors = _body(answer).get("errors")
    first = errors[0] if isinstance(errors, list) and errors else {}
    known = first if isinstance(first, dict) else {}
    parts = (answer.status, known.get("code"), known.get("title"))
    return " ".join(str(part) for part in parts if part)
