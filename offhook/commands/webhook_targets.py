"""Where a command sends its call's webhooks: to ingress, or to where Offhook never sees them. Pure.

Dial, answer and transfer have `webhook_url`, `webhook_urls` by event type, and a method for each.
"""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from offhook.errors import ParameterInvalid, shown, shown_url
from offhook.events import IssuedCommand

WARNING_HEADER = "offhook-warning"
"""Of an answer of Offhook's API, beside the carrier's own body."""

_METHODS = ("webhook_url_method", "webhook_urls_method")
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def require_post(operation: str, parameters: Mapping[str, Any]) -> None:
    """Raise ParameterInvalid for webhooks by GET: the carrier would send them, ingress takes none.

    The call would then be one that no flow, no view and no status ever sees.
    """
    for name in _METHODS:
        if (method := parameters.get(name)) not in (None, "POST"):
            rule = "expected 'POST': ingress answers 405 to webhooks by any other method"
            raise ParameterInvalid(operation, name, method, rule)


def sent_elsewhere(command: IssuedCommand, own_url: str) -> Iterator[str]:
    """A warning for each parameter that sends webhooks to another address than `own_url`.

    If that is a loopback address, only the path counts: the carrier reaches ingress by a public
    name that nobody has set. An empty `own_url` warns of nothing.
    """
    if not own_url:
        return
    own = f"{shown_url(own_url)} (OFFHOOK_WEBHOOK_URL)"
    url = command.parameters.get("webhook_url")
    if isinstance(url, str) and not _leads_to(url, own_url):
        yield (
            f"{command.operation}: the call's webhooks go to webhook_url {shown(shown_url(url))}, "
            f"not to {own}: no flow sees them, and its status stays as the answer has it"
        )
    urls = command.parameters.get("webhook_urls")
    for event_type, targets in (urls if isinstance(urls, Mapping) else {}).items():
        listed = [targets] if isinstance(targets, str) else targets
        if isinstance(listed, list) and not any(_leads_to(each, own_url) for each in listed):
            there = ", ".join(shown_url(str(each)) for each in listed)
            yield (
                f"{command.operation}: webhook_urls sends {event_type} to {shown(there)}, not to "
                f"{own}: no flow and no view sees it"
            )


def _leads_to(url: object, own_url: str) -> bool:
    try:
        there, own = urlsplit(str(url)), urlsplit(own_url)
        same_host = (there.hostname, there.port) == (own.hostname, own.port)
    except ValueError:
        return False
    same_path = there.path.rstrip("/") == own.path.rstrip("/")
    return same_path and (same_host or own.hostname in _LOOPBACK)
