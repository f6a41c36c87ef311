"""Sessions that real workers decided, on the stand-in log, in whatever order chance has it.

Two workers settle the session side by side; webhooks come late, twice and out of order; commands
fail; timers fire; an application commands; the flow raises now and then, and is resumed.
"""

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from offhook.cli.whatif.replay import Row
from offhook.codec.facts import Encoded, encode, encoded_webhook
from offhook.codec.webhooks import wire_body
from offhook.events import (
    CallAnswered,
    CallBridged,
    CallDtmfReceived,
    CallEvent,
    CallHangup,
    CallInitiated,
    CallSpeakEnded,
    CommandRequested,
    IssuedCommand,
    LegPlaced,
    PlacedLeg,
    Record,
    SessionResumed,
    UnknownEvent,
)
from offhook.flow import Flow
from offhook.jetstream.log import Appended
from offhook.jetstream.subjects import Side
from offhook.telnyx.outcomes import Accepted, NoAnswer, Outcome, outcome_of
from offhook.workers.sessions.flows import FlowRaised
from offhook.workers.sessions.parked_policy import policy_from
from offhook.workers.sessions.settle import Settler
from tests.memory_log import MemoryLog
from tests.memory_timetable import MemoryTimetable
from tests.workers.sessions.stand import ScriptedCarrier, settler_on

SESSION = "session-1"
LEGS = ("v3:leg-a", "v3:leg-b", "v3:leg-c")
STEPS = 25


class RecordingLog(MemoryLog):
    """Keeps the stored bytes as well. Its two sides are read one after the other, as a real log's.

    `dice` decides whether others get to append in between.
    """

    def __init__(self, dice: random.Random) -> None:
        super().__init__()
        self.rows: list[Row] = []
        self._dice = dice

    async def append(
        self,
        session_id: str,
        side: Side,
        encoded: Encoded,
        *,
        expected_seq: int | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 8.0,
    ) -> Appended:
        await self._others()
        at = self.now
        appended = await super().append(
            session_id, side, encoded, expected_seq=expected_seq, headers=headers
        )
        if not appended.duplicate:
            row = (appended.seq, encoded.type, encoded.version, at, encoded.body)
            self.rows.append(row)
        return appended

    async def read(
        self, session_id: str, *, in_after: int = 0, out_after: int = 0, limit: int | None = None
    ) -> Sequence[Record]:
        first = [
            each
            for each in await super().read(session_id, in_after=in_after, out_after=out_after)
            if each.side == "in"
        ]
        await self._others()
        second = [
            each
            for each in await super().read(session_id, in_after=in_after, out_after=out_after)
            if each.side == "out"
        ]
        return sorted([*first, *second], key=lambda each: each.seq)

    async def _others(self) -> None:
        for _ in range(self._dice.randrange(4)):
            await asyncio.sleep(0)


class FickleCarrier(ScriptedCarrier):
    """Refuses some commands, and does not answer others at first."""

    def __init__(self, log: MemoryLog, dice: random.Random) -> None:
        super().__init__(log)
        self._dice = dice

    async def send(self, command: IssuedCommand, *, repeated: bool = False) -> Outcome:
        match self._dice.randrange(8):
            case 0:
                return outcome_of(command.operation, 422, {}, b"{}")
            case 1:
                return NoAnswer(detail="ReadTimeout")
        if command.operation == "dial":
            leg = {"call_control_id": self._dice.choice(LEGS), "call_session_id": SESSION}
            return Accepted(status=200, answer={"data": leg})
        return await super().send(command, repeated=repeated)


async def recorded(flows: Sequence[Flow], seed: int, policy: str = "none") -> list[Row]:
    """The records of a session that these flows decided."""
    dice = random.Random(seed)
    log = RecordingLog(dice)
    timetable = MemoryTimetable(log)
    carrier = FickleCarrier(log, dice)
    workers = [
        settler_on(
            log,
            carrier,
            flows,
            worker=name,
            timetable=timetable,
            policy=policy_from(policy),
        )
        for name in ("w1", "w2")
    ]
    for number in range(STEPS):
        match dice.randrange(10):
            case 0 | 1 | 2:
                await asyncio.gather(*(_settle(each, log, timetable) for each in workers))
            case 3:
                log.now += timedelta(seconds=dice.choice([0.1, 3, 8]))
                await _settle(dice.choice(workers), log, timetable)
            case 4:
                await _arrive(log, _webhook_of(number, dice))
                await asyncio.gather(
                    _settle(workers[0], log, timetable),
                    _arrive(log, _webhook_of(number + 1000, dice)),
                    _settle(workers[1], log, timetable),
                    _arrive(log, _webhook_of(number + 2000, dice)),
                )
            case 5 if dice.random() < 0.6:
                await log.append(SESSION, "in", _odd_fact(number, dice))
            case _:
                await _arrive(log, _webhook_of(number, dice))
    log.now += timedelta(seconds=10)
    for worker in workers:
        await _settle(worker, log, timetable)
    return log.rows


async def _settle(worker: Settler, log: RecordingLog, timetable: MemoryTimetable) -> None:
    try:
        await worker.settle(SESSION, 0, timetable.rings())
    except FlowRaised as raised:
        await worker.park(raised, 5)


async def _arrive(log: RecordingLog, encoded: Encoded) -> None:
    await log.append(SESSION, "in", encoded)


def _webhook_of(number: int, dice: random.Random) -> Encoded:
    """One of the first events again, now and then; a repetition is stored, as after the window."""
    if dice.random() < 0.2:
        number = dice.randrange(10)
    chosen = random.Random(number)
    kind = chosen.choice(
        [
            CallInitiated,
            CallAnswered,
            CallBridged,
            CallSpeakEnded,
            CallDtmfReceived,
            CallHangup,
            UnknownEvent,
        ]
    )
    values: dict[str, Any] = {
        "event_id": f"event-{number}",
        "occurred_at": datetime.fromisoformat("2026-11-22T00:00:00+00:00")
        + timedelta(seconds=chosen.randrange(60)),
        "call_control_id": chosen.choice(LEGS),
        "call_session_id": SESSION,
        "connection_id": "1",
        "client_state": chosen.choice([None, "YQ==", "Yg=="]),
    }
    if kind is CallInitiated:
        values |= {"direction": chosen.choice(["incoming", "outgoing"]), "to": "+12025550101"}
    if kind is CallDtmfReceived:
        values["digit"] = "1"
    if kind is UnknownEvent:
        values["event_type"] = "call.something.new"
    event: CallEvent = kind(**values)
    return replace(encoded_webhook(wire_body(event), event.event_id), fact_id="")


def _odd_fact(number: int, dice: random.Random) -> Encoded:
    match dice.randrange(3):
        case 0:
            command = IssuedCommand(
                command_id=f"c-{number}",
                operation=dice.choice(["hangup", "speak"]),
                call_control_id=dice.choice(LEGS),
                parameters={},
            )
            return encode(CommandRequested(command=command), SESSION)
        case 1:
            leg = PlacedLeg(call_control_id=dice.choice(LEGS), session_id=SESSION)
            return encode(
                LegPlaced(leg=leg, command_id=f"d-{number}", command_session_id="other"), SESSION
            )
        case _:
            return encode(SessionResumed(resumed_by="operator"), SESSION)
