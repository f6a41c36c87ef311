"""The log in a storm: one for all workers, which each of them sees slow, away or lagging."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

from offhook.codec.facts import Encoded
from offhook.errors import LogUnavailable, PositionTaken
from offhook.events import Record
from offhook.jetstream.log import APPEND_TIMEOUT_S, Appended
from offhook.jetstream.reads import Counted
from offhook.jetstream.subjects import Side
from tests.memory_log import MemoryLog
from tests.workers.storm.gate import Gate
from tests.workers.storm.weather import Weather

BASE = datetime(2026, 11, 22, tzinfo=UTC)
"""When the loop's time is 0."""

AWAY_S, ACK_LOST_S = 1.0, 2.0


def now() -> datetime:
    return BASE + timedelta(seconds=asyncio.get_running_loop().time())


class StormLog(MemoryLog):
    """`on_arrival` is called with each new record on `.in`."""

    def __init__(
        self, on_arrival: Callable[[Record], None], *, position_first: bool = False
    ) -> None:
        super().__init__()
        self._on_arrival = on_arrival
        self._position_first = position_first

    def records(self) -> dict[str, list[Record]]:
        """All records, by session."""
        by_session: dict[str, list[Record]] = {}
        for _, record in self._stored:
            by_session.setdefault(record.session_id, []).append(record)
        return by_session

    async def append(
        self,
        session_id: str,
        side: Side,
        encoded: Encoded,
        *,
        expected_seq: int | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = APPEND_TIMEOUT_S,
    ) -> Appended:
        self.now = max(self.now, now())
        if self._position_first and expected_seq is not None:
            here = [
                record
                for stored_side, record in self._stored
                if stored_side == side and record.session_id == session_id
            ]
            newer = [record for record in here if record.seq > expected_seq]
            for record in newer:
                if encoded.fact_id and record.fact_id == encoded.fact_id:
                    return Appended(seq=record.seq, duplicate=True)
            if newer:
                raise PositionTaken(f"{session_id}.{side} has moved on from {expected_seq}")
        appended = await super().append(
            session_id, side, encoded, expected_seq=expected_seq, headers=headers
        )
        if side == "in" and not appended.duplicate:
            self._on_arrival(self._stored[-1][1])
        return appended


class WorkerLog:
    """The log as one worker sees it."""

    def __init__(self, log: StormLog, gate: Gate, weather: Weather, dice: Random) -> None:
        self._log = log
        self._gate = gate
        self._weather = weather
        self._dice = dice

    async def append(
        self,
        session_id: str,
        side: Side,
        encoded: Encoded,
        *,
        expected_seq: int | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = APPEND_TIMEOUT_S,
    ) -> Appended:
        await self._go()
        appended = await self._log.append(
            session_id, side, encoded, expected_seq=expected_seq, headers=headers
        )
        if self._dice.random() < self._weather.ack_lost:
            await self._lose("the acknowledgement is lost", ACK_LOST_S)
        await self._come_back()
        return appended

    async def read(
        self, session_id: str, *, in_after: int = 0, out_after: int = 0, limit: int | None = None
    ) -> Sequence[Record]:
        await self._go()
        found = await self._log.read(
            session_id, in_after=in_after, out_after=out_after, limit=limit
        )
        if self._dice.random() < self._weather.lagging:
            found = self._lagging(found)
        await self._come_back()
        return found

    async def read_few(
        self, session_id: str, *, in_after: int, out_after: int, in_count: int, out_count: int
    ) -> Sequence[Record]:
        await self._go()
        found = await self._log.read_few(
            session_id,
            in_after=in_after,
            out_after=out_after,
            in_count=in_count,
            out_count=out_count,
        )
        if self._dice.random() < self._weather.lagging:
            found = self._lagging(found)
        await self._come_back()
        return found

    async def record_at(self, session_id: str, position: int) -> Record | None:
        await self._go()
        found = await self._log.record_at(session_id, position)
        if self._dice.random() < self._weather.lagging:
            found = None
        await self._come_back()
        return found

    async def began_at(self, session_id: str) -> datetime | None:
        await self._go()
        began_at = await self._log.began_at(session_id)
        await self._come_back()
        return began_at

    async def counted(self, session_id: str) -> Counted | None:
        await self._go()
        until = self._log.last_seq
        if self._dice.random() < self._weather.lagging:
            until = self._dice.randint(0, until)
        await asyncio.sleep(self._way_s())  # it says how far it is, and counts later
        counted = self._log.counted_until(session_id, self._dice.randint(until, self._log.last_seq))
        await self._come_back()
        return replace(counted, until=until)

    async def _go(self) -> None:
        await self._gate.passed()
        await asyncio.sleep(self._way_s())
        self._gate.check()
        if self._dice.random() < self._weather.log_away:
            await self._lose("the log is away", AWAY_S)

    async def _come_back(self) -> None:
        await asyncio.sleep(self._way_s())
        await self._gate.passed()

    async def _lose(self, why: str, after_s: float) -> None:
        await asyncio.sleep(after_s)
        await self._gate.passed()
        raise LogUnavailable(why)

    def _way_s(self) -> float:
        return self._dice.expovariate(1 / self._weather.log_s)

    def _lagging(self, records: Sequence[Record]) -> Sequence[Record]:
        """Without the newest records of each side, or all of them."""
        ends = [float("inf"), *(record.seq for record in records)]
        until = {side: self._dice.choice(ends) for side in ("in", "out")}
        return [record for record in records if record.seq < until[record.side]]
