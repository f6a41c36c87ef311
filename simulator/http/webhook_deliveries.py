"""GET /webhook_deliveries: every webhook whose outcome is known, with its attempts.

It reaches back as far as the deliveries that the sender keeps. Shapes and filters:
team-telnyx/openapi `spec3.yml` 12de4dd0.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from offhook.simulator.errors import request_errors
from offhook.simulator.http.time_filters import time_filter
from offhook.simulator.timestamps import iso_milliseconds
from offhook.simulator.webhooks.deliveries import DeliveryAttempt, WebhookDelivery
from offhook.simulator.webhooks.envelopes import data_of


def settled_deliveries(
    deliveries: Sequence[WebhookDelivery], query: Mapping[str, str]
) -> list[WebhookDelivery]:
    """Those that pass the filters of the query, newest first. Raises CarrierError (10015)."""
    status = query.get("filter[status][eq]")
    if status not in (None, "delivered", "failed"):
        raise request_errors.filter_invalid(
            "filter[status][eq]", str(status), "delivered or failed"
        )
    started = time_filter(query, "filter[started_at]", ("gte", "lte"))
    finished = time_filter(query, "filter[finished_at]", ("gte", "lte"))
    types = query.get("filter[event_type]")
    in_webhook = query.get("filter[webhook][contains]", "")
    in_attempts = query.get("filter[attempts][contains]", "")
    return [
        delivery
        for delivery in reversed(deliveries)
        if is_settled(delivery)
        if status is None or delivery.delivered == (status == "delivered")
        if types is None or delivery.webhook.event_type in types.split(",")
        if started(delivery.attempts[0].started_at) and finished(delivery.attempts[-1].finished_at)
        if not in_webhook or in_webhook in _text(data_of(delivery.webhook))
        if not in_attempts or in_attempts in _text(_attempt_resources(delivery))
    ]


def is_settled(delivery: WebhookDelivery) -> bool:
    """Whether the outcome is known; a lost webhook was never attempted, and does not count."""
    return delivery.delivered is not None and bool(delivery.attempts)


def delivery_resource(delivery: WebhookDelivery) -> dict[str, Any]:
    """A settled delivery in JSON."""
    return {
        "id": delivery.id,
        "record_type": "webhook_delivery",
        "status": "delivered" if delivery.delivered else "failed",
        "started_at": iso_milliseconds(delivery.attempts[0].started_at),
        "finished_at": iso_milliseconds(delivery.attempts[-1].finished_at),
        "attempts": _attempt_resources(delivery),
        "webhook": data_of(delivery.webhook),
    }


def _attempt_resources(delivery: WebhookDelivery) -> list[dict[str, Any]]:
    """Newest first."""
    return [_attempt_resource(attempt) for attempt in reversed(delivery.attempts)]


def _attempt_resource(attempt: DeliveryAttempt) -> dict[str, Any]:
    http: dict[str, Any] = {"request": {"url": attempt.url, "headers": []}}
    if attempt.status is not None:
        http["response"] = {"status": attempt.status, "headers": [], "body": attempt.answer}
    return {
        "started_at": iso_milliseconds(attempt.started_at),
        "finished_at": iso_milliseconds(attempt.finished_at),
        "status": "delivered" if attempt.delivered else "failed",
        "http": http,
    }


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
