"""What a projector has done since it started, and where it is."""

from dataclasses import dataclass, field
from typing import Any


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
