"""What ingress reports to Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Histogram


class IngressMetrics:
    """What ingress counts; the reasons are a closed list."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.answers = Counter(
            "offhook_webhooks",
            "Webhooks by result: stored, duplicate, or the reason for the refusal.",
            ["result"],
            registry=self.registry,
        )
        self.oddities = Counter(
            "offhook_webhooks_odd",
            "Stored webhooks that are unusual, by kind: not_json, lenient_json (an invalid part "
            "was replaced), no_event, no_id, no_call (an event of another product).",
            ["oddity"],
            registry=self.registry,
        )
        # Looked up once, not for every webhook.
        self.stored = self.answers.labels(result="stored")
        self.duplicate = self.answers.labels(result="duplicate")
        self.seconds = Histogram(
            "offhook_webhook_seconds",
            "Seconds from the complete body to the answer.",
            buckets=(0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.064, 0.256, 1, 2),
            registry=self.registry,
        )
