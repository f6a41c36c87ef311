"""What the carrier tells afterwards: GET /call_events and GET /webhook_deliveries.

Both read the books that the simulator keeps anyway, so they reach back as far as those do: the
newest 200,000 webhooks and effects. Shapes and filters: team-telnyx/openapi `spec3.yml` 12de4dd0;
the `metadata` of a webhook is as in team-telnyx/knowledge-base `webhook-fundamentals`. What stands
in that of a command is not documented: it is the command_id here.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from simulator import refusals
from simulator.answers import milliseconds
from simulator.delivery import Attempt, Record
from simulator.envelopes import data_of
from simulator.ledger import Effect
from simulator.legs import Leg, stamp

WITHOUT_FILTER = timedelta(hours=24)


def call_events(
    records: Iterable[Record],
    effects: Iterable[Effect],
    legs: Mapping[str, Leg],
    query: Mapping[str, str],
    now: datetime,
) -> list[dict[str, Any]]:
    """Webhooks and commands that the query asks for, oldest first. Raises Refused.

    Without a leg or a session in the query, those of the last 24 hours.
    """
    asked = [name for name in _COMPARISONS if f"filter[occurred_at][{name}]" in query]
    if len(asked) > 1:
        raise refusals.filter_invalid("filter[occurred_at]", ", ".join(asked), "only one of them")
    at = _moment_filter(query, "filter[occurred_at]", asked)
    one_call = "filter[leg_id]" in query or "filter[application_session_id]" in query
    since = None if one_call else now - WITHOUT_FILTER
    wanted = {
        name: query[f"filter[{name}]"] for name in _EVENT_FILTERS if f"filter[{name}]" in query
    }
    found = [
        (moment, shown)
        for moment, facts, shown in (*_webhooks(records), *_commands(effects, legs))
        if at(moment)
        and (since is None or moment >= since)
        and all(facts.get(name) == value for name, value in wanted.items())
    ]
    return [shown for _, shown in sorted(found, key=lambda one: one[0])]


def webhook_deliveries(records: Sequence[Record], query: Mapping[str, str]) -> list[dict[str, Any]]:
    """Deliveries that are over and that the query asks for, newest first. Raises Refused."""
    status = query.get("filter[status][eq]")
    if status not in (None, "delivered", "failed"):
        raise refusals.filter_invalid("filter[status][eq]", str(status), "delivered or failed")
    started = _moment_filter(query, "filter[started_at]", ("gte", "lte"))
    finished = _moment_filter(query, "filter[finished_at]", ("gte", "lte"))
    types = query.get("filter[event_type]")
    in_webhook = query.get("filter[webhook][contains]", "")
    in_attempts = query.get("filter[attempts][contains]", "")
    return [
        shown
        for record in reversed(records)
        if record.delivered is not None and record.attempts
        if types is None or record.webhook.event_type in types.split(",")
        if started(record.attempts[0].started_at) and finished(record.attempts[-1].finished_at)
        if status in (None, (shown := delivery_shown(record))["status"])
        if in_webhook in _text(shown["webhook"]) and in_attempts in _text(shown["attempts"])
    ]


def delivery_shown(record: Record) -> dict[str, Any]:
    """A delivery that is over."""
    return {
        "id": record.id,
        "record_type": "webhook_delivery",
        "status": "delivered" if record.delivered else "failed",
        "started_at": milliseconds(record.attempts[0].started_at),
        "finished_at": milliseconds(record.attempts[-1].finished_at),
        "attempts": [_attempt_shown(attempt) for attempt in reversed(record.attempts)],
        "webhook": data_of(record.webhook),
    }


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


_Found = tuple[datetime, Mapping[str, str], dict[str, Any]]
_EVENT_FILTERS = (
    "leg_id",
    "application_session_id",
    "connection_id",
    "failed",
    "from",
    "to",
    "name",
    "type",
    "product",
)


def _webhooks(records: Iterable[Record]) -> Iterator[_Found]:
    for record in records:
        webhook, payload = record.webhook, record.webhook.payload
        failed = record.delivered is False
        last = record.attempts[-1] if record.attempts else None
        facts = {
            "connection_id": str(payload.get("connection_id")),
            "failed": str(failed).lower(),
            "from": str(payload.get("from")),
            "to": str(payload.get("to")),
        }
        metadata = {
            "attempt": last.number if last else 0,
            "delivered_to": last.url if last else record.url,
            "status": "failed" if failed else "delivered",
            "event": data_of(webhook),
        }
        leg_id = str(payload.get("call_leg_id", ""))
        yield _found(
            webhook.occurred_at,
            "webhook",
            webhook.event_type,
            leg_id,
            webhook.call_session_id,
            facts,
            metadata,
        )


def _commands(effects: Iterable[Effect], legs: Mapping[str, Leg]) -> Iterator[_Found]:
    for effect in effects:
        leg = legs.get(effect.call_control_id)
        if leg is None:  # forgotten
            continue
        facts = {
            "connection_id": leg.connection_id,
            "failed": "false",
            "from": leg.from_,
            "to": leg.to,
        }
        metadata = {"command_id": effect.command_id}
        yield _found(
            effect.at,
            "command",
            effect.operation,
            leg.call_leg_id,
            leg.call_session_id,
            facts,
            metadata,
        )


def _found(
    at: datetime,
    kind: str,
    name: str,
    leg_id: str,
    session_id: str,
    facts: Mapping[str, str],
    metadata: dict[str, Any],
) -> _Found:
    everything = {
        **facts,
        "leg_id": leg_id,
        "application_session_id": session_id,
        "name": name,
        "type": kind,
        "product": "call_control",
    }
    shown = {
        "record_type": "call_event",
        "call_leg_id": leg_id,
        "call_session_id": session_id,
        "event_timestamp": stamp(at),
        "name": name,
        "type": kind,
        "metadata": metadata,
    }
    return at, everything, shown


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
            except ValueError:
                raise refusals.filter_invalid(
                    f"{parameter}[{name}]", text, "an ISO 8601 time"
                ) from None
    return lambda moment: all(holds(moment, limit) for holds, limit in asked)


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
