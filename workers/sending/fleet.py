"""One budget for all workers: each decides by itself, and tells the others every second.

Core NATS, nothing stored: a report that gets lost is followed by the next one. A worker that hears
of one it did not know answers at once, so a newcomer knows the fleet before it takes any work.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from offhook.jetstream.subjects import LIMITS
from offhook.workers.metrics import Metrics
from offhook.workers.sending.queue import CommandQueue
from offhook.workers.sending.rate_limits import REPORT_S, RateLimits, Report

_log = logging.getLogger(__name__)


class Fleet:
    """This worker among the others."""

    def __init__(
        self,
        client: Client,
        budget: RateLimits,
        turns: CommandQueue,
        metrics: Metrics,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._budget = budget
        self._turns = turns
        self._metrics = metrics
        self._clock = clock
        self._has_left = False

    async def join(self) -> None:
        """Listen to the others, and make them tell of themselves."""
        await self._client.subscribe(LIMITS, cb=self._heard)
        await self._tell()
        await self._client.flush()

    async def keep_telling(self) -> None:
        """Until cancelled: each second, and at once when the carrier says 429."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REPORT_S):
                    await self._turns.told_busy.wait()
            self._turns.told_busy.clear()
            if self._client.is_connected:
                await self._tell()
            else:
                self._budget.hear_nobody(self._clock())
            for limit, left in self._budget.left(self._clock()).items():
                self._metrics.budget_left.labels(limit=limit).set(left)
            self._turns.look()

    async def leave(self) -> None:
        """Our part is the others' from now on. The last that is told: else they took us back."""
        await self._tell(is_leaving=True)

    async def _tell(self, *, is_leaving: bool = False) -> None:
        if self._has_left:
            return
        self._has_left = is_leaving
        report = self._budget.report(self._clock(), is_leaving=is_leaving)
        # Without a connection there is nothing to send either: a decision is recorded first.
        with contextlib.suppress(NatsError):
            await self._client.publish(LIMITS, msgspec.json.encode(report))

    async def _heard(self, message: Msg) -> None:
        try:
            report = msgspec.json.decode(message.data, type=Report)
        except msgspec.DecodeError as error:
            _log.warning("a report of limits cannot be read", extra={"error": str(error)})
            return
        if self._budget.hear(report, self._clock()):
            await self._tell()
        self._turns.look()
