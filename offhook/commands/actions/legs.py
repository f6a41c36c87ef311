"""The leg itself: its state, its queue, its supervisor, a payment. Generated: do not edit."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from offhook.commands.base import LegCommand, Rule, Stateful, not_blank, not_both, required_when
from offhook.commands.objects import CardType, PayPrompts
from offhook.commands.parameters import Base64, Text1

__all__ = [
    "UpdateClientState",
    "Enqueue",
    "LeaveQueue",
    "Pay",
    "SwitchSupervisorRole",
]


@dataclass(frozen=True, kw_only=True)
class UpdateClientState(LegCommand):
    """Change the `client_state` that later webhooks of the leg return."""

    operation: ClassVar[str] = "client_state_update"
    method: ClassVar[Literal["POST", "PUT"]] = "PUT"
    takes_command_id: ClassVar[bool] = False

    client_state: Base64


@dataclass(frozen=True, kw_only=True)
class Enqueue(LegCommand, Stateful):
    """Put the leg into a queue, which is created if it does not exist."""

    operation: ClassVar[str] = "enqueue"

    queue_name: Text1
    keep_after_hangup: bool | None = None
    max_size: int | None = None
    max_wait_time_secs: int | None = None


@dataclass(frozen=True, kw_only=True)
class LeaveQueue(LegCommand, Stateful):
    """Take the leg out of its queue; the call continues."""

    operation: ClassVar[str] = "leave_queue"


@dataclass(frozen=True, kw_only=True)
class Pay(LegCommand, Stateful):
    """Collect payment details by keypad, and charge or tokenize them through a connector."""

    operation: ClassVar[str] = "pay"
    rules: ClassVar[tuple[Rule, ...]] = (
        required_when("amount", "transaction_type", "charge"),
        not_both("valid_card_types", "payment_token"),
        not_blank("postal_code"),
    )

    amount: float | None = None
    connector_name: str | None = None
    currency: Literal["USD", "usd"] | None = None
    description: str | None = None
    inter_digit_timeout_millis: int | None = None
    language: str | None = None
    max_attempts: int | None = None
    metadata: dict[str, Any] | None = None
    min_postal_code_length: int | None = None
    parameters: dict[str, Any] | None = None
    payment_method: Literal["credit-card", "ach-debit"] | None = None
    payment_token: str | None = None
    postal_code: str | bool | None = None
    prompts: PayPrompts | None = None
    service_level: str | None = None
    timeout_millis: int | None = None
    transaction_type: Literal["charge", "tokenize"] | None = None
    valid_card_types: list[CardType] | None = None
    voice: str | None = None


@dataclass(frozen=True, kw_only=True)
class SwitchSupervisorRole(LegCommand):
    """Change what a supervising leg hears, and who hears it."""

    operation: ClassVar[str] = "switch_supervisor_role"
    takes_command_id: ClassVar[bool] = False

    role: Literal["barge", "whisper", "monitor"]
