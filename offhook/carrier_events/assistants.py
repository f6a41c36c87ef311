"""Conversations with an assistant, and what is found out from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from offhook.carrier_events.base import CarrierEvent


@dataclass(frozen=True, kw_only=True)
class CallConversationCreated(CarrierEvent):
    """An assistant talks on the call."""

    event_type: str = "call.conversation.created"
    from_: str | None = None
    to: str | None = None
    calling_party_type: str | None = None
    conversation_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class CallConversationStartFailed(CarrierEvent):
    """An assistant could not start."""

    event_type: str = "call.conversation.start_failed"
    from_: str | None = None
    to: str | None = None
    assistant_id: str | None = None
    calling_party_type: str | None = None
    reason: str | None = None  # invalid_request, service_error


@dataclass(frozen=True, kw_only=True)
class CallConversationEnded(CarrierEvent):
    """The assistant's conversation is over."""

    event_type: str = "call.conversation.ended"
    from_: str | None = None
    to: str | None = None
    assistant_id: str | None = None
    calling_party_type: str | None = None
    conversation_id: str | None = None
    duration_sec: int | None = None
    llm_model: str | None = None
    messages: Sequence[Mapping[str, Any]] | None = None  # role, content, timestamp …
    reason: str | None = None
    stt_model: str | None = None
    tts_model_id: str | None = None
    tts_provider: str | None = None
    tts_voice_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class CallConversationInsightsGenerated(CarrierEvent):
    """What was learnt from the conversation."""

    event_type: str = "call.conversation_insights.generated"
    calling_party_type: str | None = None
    insight_group_id: str | None = None
    results: Sequence[Mapping[str, Any]] | None = None


@dataclass(frozen=True, kw_only=True)
class CallAnalyzed(CarrierEvent):
    """Everything about an assistant's call, some time after it."""

    event_type: str = "call.analyzed"
    from_: str | None = None
    to: str | None = None
    assistant_id: str | None = None
    conversation_id: str | None = None
    conversation_insights: Sequence[Mapping[str, Any]] | None = None
    cost: Mapping[str, Any] | str | None = None  # total, currency, breakdown
    duration_sec: int | None = None
    llm_model: str | None = None
    reason: str | None = None
    recordings: Sequence[Mapping[str, Any]] | None = None
    stt_model: str | None = None
    tts_model_id: str | None = None
    tts_provider: str | None = None
    tts_voice_id: str | None = None
