"""What a session has after a long silence, without a look at all that came to others meanwhile.

A read from an old position has nats-server look through every block of records from there to the
new one, while nothing is appended (`docs/decisions/0065-…`). How many records a session has it
knows at once. So they are collected where they can be, until there are as many:

    what has arrived ──▶ those among recent records ──▶ a few after the last known one, one by one

If there are not, the session is read as any other. The number is asked for after the records were
read: what it has beyond them is older, or was appended meanwhile.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Literal

from offhook.events import CallEvent, Record, WebhookReceived
from offhook.jetstream.log import EventLog, is_last
from offhook.jetstream.reads import Counted
from offhook.position import partition_of, position_of, seq_of
from offhook.workers.metrics import WorkerMetrics
from offhook.workers.reading.state import Known

SILENT = timedelta(seconds=100)
"""nats-server keeps the index of a block for 2 min after its last use. Until then it looks through
the block in microseconds, after that in milliseconds."""

NEAR = 2_000
"""Records of a partition that are recent: they are in one block or two, whenever they came."""

RECENT_MAX = 25
"""Records of a side that are read among these."""

FEW_MAX = 64
"""Records of a side that are read one by one."""

ARRIVED_MAX = 64
"""Deliveries whose records are taken from them: 0.04 ms each."""

TRIES = 2
"""One may come between a read and the count."""

Outcome = Literal["counted", "recent", "few", "searched"]


@dataclass(frozen=True, kw_only=True)
class Tail:
    """All that was not known of a session, in order."""

    records: Sequence[Record]
    until: int  # up to this position the log has no other record of it


Arrived = Callable[[], Sequence[Record]]
"""The records that have woken a worker for a session, as far as they came with the deliveries."""


def nothing_arrived() -> Sequence[Record]:
    """No record has come with what woke the worker."""
    return ()


@dataclass(frozen=True, kw_only=True)
class Woken:
    """What woke a worker for a session."""

    seq: int = 0  # position of the last record; 0 if there was none
    at: datetime | None = None  # when it was stored, or an alarm rang; None if that is not known
    arrived: Arrived = nothing_arrived

    @cached_property
    def records(self) -> Sequence[Record]:
        """Those that have arrived; to decode them takes time."""
        return self.arrived()

    @property
    def leg_began_at(self) -> datetime | None:
        """When the leg began, if that is said: the end of a call says it, and most of its steps."""
        times = [getattr(each, "start_time", None) for each in _webhooks(self.records)]
        return min((each for each in times if each is not None), default=None)

    @property
    def is_talk(self) -> bool:
        """Whether it is only what is said, heard or keyed in while an application has the call."""
        webhooks = _webhooks(self.records)
        return len(webhooks) == len(self.records) > 0 and all(
            each.event_type.startswith(_TALK) for each in webhooks
        )


class Silences:
    """Reads of sessions that were silent. `silent` and `near` are as above."""

    def __init__(
        self,
        log: EventLog,
        metrics: WorkerMetrics | None = None,
        *,
        silent: timedelta = SILENT,
        near: int = NEAR,
    ) -> None:
        self._log = log
        self._metrics = metrics or WorkerMetrics()
        self._silent = silent
        self._near = near

    def is_over(self, known: Known, woken: Woken) -> bool:
        """Whether what woke the worker ends a silence: late after what is known, and far from it.

        Nothing is said against it by what is not known.
        """
        if woken.at is None:
            return False
        last = max(known.in_seq, known.out_seq)
        if woken.seq and seq_of(woken.seq) - seq_of(last) <= self._near:
            return False
        return known.at is None or woken.at - known.at > self._silent

    async def began_at(self, session_id: str, woken: Woken) -> datetime | None:
        """When a session began that is not known, at the latest; None if that does not matter.

        The log is asked only if what has arrived does not say it, and is not of a common kind that
        seldom ends a silence: the more workers, the more of the records are of such sessions.
        """
        if (at := woken.leg_began_at) is not None:
            return at
        return None if woken.is_talk else await self._log.began_at(session_id)

    async def arrived(self, session_id: str, known: Known, woken: Woken) -> Tail | None:
        """What has arrived, if that is all that is not known; else None."""
        found = _news(known, woken)
        counted = await self._log.counted(session_id)
        if counted is None or _missing(counted, known, found) != (0, 0):
            return None
        self._count("counted")
        return Tail(records=_in_order(found), until=counted.until)

    async def recent(
        self, session_id: str, known: Known, woken: Woken, *, few: bool
    ) -> Tail | None:
        """All that is not known, if it is recent; with `few`, and a few records more. Else None."""
        until = woken.seq
        if not until and (counted := await self._log.counted(session_id)) is not None:
            until = counted.until
        since = position_of(partition_of(until), max(0, seq_of(until) - self._near))
        if since <= max(known.in_seq, known.out_seq):
            return None
        found = _news(known, woken)
        for _ in range(TRIES):
            page = await self._log.read(
                session_id, in_after=since, out_after=since, limit=RECENT_MAX
            )
            found |= {each.seq: each for each in page}
            if not is_last(page, RECENT_MAX):
                break
            counted = await self._log.counted(session_id)
            missing = _missing(counted, known, found)
            if counted is None or missing is None:
                break
            if missing == (0, 0):
                self._count("recent")
                return Tail(records=_in_order(found), until=counted.until)
            if not few or not all(0 <= each <= FEW_MAX for each in missing):
                break
            in_count, out_count = missing
            between = await self._log.read_few(
                session_id,
                in_after=known.in_seq,
                out_after=known.out_seq,
                in_count=in_count,
                out_count=out_count,
            )
            found |= {each.seq: each for each in between}
            if _missing(counted, known, found) == (0, 0):
                self._count("few")
                return Tail(records=_in_order(found), until=counted.until)
        if few:
            self._count("searched")
        return None

    def _count(self, outcome: Outcome) -> None:
        self._metrics.silences.labels(outcome).inc()


def _webhooks(records: Sequence[Record]) -> Sequence[CallEvent]:
    return [each.fact.event for each in records if isinstance(each.fact, WebhookReceived)]


def _news(known: Known, woken: Woken) -> dict[int, Record]:
    """What has arrived, by position, without what is known."""
    return {each.seq: each for each in woken.records if each.seq > known.in_seq}


def _missing(
    counted: Counted | None, known: Known, found: dict[int, Record]
) -> tuple[int, int] | None:
    """How many records the log has of each side that are neither known nor found.

    None if it does not say, or was counted by a server that lags: another one may be counted in
    place of one of them. Or the log was moved to more partitions, and has them at other positions.
    """
    newest = max(known.in_seq, known.out_seq, *found)
    if counted is None or counted.until < newest:
        return None
    if newest and partition_of(counted.until) != partition_of(newest):
        return None
    of_in = sum(each.side == "in" for each in found.values())
    in_count = counted.in_count - known.in_count - of_in
    return in_count, counted.out_count - known.out_count - (len(found) - of_in)


def _in_order(found: dict[int, Record]) -> Sequence[Record]:
    return [found[seq] for seq in sorted(found)]


_TALK = (
    "call.ai_gather",
    "call.dtmf",
    "call.gather",
    "call.playback",
    "call.speak",
    "call.transcription",
)
