"""Whether this process can write to the log, for readiness and metrics.

What servers and streams report is not enough: a server may refuse for a reason that it shows
nowhere. So the outcome of the process's own appends counts too.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable, Sequence

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import AccountInfo
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from offhook.errors import LogUnavailable, OffhookError
from offhook.jetstream.health.appends import Appends
from offhook.jetstream.health.condition import Condition, condition_of, unanswered
from offhook.jetstream.partitions import API_TIMEOUT_S, partitions_of
from offhook.jetstream.provisioning.provision import require_consumers
from offhook.jetstream.provisioning.servers import ask_servers, refuse_unsafe
from offhook.jetstream.stream import RECORD_BYTES_MAX

LOOK_S = 5.0
"""How often the state is checked when nobody asks, for metrics and error messages. After a refused
append it is checked at once."""

PAUSE_S = 1.0
"""Between two checks, even if every append is refused."""

LATE_S = 2.0
"""A replica that is not current for this long counts as out; under load each is for a moment."""

_log = logging.getLogger(__name__)


class LogHealth:
    """The health of the log, for a role that binds `consumer`."""

    def __init__(
        self,
        client: Client,
        monitor_urls: Sequence[str],
        consumer: str | None = None,
        *,
        partitions: int | None = None,
    ) -> None:
        """Without `partitions` each check discovers their number."""
        self.appends = Appends()  # to be given to the log
        self.alarms = Appends()  # to be given to the timetable
        self.alarms.doubt = self.appends.doubt
        self.condition = Condition()
        self._client = client
        self._monitor_urls = monitor_urls
        self._consumer = consumer
        self._partitions = partitions
        self._behind_since: dict[str, float] = {}

    async def trouble(self) -> str:
        """Why this process is not ready, as one line; empty if it is."""
        try:
            self.condition = await self._look()
        except OffhookError as error:
            self.condition = Condition(trouble=str(error))
        found = self.condition.trouble
        self.appends.known = self.alarms.known = found
        return found or self.appends.trouble or self.alarms.trouble

    def warnings(self) -> Sequence[str]:
        """What is down while writes work, as of the last check."""
        return self.condition.warnings

    async def watch(self) -> None:
        """Check repeatedly, and log each change."""
        before: tuple[str, Sequence[str]] = ("", ())
        while True:
            found = (await self.trouble(), self.warnings())
            # A connection that is closed says nothing about the log: the role is about to end.
            is_closed = self._client.is_draining or self._client.is_closed
            if found != before and not is_closed:
                level = logging.WARNING if any(found) else logging.INFO
                extra = {"trouble": found[0], "warnings": list(found[1])}
                _log.log(level, "the log's state has changed", extra=extra)
            before = found
            await asyncio.sleep(PAUSE_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S - PAUSE_S):
                    await self.appends.doubt.wait()
            self.appends.doubt.clear()

    def register(self, registry: CollectorRegistry) -> None:
        """Add the log's state to a role's metrics."""
        registry.register(_LogCollector(self))

    async def _look(self) -> Condition:
        servers = await ask_servers(self._monitor_urls)
        refuse_unsafe(servers, RECORD_BYTES_MAX)
        if all(server.silent for server in servers):
            return Condition(trouble=servers[0].silent)
        try:
            partitions = self._partitions or await partitions_of(self._client)
            streams = await require_consumers(self._client, self._consumer, partitions)
        except LogUnavailable as error:
            # A cluster with fewer than half of its nodes has no leader that would answer.
            return unanswered(servers, error)
        late = frozenset(
            name for name, since in self._behind_since.items() if time.monotonic() - since >= LATE_S
        )
        found = condition_of(servers, streams, await self._account(), late=late)
        self._behind_since = {
            name: self._behind_since.get(name, time.monotonic()) for name in found.behind
        }
        return found

    async def _account(self) -> AccountInfo | None:
        """None if this user may not ask."""
        try:
            return await self._client.jetstream(timeout=API_TIMEOUT_S).account_info()
        except (NatsError, TimeoutError):
            return None


class _LogCollector(Collector):
    def __init__(self, health: LogHealth) -> None:
        self._health = health

    def collect(self) -> Iterable[GaugeMetricFamily]:
        health = self._health
        trouble = health.condition.trouble or health.appends.trouble or health.alarms.trouble
        yield GaugeMetricFamily(
            "offhook_log_writable", "1 while the log takes records, else 0.", value=int(not trouble)
        )
        yield GaugeMetricFamily(
            "offhook_log_warnings",
            "Nodes and replicas of the log that are down while it accepts records.",
            value=len(health.warnings()),
        )
