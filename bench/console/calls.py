"""The load of `bench.console`: calls that are up, and what is appended to them meanwhile."""

import asyncio
import itertools
import random
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from offhook.codec.facts import encode, encoded_webhook
from offhook.codec.webhooks import wire_body
from offhook.events import (
    CallAnswered,
    CallDtmfReceived,
    CallEvent,
    CallHangup,
    CallInitiated,
    CommandSucceeded,
    Decided,
    IssuedCommand,
)
from offhook.jetstream.log import EventLog

OF_EVERY = 20
SHOWN = 30
"""The newest calls, which stay on the page for seconds, however many begin."""

APART_S = 3.0
"""Between two webhooks of one shown call, so that a change of its row has one cause."""

AT_ONCE = 64


@dataclass(kw_only=True)
class Call:
    """A call of the load."""

    number: int
    touched_at: float = 0.0

    @property
    def session_id(self) -> str:
        return f"bench-{self.number:07d}"


@dataclass(frozen=True, kw_only=True)
class Appended:
    """A change to look for on the page; `at` is in seconds of the wall clock."""

    session_id: str
    kind: str  # begins, changes, ends
    at: float


class Load:
    """Of every 20 appends one begins a call, one ends a shown call, one changes a shown call."""

    def __init__(self, log: EventLog) -> None:
        self.appended: list[Appended] = []
        self._log = log
        self._chance = random.Random(1)
        self._numbers = itertools.count()
        self._event_numbers = itertools.count()
        self._calls: deque[Call] = deque()  # oldest first

    async def place(self, count: int) -> None:
        """So many calls that are up."""
        limit = asyncio.Semaphore(AT_ONCE)

        async def placed() -> None:
            async with limit:
                await self._begin()

        await asyncio.gather(*(placed() for _ in range(count)))

    async def ended_session(self, records: int) -> str:
        """A session of so many records, a third of them keys and the rest what they led to."""
        call = await self._begin()
        self._calls.remove(call)
        for number in range((records - 5) // 3):
            await self._append(call, self._key(call))
            await self._decide(call, "speak", number)
        for _ in range((records - 5) % 3):
            await self._append(call, self._key(call))
        await self._append(call, _hangup(call))
        return call.session_id

    async def append(self, number: int) -> None:
        """The append of this number. What changes the page is in `appended`."""
        turn = number % OF_EVERY
        shown = list(itertools.islice(reversed(self._calls), SHOWN))
        now = time.time()
        if turn == 0:
            call = self._new(touched_at=now)
            self.appended.append(Appended(session_id=call.session_id, kind="begins", at=now))
            await self._begin(call)
            return
        rested = [each for each in shown if now - each.touched_at > APART_S]
        if turn in (1, 2) and rested:
            call = self._chance.choice(rested)
            call.touched_at = now
            kind = "ends" if turn == 1 else "changes"
            if turn == 1:
                self._calls.remove(call)
            self.appended.append(Appended(session_id=call.session_id, kind=kind, at=now))
            await self._append(call, _hangup(call) if turn == 1 else self._key(call))
            return
        call = self._calls[self._chance.randrange(len(self._calls) - 2 * SHOWN)]
        await self._append(call, self._key(call))

    async def _begin(self, call: Call | None = None) -> Call:
        """A call with its answer, appended in the order in which it happens."""
        call = call or self._new()
        now = datetime.now(UTC)
        leg = _leg(call)
        initiated = CallInitiated(
            event_id=f"{call.session_id}-1",
            occurred_at=now,
            start_time=now,
            direction="incoming",
            **leg,
        )
        answered = CallAnswered(
            event_id=f"{call.session_id}-2",
            occurred_at=now + timedelta(seconds=1),
            start_time=now,
            **leg,
        )
        await self._append(call, initiated)
        self._calls.append(call)
        await self._decide(call, "answer")
        await self._append(call, answered)
        return call

    async def _decide(self, call: Call, operation: str, number: int = 0) -> None:
        for fact in _decision(call, operation, number):
            await self._log.append(call.session_id, "out", encode(fact, call.session_id))

    def _new(self, touched_at: float = 0.0) -> Call:
        return Call(number=next(self._numbers), touched_at=touched_at)

    async def _append(self, call: Call, event: CallEvent) -> None:
        encoded = encoded_webhook(wire_body(event), event.event_id)
        await self._log.append(call.session_id, "in", encoded)

    def _key(self, call: Call) -> CallEvent:
        return CallDtmfReceived(
            event_id=f"{call.session_id}-key-{next(self._event_numbers)}",
            occurred_at=datetime.now(UTC),
            digit=self._chance.choice("0123456789"),
            **_leg(call),
        )


def _leg(call: Call) -> dict[str, Any]:
    return {
        "call_control_id": f"v3:{call.session_id}-{'x' * 40}",
        "call_leg_id": f"leg-{call.session_id}",
        "call_session_id": call.session_id,
        "connection_id": "2811212257810187800",
        "from_": f"+1202555{call.number % 10_000:04d}",
        "to": "+12025550101",
    }


def _decision(call: Call, operation: str, number: int) -> Iterator[Decided | CommandSucceeded]:
    command = IssuedCommand(
        command_id=f"{call.session_id}-{operation}-{number}",
        operation=operation,
        call_control_id=_leg(call)["call_control_id"],
        parameters={"payload": f"Thank you. This was key number {number}."} if number else {},
    )
    yield Decided(
        cause_seq=1 + number,
        cause_id=f"{call.session_id}-{1 + number}",
        flow="bench",
        flow_version="1",
        worker="worker-1",
        lease_s=3.0,
        commands=(command,),
    )
    yield CommandSucceeded(
        command_id=command.command_id, http_status=200, answer={"data": {"result": "ok"}}
    )


def _hangup(call: Call) -> CallEvent:
    now = datetime.now(UTC)
    return CallHangup(
        event_id=f"{call.session_id}-3",
        occurred_at=now,
        end_time=now,
        hangup_cause="normal_clearing",
        hangup_source="caller",
        **_leg(call),
    )
