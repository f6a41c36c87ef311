"""GET /call_events: the webhooks and commands of calls.

It reaches back as far as the webhooks and effects that are kept, the newest 200,000 of each; only
those on the page are put into JSON. Shapes and filters: team-telnyx/openapi `spec3.yml` 12de4dd0;
the `metadata` of a webhook is as in team-telnyx/knowledge-base `webhook-fundamentals`. That of a
command is not documented: here it is the command_id.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from offhook.simulator.call.legs import SimulatedLeg
from offhook.simulator.effects import Effect
from offhook.simulator.errors import request_errors
from offhook.simulator.exchange import Exchange
from offhook.simulator.http.time_filters import COMPARISONS, time_filter
from offhook.simulator.timestamps import iso_microseconds
from offhook.simulator.webhooks.deliveries import WebhookDelivery
from offhook.simulator.webhooks.envelopes import data_of

WITHOUT_FILTER = timedelta(hours=24)


@dataclass(frozen=True, kw_only=True)
class PerformedCommand:
    """A command that was performed, and its leg as it is now."""

    effect: Effect
    leg: SimulatedLeg


CallEventSource = WebhookDelivery | PerformedCommand


def call_events(
    exchange: Exchange, query: Mapping[str, str], now: datetime
) -> list[CallEventSource]:
    """Webhooks and commands that pass the filters of the query, oldest first.

    Without a leg or a session in the query, the last 24 hours. Raises CarrierError (10015).
    """
    compared = [name for name in COMPARISONS if f"filter[occurred_at][{name}]" in query]
    if len(compared) > 1:
        raise request_errors.filter_invalid(
            "filter[occurred_at]", ", ".join(compared), "only one of them"
        )
    in_time = time_filter(query, "filter[occurred_at]", compared)
    one_call = "filter[leg_id]" in query or "filter[application_session_id]" in query
    since = None if one_call else now - WITHOUT_FILTER
    wanted = [
        (field, query[f"filter[{name}]"])
        for name, field in _FIELDS.items()
        if f"filter[{name}]" in query
    ]
    legs = exchange.legs.by_id()
    commands = (
        PerformedCommand(effect=effect, leg=leg)
        for effect in exchange.effects.effects()
        if (leg := legs.get(effect.call_control_id)) is not None  # the oldest legs are forgotten
    )
    sources: Iterable[CallEventSource] = itertools.chain(exchange.sender.deliveries(), commands)
    found = [
        event
        for event in sources
        if all(field(event) == value for field, value in wanted)
        and (since is None or _at(event) >= since)
        and in_time(_at(event))
    ]
    return sorted(found, key=_at)


def call_event_resource(event: CallEventSource) -> dict[str, Any]:
    """A webhook or a command in JSON."""
    return {
        "record_type": "call_event",
        "call_leg_id": _leg_id(event),
        "call_session_id": _session_id(event),
        "event_timestamp": iso_microseconds(_at(event)),
        "name": _name(event),
        "type": _type(event),
        "metadata": _metadata(event),
    }


def _metadata(event: CallEventSource) -> dict[str, Any]:
    if isinstance(event, PerformedCommand):
        return {"command_id": event.effect.command_id}
    last = event.attempts[-1] if event.attempts else None
    return {
        "attempt": last.number if last else 0,
        "delivered_to": last.url if last else event.url,
        "status": "failed" if event.delivered is False else "delivered",
        "event": data_of(event.webhook),
    }


def _at(event: CallEventSource) -> datetime:
    return event.effect.at if isinstance(event, PerformedCommand) else event.webhook.occurred_at


def _name(event: CallEventSource) -> str:
    if isinstance(event, PerformedCommand):
        return event.effect.operation
    return event.webhook.event_type


def _type(event: CallEventSource) -> str:
    return "command" if isinstance(event, PerformedCommand) else "webhook"


def _leg_id(event: CallEventSource) -> str:
    if isinstance(event, PerformedCommand):
        return event.leg.call_leg_id
    return _payload_field(event, "call_leg_id")


def _session_id(event: CallEventSource) -> str:
    if isinstance(event, PerformedCommand):
        return event.leg.call_session_id
    return event.webhook.call_session_id


def _connection_id(event: CallEventSource) -> str:
    if isinstance(event, PerformedCommand):
        return event.leg.connection_id
    return _payload_field(event, "connection_id")


def _from(event: CallEventSource) -> str:
    if isinstance(event, PerformedCommand):
        return event.leg.from_
    return _payload_field(event, "from")


def _to(event: CallEventSource) -> str:
    return event.leg.to if isinstance(event, PerformedCommand) else _payload_field(event, "to")


def _failed(event: CallEventSource) -> str:
    return str(isinstance(event, WebhookDelivery) and event.delivered is False).lower()


def _payload_field(delivery: WebhookDelivery, name: str) -> str:
    return str(delivery.webhook.payload.get(name, ""))


_FIELDS: dict[str, Callable[[CallEventSource], str]] = {
    "leg_id": _leg_id,
    "application_session_id": _session_id,
    "connection_id": _connection_id,
    "failed": _failed,
    "from": _from,
    "to": _to,
    "name": _name,
    "type": _type,
    "product": lambda _: "call_control",
}
"""What a filter is compared with, by the name of the filter."""
