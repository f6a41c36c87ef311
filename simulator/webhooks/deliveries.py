"""What has become of each webhook: values only."""

from dataclasses import dataclass, field
from datetime import datetime

from offhook.simulator.applications import CallControlApplication
from offhook.simulator.call.changes import OutgoingWebhook


@dataclass(frozen=True, kw_only=True)
class DeliveryAttempt:
    """One attempt at one address.

    `status` is None if the receiver gave none in time; `answer` is the start of its body.
    """

    number: int
    url: str
    started_at: datetime
    finished_at: datetime
    status: int | None
    answer: str = ""

    @property
    def delivered(self) -> bool:
        """Whether the receiver answered 2xx."""
        return self.status is not None and 200 <= self.status < 300


@dataclass(kw_only=True)
class WebhookDelivery:
    """One event for one address. `delivered` is None until the outcome is known."""

    id: str
    webhook: OutgoingWebhook
    application: CallControlApplication
    url: str
    attempts: list[DeliveryAttempt] = field(default_factory=list)  # bounded by the pauses
    copies: int = 1
    held_back: bool = False
    lost: bool = False
    delivered: bool | None = None
