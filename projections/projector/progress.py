"""What a projector has done since it started, where it is, and its metrics.

The metrics are read off the progress and the measured lag at each scrape.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from offhook.position import seq_of
from offhook.projections.projector.lag import LagWatch


@dataclass(kw_only=True)
class PartitionProgress:
    """A partition that the projector holds."""

    seq: int  # position of the last record in the views
    pending: int = 0  # records behind it that wait, as of the last batch


@dataclass(kw_only=True)
class Progress:
    """Of one projector; what the views lack in each partition is in `lag`."""

    partitions: dict[int, PartitionProgress] = field(default_factory=dict)  # those that it holds
    troubles: dict[int | None, str] = field(default_factory=dict)
    """Why it does not go on, by partition; None for all of them."""
    records: int = 0
    repeated: int = 0  # records whose event id was known
    batches: int = 0
    parked: int = 0  # sessions parked, counted each time
    restarts: int = 0  # times it went back to a checkpoint
    refused: int = 0  # batches of a partition that another projector had taken
    busy_s: float = 0.0  # time in transactions

    @property
    def active(self) -> bool:
        """Whether it has a partition, rather than standing by."""
        return bool(self.partitions)

    @property
    def seq(self) -> int:
        """The highest of its positions."""
        return max((each.seq for each in self.partitions.values()), default=0)

    @property
    def pending(self) -> int:
        """Records that wait, in all its partitions."""
        return sum(each.pending for each in self.partitions.values())

    @property
    def trouble(self) -> str:
        """Why it went back to a checkpoint; empty once it runs or stands by again."""
        return "; ".join(
            why if partition is None else f"partition {partition}: {why}"
            for partition, why in self.troubles.items()
        )

    def as_fields(self) -> dict[str, Any]:
        """For the log."""
        return {
            "active": self.active,
            "trouble": self.trouble,
            "partitions": {key: each.seq for key, each in self.partitions.items()},
            "pending": self.pending,
            "records": self.records,
            "repeated": self.repeated,
            "batches": self.batches,
            "parked": self.parked,
            "restarts": self.restarts,
            "refused": self.refused,
            "busy_s": round(self.busy_s, 3),
        }


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
