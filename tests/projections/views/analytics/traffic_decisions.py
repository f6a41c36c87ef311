"""Decisions and outcomes for made-up calls, and when the log stored each webhook."""

import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.projections.views.analytics.traffic import CONNECTIONS, Event

Fact = dict[str, Any]

REASONS = ("refused", "refused", "deadline", "call_ended", "invalid", "unauthorized")
OPERATIONS = ("answer", "speak", "transfer", "transfer", "transfer", "hangup", "hangup", "dial")


def stored_at(chance: random.Random, event: Event) -> int:
    """When the log stored it: soon after, much later, or before by the carrier's clock."""
    delay_s = chance.choice((0.0, -0.2, 0.1, 100.0, *[chance.expovariate(1 / 0.4)] * 20))
    return _us(event["data"]["occurred_at"]) + int(delay_s * 1_000_000)


def decisions_of(
    seed: int, events: Sequence[Event], flows: Mapping[str, tuple[str, str]]
) -> list[Fact]:
    """Decisions with commands, and their outcomes, in no order; some are there twice."""
    chance = random.Random(seed + 1)
    by_session: dict[str, list[Event]] = {}
    for event in events:
        session_id = event["data"]["payload"].get("call_session_id")
        if session_id in flows:
            by_session.setdefault(session_id, []).append(event["data"])
    facts: list[Fact] = []
    for session_id in sorted(by_session):
        for _ in range(chance.randrange(4)):
            facts += _decision(chance, session_id, by_session[session_id], flows[session_id])
    facts += [fact for fact in facts if chance.random() < 0.05]
    chance.shuffle(facts)
    return facts


def _decision(
    chance: random.Random, session_id: str, told: Sequence[Event], flow: tuple[str, str]
) -> list[Fact]:
    leg = chance.choice(told)["payload"]["call_control_id"]
    of_leg = {
        str(data["event_type"]): _us(data["occurred_at"])
        for data in told
        if data["payload"]["call_control_id"] == leg
    }
    operation = chance.choice(OPERATIONS)
    near = {"transfer": "call.bridged", "hangup": "call.hangup"}.get(operation, "call.initiated")
    at = of_leg.get(near, chance.choice([*of_leg.values()]))
    if operation == "transfer":
        at -= chance.randrange(3_000_000)
    elif operation == "hangup":
        at -= chance.choice((0, 1, chance.randrange(3_000_000), -chance.randrange(3_000_000)))
    reaction_us = int(chance.expovariate(1 / 50_000))
    name, version = chance.choice((flow, flow, flow, ("api", "1")))
    ids = [f"{chance.getrandbits(64):016x}" for _ in range(chance.choice((1, 1, 2)))]
    decided = {
        "type": "Decided",
        "session_id": session_id,
        "stored_us": at,
        "body": {
            "cause_seq": 1,
            "cause_id": "",
            "flow": name,
            "flow_version": version,
            "worker": "w",
            "lease_s": 3.0,
            "caused_us": chance.choice((None, *[at - reaction_us] * 9)),
            "commands": [
                {
                    "command_id": command_id,
                    "operation": operation,
                    "call_control_id": None if operation == "dial" else leg,
                    "parameters": {"connection_id": chance.choice(CONNECTIONS)}
                    if operation == "dial" and chance.random() < 0.9
                    else {},
                }
                for command_id in ids
            ],
        },
    }
    outcomes = (_outcome(chance, session_id, each, operation, at) for each in ids)
    return [decided, *(outcome for outcome in outcomes if outcome)]


def _outcome(
    chance: random.Random, session_id: str, command_id: str, operation: str, at: int
) -> Fact | None:
    fact: Fact = {"session_id": session_id, "stored_us": at + chance.randrange(3_000_000)}
    attempts = chance.choice((None, 1, 1, 2, 3))
    match chance.randrange(10):
        case 0:
            return None
        case 1 | 2:
            body = {
                "command_id": command_id,
                "operation": operation,
                "reason": chance.choice(REASONS),
                "http_status": chance.choice((422, 403, 429, None)),
                "maybe_performed": chance.choice((True, False, None)),
                "attempts": attempts,
            }
            return fact | {"type": "CommandFailed", "body": body}
        case _:
            body = {"command_id": command_id, "http_status": 200, "attempts": attempts}
            return fact | {"type": "CommandSucceeded", "body": body}


def at_us(microseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


def _us(text: str) -> int:
    at = datetime.fromisoformat(text)
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
