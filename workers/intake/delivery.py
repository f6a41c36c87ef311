"""A delivery: what wakes a worker for a session, and has to be acknowledged."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Protocol

from nats.aio.msg import Msg

from offhook.errors import RecordUnreadable
from offhook.events import Record
from offhook.jetstream.consuming.delivery import place_of, record_delivered
from offhook.jetstream.stream import partition_in
from offhook.jetstream.timetable import Alarm
from offhook.position import position_of
from offhook.process.slices import Slices


class Delivery(Protocol):
    """From one of the workers' consumers: a record arrived, or an alarm rang."""

    session_id: str
    reply: str  # the subject that it is acknowledged on
    seq: int  # position of the record that arrived; 0 for an alarm
    alarm: Alarm | None
    at: datetime | None  # when it was stored, or rang, by the log's clock; None if not known
    count: int  # how often it was delivered, from 1
    may_begin: bool  # its record looks like the first one of a session; only a hint

    def record(self) -> Record | None:
        """The record that arrived, if this worker has it and can read it."""
        ...

    async def ack(self) -> None:
        """It is done with, and is not delivered again."""
        ...

    async def nak(self, delay_s: float) -> None:
        """It is to be redelivered, to any worker, after `delay_s`."""
        ...

    async def in_progress(self) -> None:
        """It is worked on: it is not redelivered before another ACK_WAIT_S."""
        ...


class ConsumerDelivery:
    """A delivery that this worker pulled itself."""

    def __init__(self, message: Msg, session_id: str, alarm: Alarm | None = None) -> None:
        place = place_of(message)
        self._message = message
        self.session_id = session_id
        self.reply = message.reply
        self.seq = 0 if alarm is not None else position_of(partition_in(place.stream), place.seq)
        self.alarm = alarm
        self.at: datetime | None = place.stored_at if alarm is None else alarm.rang_at
        self.count = place.delivered
        self.may_begin = alarm is None and any(each in message.data for each in _BEGINNINGS)

    def record(self) -> Record | None:
        """See `Delivery.record`."""
        if self.alarm is not None:
            return None
        with suppress(RecordUnreadable):
            return record_delivered(self._message)
        return None

    async def ack(self) -> None:
        """Acknowledge it."""
        if not self._message.is_acked:
            await self._message.ack()

    async def nak(self, delay_s: float) -> None:
        """Have it redelivered after `delay_s`."""
        if not self._message.is_acked:
            await self._message.nak(delay=delay_s)

    async def in_progress(self) -> None:
        """Report that it is being worked on, so that it is not redelivered."""
        if not self._message.is_acked:
            await self._message.in_progress()


_BEGINNINGS = (b'"call.initiated"', b'"dial"')
"""In a webhook, and in a request of an application, that a session may begin with."""


async def acknowledge(deliveries: Sequence[Delivery], nak_s: float | None = None) -> None:
    """Acknowledge deliveries; with `nak_s`, have them redelivered after so many seconds.

    One that cannot be acknowledged is redelivered in any case. A session that catches up has
    thousands.
    """
    slices = Slices()
    for delivery in deliveries:
        with suppress(Exception):
            if nak_s is None:
                await delivery.ack()
            else:
                await delivery.nak(nak_s)
        await slices.yield_if_due()
