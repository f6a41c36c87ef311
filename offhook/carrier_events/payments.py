"""What a leg cost, and payments by a caller."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from offhook.carrier_events.base import CarrierEvent


@dataclass(frozen=True, kw_only=True)
class CallCost(CarrierEvent):
    """What the leg cost. Amounts are text, as the carrier sends them."""

    event_type: str = "call.cost"
    billed_duration_secs: int | None = None
    billing_group_id: str | None = None
    cost_parts: Sequence[Mapping[str, Any]] | None = None  # call_part, cost, currency, rate …
    status: str | None = None  # success, error
    total_cost: str | None = None  # a number as text


@dataclass(frozen=True, kw_only=True)
class CallPaymentProgress(CarrierEvent):
    """A step of taking a payment by keys."""

    event_type: str = "call.payment.progress"
    from_: str | None = None
    to: str | None = None
    attempt: int | None = None
    bank_account_number: str | None = None
    bank_account_type: str | None = None
    bank_routing_number: str | None = None
    error_type: str | None = None
    expiration_date: str | None = None
    payment_card_number: str | None = None
    payment_card_postal_code: str | None = None
    payment_card_type: str | None = None
    payment_connector: str | None = None
    payment_method: str | None = None  # credit-card, ach-debit
    payment_status: str | None = None  # completed, failed, processing
    payment_step: str | None = None  # payment-card-number, expiration-date …
    security_code: str | None = None


@dataclass(frozen=True, kw_only=True)
class CallPaymentCompleted(CarrierEvent):
    """The payment was taken, or not."""

    event_type: str = "call.payment.completed"
    from_: str | None = None
    to: str | None = None
    bank_account_number: str | None = None
    bank_account_type: str | None = None
    bank_routing_number: str | None = None
    charge_id: str | None = None
    connector_error: Mapping[str, Any] | str | None = None
    expiration_date: str | None = None
    pay_error_code: str | None = None
    payment_card_number: str | None = None
    payment_card_postal_code: str | None = None
    payment_card_type: str | None = None
    payment_confirmation_code: str | None = None
    payment_connector: str | None = None
    payment_error: str | None = None
    payment_method: str | None = None  # credit-card, ach-debit
    result: str | None = None  # success, payment-connector-error, cancelled …
    security_code: str | None = None
    token_id: str | None = None
