"""What GET /simulator/effects answers: everything that was performed, sent and left."""

from collections.abc import Sequence
from typing import Any

from offhook.simulator.call.legs import SimulatedLeg
from offhook.simulator.effects import Effect
from offhook.simulator.exchange import Exchange
from offhook.simulator.timestamps import iso_microseconds
from offhook.simulator.webhooks.deliveries import WebhookDelivery


def report_of(exchange: Exchange) -> dict[str, Any]:
    """The whole report. Webhooks that are still to come of ended legs count as pending."""
    effects = exchange.effects
    deliveries = exchange.sender.deliveries()
    totals = _webhook_totals(deliveries)
    return {
        "effects": [_effect_entry(effect) for effect in effects.effects()],
        "totals": dict(effects.totals),
        "doubled": [_effect_entry(effect) for effect in effects.doubled()],
        "ignored": dict(exchange.ignored),
        "refused": dict(exchange.refused),
        "webhooks": totals | {"pending": totals["pending"] + exchange.legs.late_events()},
        "events": [_event_entry(delivery) for delivery in deliveries],
        "legs": [_leg_entry(leg) for leg in exchange.legs.by_id().values()],
        "forgotten": {
            "effects": effects.forgotten,
            "events": exchange.sender.forgotten,
            "legs": exchange.legs.forgotten,
        },
    }


def _effect_entry(effect: Effect) -> dict[str, Any]:
    return {
        "at": iso_microseconds(effect.at),
        "operation": effect.operation,
        "call_control_id": effect.call_control_id,
        "call_session_id": effect.call_session_id,
        "command_id": effect.command_id,
        "count": effect.count,
        "repeated": effect.repeated,
    }


def _event_entry(delivery: WebhookDelivery) -> dict[str, Any]:
    """An event, and what has become of it."""
    webhook = delivery.webhook
    return {
        "id": webhook.id,
        "event_type": webhook.event_type,
        "call_control_id": webhook.call_control_id,
        "call_session_id": webhook.call_session_id,
        "occurred_at": iso_microseconds(webhook.occurred_at),
        "attempts": len(delivery.attempts),
        "copies": delivery.copies,
        "held_back": delivery.held_back,
        "lost": delivery.lost,
        "delivered": delivery.delivered,
    }


def _webhook_totals(deliveries: Sequence[WebhookDelivery]) -> dict[str, int]:
    """How many events there are, by outcome; a lost one is undelivered too."""
    return {
        "events": len(deliveries),
        "attempts": sum(len(one.attempts) for one in deliveries),
        "duplicates": sum(one.copies - 1 for one in deliveries),
        "held_back": sum(one.held_back for one in deliveries),
        "lost": sum(one.lost for one in deliveries),
        "delivered": sum(one.delivered is True for one in deliveries),
        "undelivered": sum(one.delivered is False for one in deliveries),
        "pending": sum(one.delivered is None for one in deliveries),
    }


def _leg_entry(leg: SimulatedLeg) -> dict[str, Any]:
    return {
        "call_control_id": leg.call_control_id,
        "call_leg_id": leg.call_leg_id,
        "call_session_id": leg.call_session_id,
        "connection_id": leg.connection_id,
        "direction": leg.direction,
        "from": leg.from_,
        "to": leg.to,
        "state": leg.state,
        "client_state": leg.client_state,
        "started_at": iso_microseconds(leg.started_at),
        "answered_at": leg.answered_at and iso_microseconds(leg.answered_at),
        "ended_at": leg.ended_at and iso_microseconds(leg.ended_at),
        "bridged_with": leg.bridged_with,
        "hangup_cause": leg.ending and leg.ending.cause,
        "hangup_source": leg.ending and leg.ending.source,
        "sip_hangup_cause": leg.ending and leg.ending.sip,
    }
