"""The projector's metrics, read off its progress and the measured lag at each scrape."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from offhook.position import seq_of
from offhook.projections.projector.lag import LagWatch
from offhook.projections.projector.progress import Progress


def registry_of(progress: Progress, lag: LagWatch) -> CollectorRegistry:
    """A registry with the projector's metrics."""
    registry = CollectorRegistry()
    registry.register(_ProgressCollector(progress))
    registry.register(_LagCollector(lag))
    return registry


class _ProgressCollector(Collector):
    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def collect(self) -> Iterable[Metric]:
        """The gauges and counters as of now."""
        now = self._progress
        gauges = (
            (
                "active",
                "1 if this projector has a partition, 0 if it stands by.",
                float(now.active),
            ),
            ("seq", "Highest position of its partitions in the views.", now.seq),
            ("pending", "Records that wait to be projected, as of the last batch.", now.pending),
        )
        counters = (
            ("records", "Records copied and folded.", now.records),
            ("repeated", "Records skipped as duplicates.", now.repeated),
            ("batches", "Transactions committed.", now.batches),
            ("sessions_parked", "Sessions that could not be folded.", now.parked),
            ("restarts", "Times it went back to a checkpoint.", now.restarts),
            ("refused", "Batches of partitions that another projector had taken.", now.refused),
            ("busy_seconds", "Time spent in batches.", now.busy_s),
        )
        for name, help_text, value in gauges:
            yield GaugeMetricFamily(f"offhook_projector_{name}", help_text, value)
        for name, help_text, value in counters:
            yield CounterMetricFamily(f"offhook_projector_{name}", help_text, value)


class _LagCollector(Collector):
    """Of every partition, whoever has it."""

    def __init__(self, lag: LagWatch) -> None:
        self._lag = lag

    def collect(self) -> Iterable[Metric]:
        """The gauges as of the last measurement."""
        gauges = {
            "views_sequence": "Stream sequence of the last record in the views.",
            "lag_records": "Records of the log that the views lack.",
            "lag_seconds": "Since the oldest record that the views lack was stored; 0 without one.",
        }
        families = {
            name: GaugeMetricFamily(f"offhook_projector_{name}", text, labels=["partition"])
            for name, text in gauges.items()
        }
        for partition, lag in self._lag.lags.items():
            values = (seq_of(lag.position), lag.records, lag.age_s)
            for family, value in zip(families.values(), values, strict=True):
                family.add_metric([str(partition)], value)
        yield from families.values()
