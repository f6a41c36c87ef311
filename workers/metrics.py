"""What a worker counts. Labels are bounded: never a session or a subject."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class WorkerMetrics:
    """One set per process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.decided = Counter(
            "offhook_decisions", "Records decided on.", ["flow"], registry=self.registry
        )
        self.commands = Counter(
            "offhook_commands",
            "Commands settled, by operation and outcome (ok or the reason of the failure).",
            ["operation", "outcome"],
            registry=self.registry,
        )
        self.conflicts = Counter(
            "offhook_conflicts",
            "Appends refused because another worker appended first.",
            registry=self.registry,
        )
        self.handed_over = Counter(
            "offhook_handed_over",
            "Deliveries handed over to the worker that has the lease.",
            registry=self.registry,
        )
        self.parked = Counter(
            "offhook_sessions_parked", "Sessions whose flow kept raising.", registry=self.registry
        )
        self.unmatched = Counter(
            "offhook_calls_without_flow",
            "Incoming calls that match none of the loaded flows.",
            registry=self.registry,
        )
        self.sessions = Gauge(
            "offhook_lanes", "Sessions being settled now.", registry=self.registry
        )
        self.waiting = Gauge(
            "offhook_commands_waiting",
            "Commands waiting in the queue for a permit to be sent.",
            registry=self.registry,
        )
        self.rate_left = Gauge(
            "offhook_budget_left",
            "Commands this worker could send immediately, by limit; updated every second.",
            ["limit"],
            registry=self.registry,
        )
        self.busy = Counter(
            "offhook_carrier_busy",
            "Commands answered with 429, by what exceeded its limit: commands or dials.",
            ["of"],
            registry=self.registry,
        )
        self.snapshots = Counter(
            "offhook_snapshots",
            "Snapshots of long sessions: stored, or refused (not stored); used (a session was read"
            " from it on), or not used: of other_code, outdated, or unreadable.",
            ["outcome"],
            registry=self.registry,
        )
        self.silences = Counter(
            "offhook_silences",
            "Sessions read after a silence: by what had arrived (counted), by recent records too"
            " (recent), and a few old ones (few), or from their last known record on (searched).",
            ["outcome"],
            registry=self.registry,
        )
        self.snapshot_bytes = Histogram(
            "offhook_snapshot_bytes",
            "Size of the snapshots that were stored.",
            buckets=[1024 * 4**each for each in range(7)],
            registry=self.registry,
        )
        self.seconds_to_command = Histogram(
            "offhook_seconds_to_command",
            "Seconds from a record in the log to its first send, by the clocks of two machines.",
            buckets=(0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1, 2, 4, 8),
            registry=self.registry,
        )
