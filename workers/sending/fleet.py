"""The rate limits of all workers together: each reports to the others every second.

Core NATS, nothing stored: a report that gets lost is followed by the next one. A report of a worker
that is not known yet is answered at once, so a newcomer knows the fleet before it takes any work.
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
from offhook.workers.metrics import WorkerMetrics
from offhook.workers.sending.queue import CommandQueue
from offhook.workers.sending.rate_limits import REPORT_S, FleetReport, RateLimits

_log = logging.getLogger(__name__)


class Fleet:
    """This worker's part in the fleet."""

    def __init__(
        self,
        client: Client,
        limits: RateLimits,
        queue: CommandQueue,
        metrics: WorkerMetrics,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._limits = limits
        self._queue = queue
        self._metrics = metrics
        self._clock = clock
        self._has_left = False

    async def join(self) -> None:
        """Subscribe to the others' reports, and have them report at once."""
        await self._client.subscribe(LIMITS, cb=self._on_report)
        await self._report()
        await self._client.flush()

    async def keep_reporting(self) -> None:
        """Until cancelled, report each second, and at once when the carrier says 429."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REPORT_S):
                    await self._queue.was_busy.wait()
            self._queue.was_busy.clear()
            if self._client.is_connected:
                await self._report()
            else:
                self._limits.keep_members(self._clock())
            for limit, left in self._limits.left(self._clock()).items():
                self._metrics.rate_left.labels(limit=limit).set(left)
            self._queue.grant()

    async def leave(self) -> None:
        """Give our part to the others. No report follows: it would count as joining again."""
        await self._report(is_leaving=True)

    async def _report(self, *, is_leaving: bool = False) -> None:
        if self._has_left:
            return
        self._has_left = is_leaving
        report = self._limits.report(self._clock(), is_leaving=is_leaving)
        # Without a connection there is nothing to send either: a decision is recorded first.
        with contextlib.suppress(NatsError):
            await self._client.publish(LIMITS, msgspec.json.encode(report))

    async def _on_report(self, message: Msg) -> None:
        try:
            report = msgspec.json.decode(message.data, type=FleetReport)
        except msgspec.DecodeError as error:
            _log.warning("a report of limits cannot be read", extra={"error": str(error)})
            return
        if self._limits.add_report(report, self._clock()):
            await self._report()
        self._queue.grant()
