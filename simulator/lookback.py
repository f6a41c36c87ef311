"""What the carrier tells afterwards: GET /call_events and GET /webhook_deliveries.

Both read the books that the simulator keeps anyway, so they reach back as far as those do: the
newest 200,000 webhooks and effects. Only what is on the page asked for is put into JSON. Shapes and
filters: team-telnyx/openapi `spec3.yml` 12de4dd0; the `metadata` of a webhook is as in
team-telnyx/knowledge-base `webhook-fundamentals`. What stands in that of a command is not
documented: it is the command_id here.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from offhook.simulator.call.answers import milliseconds
from offhook.simulator.call.legs import Leg, stamp
from offhook.simulator.errors import request_errors
from offhook.simulator.ledger import Effect
from offhook.simulator.webhooks.delivery import Attempt, Record
from offhook.simulator.webhooks.envelopes import data_of

WITHOUT_FILTER = timedelta(hours=24)


@dataclass(frozen=True, kw_only=True)
class Commanded:
    """A command that was performed, and its leg as it is now."""

    effect: Effect
    leg: Leg


CallEvent = Record | Commanded


def call_events(
    records: Iterable[Record],
    effects: Iterable[Effect],
    legs: Mapping[str, Leg],
    query: Mapping[str, str],
    now: datetime,
) -> list[CallEvent]:
    """Webhooks and commands that the query asks for, oldest first. Raises CarrierError.

    Without a leg or a session in the query, those of the last 24 hours.
    """
    asked = [name for name in _COMPARISONS if f"filter[occurred_at][{name}]" in query]
    if len(asked) > 1:
        raise request_errors.filter_invalid(
            "filter[occurred_at]", ", ".join(asked), "only one of them"
        )
    at = _moment_filter(query, "filter[occurred_at]", asked)
    one_call = "filter[leg_id]" in query or "filter[application_session_id]" in query
    since = None if one_call else now - WITHOUT_FILTER
    wanted = [
        (fact, query[f"filter[{name}]"])
        for name, fact in _FACTS.items()
        if f"filter[{name}]" in query
    ]
    commanded = (
        Commanded(effect=effect, leg=leg)
        for effect in effects
        if (leg := legs.get(effect.call_control_id)) is not None  # the oldest legs are forgotten
    )
    events: Iterable[CallEvent] = itertools.chain(records, commanded)
    found = [
        event
        for event in events
        if all(fact(event) == value for fact, value in wanted)
        and (since is None or _at(event) >= since)
        and at(_at(event))
    ]
    return sorted(found, key=_at)


def call_event_shown(event: CallEvent) -> dict[str, Any]:
    """An event or a command as GET /call_events shows it."""
    return {
        "record_type": "call_event",
        "call_leg_id": _leg_id(event),
        "call_session_id": _session_id(event),
        "event_timestamp": stamp(_at(event)),
        "name": _name(event),
        "type": _type(event),
        "metadata": _metadata(event),
    }


def webhook_deliveries(records: Sequence[Record], query: Mapping[str, str]) -> list[Record]:
    """Deliveries that are over and that the query asks for, newest first. Raises CarrierError."""
    status = query.get("filter[status][eq]")
    if status not in (None, "delivered", "failed"):
        raise request_errors.filter_invalid(
            "filter[status][eq]", str(status), "delivered or failed"
        )
    started = _moment_filter(query, "filter[started_at]", ("gte", "lte"))
    finished = _moment_filter(query, "filter[finished_at]", ("gte", "lte"))
    types = query.get("filter[event_type]")
    in_webhook = query.get("filter[webhook][contains]", "")
    in_attempts = query.get("filter[attempts][contains]", "")
    return [
        record
        for record in reversed(records)
        if record.delivered is not None and record.attempts
        if status is None or record.delivered == (status == "delivered")
        if types is None or record.webhook.event_type in types.split(",")
        if started(record.attempts[0].started_at) and finished(record.attempts[-1].finished_at)
        if not in_webhook or in_webhook in _text(data_of(record.webhook))
        if not in_attempts or in_attempts in _text(_attempts_shown(record))
    ]


def delivery_shown(record: Record) -> dict[str, Any]:
    """A delivery that is over."""
    return {
        "id": record.id,
        "record_type": "webhook_delivery",
        "status": "delivered" if record.delivered else "failed",
        "started_at": milliseconds(record.attempts[0].started_at),
        "finished_at": milliseconds(record.attempts[-1].finished_at),
        "attempts": _attempts_shown(record),
        "webhook": data_of(record.webhook),
    }


def _attempts_shown(record: Record) -> list[dict[str, Any]]:
    """The newest first."""
    return [_attempt_shown(attempt) for attempt in reversed(record.attempts)]


def _attempt_shown(attempt: Attempt) -> dict[str, Any]:
    http: dict[str, Any] = {"request": {"url": attempt.url, "headers": []}}
    if attempt.status is not None:
        http["response"] = {"status": attempt.status, "headers": [], "body": attempt.answer}
    return {
        "started_at": milliseconds(attempt.started_at),
        "finished_at": milliseconds(attempt.finished_at),
        "status": "delivered" if attempt.delivered else "failed",
        "http": http,
    }


def _metadata(event: CallEvent) -> dict[str, Any]:
    if isinstance(event, Commanded):
        return {"command_id": event.effect.command_id}
    last = event.attempts[-1] if event.attempts else None
    return {
        "attempt": last.number if last else 0,
        "delivered_to": last.url if last else event.url,
        "status": "failed" if event.delivered is False else "delivered",
        "event": data_of(event.webhook),
    }


def _at(event: CallEvent) -> datetime:
    return event.effect.at if isinstance(event, Commanded) else event.webhook.occurred_at


def _name(event: CallEvent) -> str:
    return event.effect.operation if isinstance(event, Commanded) else event.webhook.event_type


def _type(event: CallEvent) -> str:
    return "command" if isinstance(event, Commanded) else "webhook"


def _leg_id(event: CallEvent) -> str:
    return event.leg.call_leg_id if isinstance(event, Commanded) else _payload(event, "call_leg_id")


def _session_id(event: CallEvent) -> str:
    if isinstance(event, Commanded):
        return event.leg.call_session_id
    return event.webhook.call_session_id


def _connection_id(event: CallEvent) -> str:
    if isinstance(event, Commanded):
        return event.leg.connection_id
    return _payload(event, "connection_id")


def _from(event: CallEvent) -> str:
    return event.leg.from_ if isinstance(event, Commanded) else _payload(event, "from")


def _to(event: CallEvent) -> str:
    return event.leg.to if isinstance(event, Commanded) else _payload(event, "to")


def _failed(event: CallEvent) -> str:
    return str(isinstance(event, Record) and event.delivered is False).lower()


def _payload(record: Record, name: str) -> str:
    return str(record.webhook.payload.get(name, ""))


_FACTS: dict[str, Callable[[CallEvent], str]] = {
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
"""What a filter is compared with, by the filter's name."""

_COMPARISONS: dict[str, Callable[[datetime, datetime], bool]] = {
    "eq": lambda one, other: one == other,
    "gt": lambda one, other: one > other,
    "gte": lambda one, other: one >= other,
    "lt": lambda one, other: one < other,
    "lte": lambda one, other: one <= other,
}


def _moment_filter(
    query: Mapping[str, str], parameter: str, comparisons: Iterable[str]
) -> Callable[[datetime], bool]:
    """Whether a moment is one that the query asks for."""
    asked = []
    for name in comparisons:
        if (text := query.get(f"{parameter}[{name}]")) is not None:
            try:
                moment = datetime.fromisoformat(text)
                asked.append((_COMPARISONS[name], moment.astimezone()))
            except (ValueError, OverflowError):  # the latter for a time that UTC does not have
                raise request_errors.filter_invalid(
                    f"{parameter}[{name}]", text, "an ISO 8601 time"
                ) from None
    return lambda moment: all(holds(moment, limit) for holds, limit in asked)


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
