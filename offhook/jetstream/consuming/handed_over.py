"""A delivery that one client has handed over to another, which acknowledges it from then on.

Whoever publishes on a delivery's reply subject acknowledges it.
"""

import json
from dataclasses import dataclass

from nats.aio.client import Client

from offhook.jetstream.timetable import Alarm


@dataclass(frozen=True, kw_only=True)
class Handover:
    """What is sent to the other client. `alarm` is set if the timers' consumer delivered it."""

    session_id: str
    reply: str
    seq: int  # position of the record; 0 for an alarm
    count: int  # how often it was delivered
    alarm: Alarm | None = None


class HandedOverDelivery:
    """A delivery that was handed over to this client."""

    def __init__(self, client: Client, delivery: Handover) -> None:
        self._client = client
        self.session_id = delivery.session_id
        self.reply = delivery.reply
        self.seq = delivery.seq
        self.count = delivery.count
        self.alarm = delivery.alarm
        self.at = delivery.alarm.rang_at if delivery.alarm is not None else None
        self.may_begin = False  # two workers know the session

    def record(self) -> None:
        """The record stays with the client that it was delivered to."""

    async def ack(self) -> None:
        """Acknowledge it: it is not delivered again."""
        await self._client.publish(self.reply, b"+ACK")

    async def nak(self, delay_s: float) -> None:
        """Give it back, to be delivered again after `delay_s`."""
        delay = json.dumps({"delay": int(delay_s * 1e9)}).encode()
        await self._client.publish(self.reply, b"-NAK " + delay)

    async def in_progress(self) -> None:
        """Extend its ack wait: it is not redelivered meanwhile."""
        await self._client.publish(self.reply, b"+WPI")
