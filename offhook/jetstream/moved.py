"""A delivery that one client has passed on to another, which answers it from then on.

A consumer's delivery is answered on its reply subject, by whoever publishes there.
"""

import json
from dataclasses import dataclass

from nats.aio.client import Client

from offhook.jetstream.timetable import Alarm


@dataclass(frozen=True, kw_only=True)
class Moved:
    """What is passed on. `alarm` is that of a delivery of the timers' consumer."""

    session_id: str
    reply: str
    seq: int  # stream sequence of the record; 0 for an alarm
    count: int  # how often it was delivered
    alarm: Alarm | None = None


class MovedDelivery:
    """One that was passed on to this client."""

    def __init__(self, client: Client, moved: Moved) -> None:
        self._client = client
        self.session_id = moved.session_id
        self.reply = moved.reply
        self.seq = moved.seq
        self.count = moved.count
        self.alarm = moved.alarm

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
