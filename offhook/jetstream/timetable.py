"""The timetable: alarms that wake a worker when a timer is due, as JetStream's scheduled messages.

An alarm is only a wake-up. It names the decision that set it, so that a lagging replica is noticed;
whether the timer is still set, and due, is in the log. So it may ring twice, late, or for a timer
that was cancelled long ago: that is cheaper than deleting it.

Seen on nats-server 2.15.1: it never rings early, to the microsecond, and up to half a second late,
in no order; at once if the time has passed, even after a restart of the server.
"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.errors import NoStreamResponseError, ServiceUnavailableError

from offhook.errors import LogUnavailable
from offhook.jetstream.health.appends import Appends
from offhook.jetstream.log import APPEND_TIMEOUT_S
from offhook.jetstream.subjects import fired_subject, partition_for, set_subject
from offhook.position import position_of, referred


class Timetable(Protocol):
    """What workers use of it; the stand-in of the tests implements it too."""

    async def set(
        self, session_id: str, timer_id: str, *, due_at: datetime, decided_seq: int
    ) -> None:
        """Set an alarm that rings for the session at `due_at`, durably.

        Setting the same alarm again changes nothing. `decided_seq` is the position of the
        decision that set the timer. Raises LogUnavailable.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """An alarm that rang. `rang_at` is the server's clock, which is the log's too."""

    session_id: str
    timer_id: str
    decided_seq: int
    rang_at: datetime


class JetStreamTimetable:
    """The timetable on a JetStream stream."""

    def __init__(self, client: Client, appends: Appends | None = None) -> None:
        """`appends` is updated with each outcome, for readiness."""
        self._js = client.jetstream()
        self._appends = appends or Appends()

    async def set(
        self, session_id: str, timer_id: str, *, due_at: datetime, decided_seq: int
    ) -> None:
        """See `Timetable.set`."""
        # A subject has one schedule: publishing again replaces it by the same.
        subject = set_subject(session_id, timer_id)
        body = msgspec.json.encode(_Body(timer_id=timer_id, decided_seq=decided_seq))
        at = due_at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
        headers = {
            "Nats-Schedule": f"@at {at}Z",
            "Nats-Schedule-Target": fired_subject(session_id),
        }
        said: list[str] = []
        try:
            async with asyncio.timeout(APPEND_TIMEOUT_S):
                await self._publish(subject, body, headers, said)
        except (TimeoutError, NatsError) as error:
            why = str(error) or (said or [self._appends.known])[-1] or type(error).__name__
            self._appends.refused(f"{subject}: {why}")
            raise LogUnavailable(f"{subject}: no alarm could be set: {why}") from error
        self._appends.taken()

    async def _publish(
        self, subject: str, body: bytes, headers: dict[str, str], said: list[str]
    ) -> None:
        while True:
            try:
                await self._js.publish(subject, body, timeout=_TRY_S, headers=dict(headers))
                return
            except (NoStreamResponseError, ServiceUnavailableError, TimeoutError) as error:
                if isinstance(error, ServiceUnavailableError):
                    said[:] = [f"NATS says: {error}"]
                await asyncio.sleep(_PAUSE_S)  # a server that restarts, a cluster that elects


def alarm_from(message: Msg, partitions: int) -> Alarm | None:
    """The alarm in a delivery of the timers' consumer; None if it is not one of ours.

    `partitions` is how many the log has.
    """
    session_id = message.subject.rpartition(".")[2]
    try:
        body = msgspec.json.decode(message.data, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    beginning = position_of(partition_for(session_id, partitions), 0)
    return Alarm(
        session_id=session_id,
        timer_id=body.timer_id,
        decided_seq=referred(body.decided_seq, beginning),
        rang_at=message.metadata.timestamp.astimezone(UTC),
    )


class _Body(msgspec.Struct):
    timer_id: str
    decided_seq: int


_TRY_S = 1.0
_PAUSE_S = 0.25
