"""The calls of `bench.whatif`, as a plan, as records of the log, and the flow that decided them.

In a changed flow the last digit of the caller's number says what was planted: 1 another parameter,
2 an order more, 3 an order less.
"""

import json
import random
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

from offhook.cli.whatif.replay import Replay, Row
from offhook.cli.whatif.tally import Tally
from offhook.codec.facts import Encoded, encode, encoded_webhook
from offhook.codec.webhooks import wire_body
from offhook.commands import Answer, Command, Hangup, Speak, StopPlayback
from offhook.events import (
    CallAnswered,
    CallHangup,
    CallInitiated,
    CallSpeakEnded,
    CallSpeakStarted,
    CommandSucceeded,
    Decided,
    Event,
    IssuedCommand,
)
from offhook.flow import Flow, command_id_for
from offhook.session import Session

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
GREETING = {"payload": "Welcome to the hotline.", "voice": "female"}

STEPS: Sequence[tuple[type[Any], str | None]] = (
    (CallInitiated, "answer"),
    (CallAnswered, "speak"),
    (CallSpeakStarted, None),
    (CallSpeakEnded, "hangup"),
    (CallHangup, None),
)
"""The events of each call, and the command on each."""


def decide(event: Event, session: Session) -> Sequence[Command]:
    match event:
        case CallInitiated():
            return [Answer()]
        case CallAnswered():
            return [Speak(**GREETING)]  # type: ignore[arg-type]
        case CallSpeakEnded():
            return [Hangup()]
        case _:
            return []


def decide_otherwise(event: Event, session: Session) -> Sequence[Command]:
    caller = session.caller
    match caller.from_[-1:] if caller and caller.from_ else "", event:
        case "1", CallAnswered():
            return [Speak(payload="Good morning.", voice="female")]
        case "2", CallSpeakStarted():
            return [StopPlayback()]
        case "3", CallSpeakEnded():
            return []
    return decide(event, session)


FLOWS = {
    "same": Flow(name="hotline", version="1", decide=decide),
    "changed": Flow(name="hotline", version="2", decide=decide_otherwise),
}


def plan(calls: int, seed: int) -> list[tuple[str, str]]:
    """The session and the caller of each call."""
    dice = random.Random(seed)
    return [
        (f"{dice.getrandbits(64):016x}-{number:06}", f"+1202555{dice.randrange(10_000):04d}")
        for number in range(calls)
    ]


def planted(calls: Sequence[tuple[str, str]]) -> dict[str, int]:
    """How many calls the changed flow decides otherwise, by kind: counted on the plan alone."""
    digits = [caller[-1] for _, caller in calls]
    return {
        "parameters": digits.count("1"),
        "extra": digits.count("2"),
        "missing": digits.count("3"),
    }


def rows_of(session: str, caller: str, first_seq: int = 1) -> list[tuple[str, Row]]:
    """The call's records, each with its side."""
    rows: list[tuple[str, Row]] = []
    leg: dict[str, Any] = {
        "call_control_id": f"v3:{session}-{'x' * 40}",
        "call_leg_id": f"leg-{session}",
        "call_session_id": session,
        "connection_id": "2811212257810187800",
    }
    ends: dict[str, Any] = {"from_": caller, "to": "+12025550101", "start_time": NOON}
    last = {"hangup_cause": "normal_clearing", "hangup_source": "callee", "end_time": NOON}

    def add(side: str, encoded: Encoded) -> int:
        seq = first_seq + len(rows)
        at = NOON + timedelta(seconds=first_seq, milliseconds=len(rows))
        rows.append((side, (seq, encoded.type, encoded.version, at, encoded.body)))
        return seq

    for number, (kind, operation) in enumerate(STEPS):
        event_id = f"{session}-event-{number}"
        values = {**leg, "event_id": event_id, "occurred_at": NOON + timedelta(seconds=number)}
        if kind not in (CallSpeakStarted, CallSpeakEnded):
            values |= ends
        if kind is CallInitiated:
            values["direction"] = "incoming"
        if kind is CallHangup:
            values |= last
        seq = add("in", encoded_webhook(wire_body(kind(**values)), event_id))
        commands = []
        if operation is not None:
            command = IssuedCommand(
                command_id=command_id_for(session, seq, 0),
                operation=operation,
                call_control_id=leg["call_control_id"],
                parameters=GREETING if operation == "speak" else {},
            )
            commands.append(command)
        decided = Decided(
            cause_seq=seq, cause_id=event_id, flow="hotline", flow_version="1",
            worker="worker-1", lease_s=3.0, commands=tuple(commands),
        )  # fmt: skip
        add("out", encode(decided, session))
        for command in commands:
            outcome = CommandSucceeded(
                command_id=command.command_id,
                http_status=200,
                answer={"data": {"result": "ok"}},
                attempts=1,
            )
            add("out", encode(outcome, session))
    return rows


async def run_share() -> None:
    """A process of the contender `offhook`: its share of the calls, once a line is read."""
    import gc
    import pickle

    calls, which = json.loads(sys.argv[1]), sys.argv[2]
    parts = pickle.dumps(
        [(session, [row for _, row in rows_of(session, caller)]) for session, caller in calls]
    )
    flow = FLOWS[which]
    replay = Replay(flow, frozenset({flow.name}), nullcontext)
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)  # as in `offhook.cli.whatif.child`
    print("ready", flush=True)  # noqa: T201
    sys.stdin.readline()
    began, cpu_began = time.perf_counter(), time.process_time()
    tally = Tally()
    for session, rows in pickle.loads(parts):
        tally.count(await replay.of(session, rows))
    took_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    print(json.dumps({"took_s": took_s, "cpu_s": cpu_s, "found": dict(tally.by_kind())}))  # noqa: T201


if __name__ == "__main__":
    import asyncio

    asyncio.run(run_share())
