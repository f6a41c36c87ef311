"""The consumer that the workers share: a message is redelivered until it is acknowledged."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from random import Random
from typing import Protocol

from offhook.events import Record
from offhook.jetstream.timetable import Alarm
from offhook.workers.intake.delivery import Delivery
from tests.workers.storm.gate import Gate

ACK_WAIT_S = 1.0
NO_ROOM_S = 0.01


class Message:
    """A wake-up, for a record or an alarm."""

    def __init__(
        self,
        session_id: str,
        seq: int,
        alarm: Alarm | None,
        record: Record | None,
        due_at: float,
        news: asyncio.Event,
    ) -> None:
        """`news` is set when it may be due earlier than it was."""
        self.record = record
        self.session_id = session_id
        self.seq = seq
        self.alarm = alarm
        self.due_at = due_at  # in the loop's time
        self.news = news
        self.count = 0
        self.is_acknowledged = False


class StormDelivery:
    """A message at one worker."""

    reply = "reply"
    may_begin = False

    def __init__(self, message: Message, gate: Gate, record: Record | None = None) -> None:
        """`record` is what arrived, at the worker that it was delivered to."""
        self._record = record
        self.message = message
        self.session_id = message.session_id
        self.seq = message.seq
        self.alarm = message.alarm
        woken_by = record.stored_at if record is not None else None
        self.at = message.alarm.rang_at if message.alarm is not None else woken_by
        self.count = message.count
        self._gate = gate

    def record(self) -> Record | None:
        return self._record

    async def ack(self) -> None:
        await self._gate.passed()
        self.message.is_acknowledged = True

    async def nak(self, delay_s: float) -> None:
        await self._gate.passed()
        self.message.due_at = asyncio.get_running_loop().time() + delay_s
        self.message.news.set()

    async def in_progress(self) -> None:
        await self._gate.passed()
        self.message.due_at = asyncio.get_running_loop().time() + ACK_WAIT_S


class Taker(Protocol):
    """A worker, as far as deliveries are concerned."""

    gate: Gate

    def has_room(self) -> bool: ...

    async def take(self, delivery: Delivery) -> None: ...


class Wakeups:
    """`workers()` are those that may be asked."""

    def __init__(self, workers: Callable[[], Sequence[Taker]], dice: Random) -> None:
        self._workers = workers
        self._dice = dice
        self._messages: list[Message] = []
        self._news = asyncio.Event()

    def add(
        self,
        session_id: str,
        seq: int,
        alarm: Alarm | None = None,
        record: Record | None = None,
    ) -> None:
        due_at = asyncio.get_running_loop().time()
        self._messages.append(Message(session_id, seq, alarm, record, due_at, self._news))
        self._news.set()

    def open(self) -> list[tuple[str, int, int]]:
        """Session, position and number of deliveries of what is not acknowledged."""
        return [
            (message.session_id, message.seq, message.count)
            for message in self._messages
            if not message.is_acknowledged
        ]

    async def deliver(self) -> None:
        """Until cancelled, give each message that is due to any worker that has room."""
        loop = asyncio.get_running_loop()
        while True:
            self._news.clear()
            self._messages = [one for one in self._messages if not one.is_acknowledged]
            for message in tuple(self._messages):
                ready = [worker for worker in self._workers() if worker.has_room()]
                if message.due_at <= loop.time() and ready:
                    worker = self._dice.choice(ready)
                    message.count += 1
                    message.due_at = loop.time() + ACK_WAIT_S
                    await worker.take(StormDelivery(message, worker.gate, message.record))
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._next_at(loop.time() + NO_ROOM_S)):
                    await self._news.wait()

    def _next_at(self, earliest: float) -> float | None:
        due_at = [one.due_at for one in self._messages if not one.is_acknowledged]
        return max(earliest, min(due_at)) if due_at else None
