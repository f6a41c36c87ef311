"""The projector's metrics, read off its progress at each scrape."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from offhook.projections.projector.project import Progress


def registry_of(progress: Progress) -> CollectorRegistry:
    """A registry with the projector's metrics."""
    registry = CollectorRegistry()
    registry.register(_ProgressCollector(progress))
    return registry


class _ProgressCollector(Collector):
    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def collect(self) -> Iterable[Metric]:
        """The gauges and counters as of now."""
        now = self._progress
        gauges = (
            ("active", "1 if this projector is the active one.", float(now.active)),
            ("seq", "Stream sequence of the last record in the views.", now.seq),
            ("pending", "Records that wait to be projected, as of the last batch.", now.pending),
        )
        counters = (
            ("records", "Records copied and folded.", now.records),
            ("repeated", "Records skipped as duplicates.", now.repeated),
            ("batches", "Transactions committed.", now.batches),
            ("sessions_parked", "Sessions that could not be folded.", now.parked),
            ("restarts", "Times it went back to its checkpoint.", now.restarts),
            ("busy_seconds", "Time spent in batches.", now.busy_s),
        )
        for name, help_text, value in gauges:
            yield GaugeMetricFamily(f"offhook_projector_{name}", help_text, value)
        for name, help_text, value in counters:
            yield CounterMetricFamily(f"offhook_projector_{name}", help_text, value)
