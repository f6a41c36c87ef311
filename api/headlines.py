"""The headline ratios of calls as Prometheus gauges.

They are those of GET /analytics/groups, of the last hour, and the carrier's policy ratios of the
UTC day so far. They are read once a minute, whoever scrapes; a ratio that is not known has no
sample. Every API process has the same values: take the maximum over them.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from offhook.api.freshness import Views
from offhook.projections.views.analytics.grouping.wanted import GroupsWanted
from offhook.projections.views.analytics.groups import read_groups
from offhook.projections.views.analytics.kpis import Ratio
from offhook.projections.views.database.errors import DATABASE_ERRORS

EVERY_S = 60.0

HOUR, DAY = "1h", "utc_day"
RATIOS: Mapping[str, Sequence[str]] = {
    HOUR: ("asr", "abr", "ner", "ser", "seer", "isa", "scr"),
    DAY: ("short_call", "abandoned"),
}
"""The names of the ratios, by the window that they are of."""

_log = logging.getLogger(__name__)


class Headlines(Collector):
    """Run `run` beside the server. Without a value from the last minutes there are no samples."""

    def __init__(self, views: Views, now: Callable[[], datetime]) -> None:
        self._views = views
        self._now = now
        self._found: Mapping[tuple[str, str], Ratio] = {}

    async def run(self) -> None:
        """Read the ratios, again and again."""
        while True:
            await self.read()
            await asyncio.sleep(EVERY_S)

    async def read(self) -> None:
        """Read them once; if Postgres does not answer there are none."""
        now = self._now()
        starts = {
            HOUR: now - timedelta(hours=1),
            DAY: now.replace(hour=0, minute=0, second=0, microsecond=0),
        }
        found: dict[tuple[str, str], Ratio] = {}
        try:
            async with self._views.snapshot() as snapshot:
                for window, start in starts.items():
                    if start < now:
                        wanted = GroupsWanted(start=start, end=now)
                        for group in await read_groups(snapshot.connection, wanted, now):
                            found |= {(window, name): group.ratios[name] for name in RATIOS[window]}
        except DATABASE_ERRORS as error:
            _log.warning("the headline ratios cannot be read", extra={"error": repr(error)})
            found = {}
        self._found = found

    def collect(self) -> Iterable[Metric]:
        """The gauges as of the last reading."""
        labels = ["name", "window"]
        value = GaugeMetricFamily(
            "offhook_calls_ratio",
            "A ratio of the calls that started in the window, from 0 to 1: see docs/analytics.md.",
            labels=labels,
        )
        calls = GaugeMetricFamily(
            "offhook_calls_ratio_denominator",
            "How many calls the ratio is of.",
            labels=labels,
        )
        for (window, name), ratio in self._found.items():
            calls.add_metric([name, window], ratio.denominator)
            if ratio.value is not None:
                value.add_metric([name, window], ratio.value)
        yield value
        yield calls
