"""Assistants and relays that talk with the leg. Generated: do not edit."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from offhook.commands.base import LegCommand, Rule, Stateful, required_with
from offhook.commands.objects import (
    AIAssistantJoinParticipant,
    AssistantTranscription,
    AssistantVoiceSettings,
    CallAssistant,
    ConversationRelayInterruptionSettings,
    ConversationRelayLanguage,
    ConversationRelaySettings,
    GatherAssistant,
    GatherMessage,
    GoogleLanguage,
    InterruptionSettings,
    Message,
    RelayAssistant,
    RelayEngine,
    VoiceSettings,
)
from offhook.commands.parameters import Speech, WebSocketUrl

__all__ = [
    "AddAIAssistantMessages",
    "JoinAIAssistant",
    "StartAIAssistant",
    "StopAIAssistant",
    "StartConversationRelay",
    "StopConversationRelay",
    "GatherUsingAI",
]


@dataclass(frozen=True, kw_only=True)
class AddAIAssistantMessages(LegCommand, Stateful):
    """Add messages to the conversation of the leg's AI assistant."""

    operation: ClassVar[str] = "ai_assistant_add_messages"

    messages: list[Message] | None = None
    trigger_response: bool | None = None


@dataclass(frozen=True, kw_only=True)
class JoinAIAssistant(LegCommand, Stateful):
    """Add this leg to a running conversation with an AI assistant."""

    operation: ClassVar[str] = "ai_assistant_join"

    conversation_id: str
    participant: AIAssistantJoinParticipant


@dataclass(frozen=True, kw_only=True)
class StartAIAssistant(LegCommand, Stateful):
    """Start an AI assistant on the leg."""

    operation: ClassVar[str] = "ai_assistant_start"

    assistant: CallAssistant | None = None
    greeting: Speech | None = None
    interruption_settings: InterruptionSettings | None = None
    message_history: list[Message] | None = None
    participants: list[AIAssistantJoinParticipant] | None = None
    send_message_history_updates: bool | None = None
    transcription: AssistantTranscription | None = None


@dataclass(frozen=True, kw_only=True)
class StopAIAssistant(LegCommand, Stateful):
    """Stop the leg's AI assistant; the call continues."""

    operation: ClassVar[str] = "ai_assistant_stop"


@dataclass(frozen=True, kw_only=True)
class StartConversationRelay(LegCommand, Stateful):
    """Connect the leg to your WebSocket as text; the carrier transcribes and speaks."""

    operation: ClassVar[str] = "conversation_relay_start"
    rules: ClassVar[tuple[Rule, ...]] = (
        required_with("structured_provider", "provider"),
        required_with("provider", "structured_provider"),
    )

    assistant: RelayAssistant | None = None
    conversation_relay_dtmf_detection: bool | None = None
    conversation_relay_settings: ConversationRelaySettings | None = None
    conversation_relay_url: WebSocketUrl | None = None
    custom_parameters: dict[str, Any] | None = None
    dtmf_detection: bool | None = None
    greeting: str | None = None
    interruptible: Literal["none", "any", "speech", "dtmf"] | None = None
    interruptible_greeting: Literal["none", "any", "speech", "dtmf"] | None = None
    interruption_settings: ConversationRelayInterruptionSettings | None = None
    language: str | None = None
    languages: list[ConversationRelayLanguage] | None = None
    provider: str | None = None
    structured_provider: dict[str, Any] | None = None
    transcription: dict[str, Any] | None = None
    transcription_engine: RelayEngine | None = None
    transcription_engine_config: dict[str, Any] | None = None
    tts_provider: str | None = None
    url: WebSocketUrl | None = None
    voice: str | None = None
    voice_settings: VoiceSettings | None = None


@dataclass(frozen=True, kw_only=True)
class StopConversationRelay(LegCommand, Stateful):
    """End the leg's Conversation Relay session."""

    operation: ClassVar[str] = "conversation_relay_stop"


@dataclass(frozen=True, kw_only=True)
class GatherUsingAI(LegCommand, Stateful):
    """Let an AI voice assistant gather the fields of a JSON Schema."""

    operation: ClassVar[str] = "gather_using_ai"

    parameters: dict[str, Any]
    assistant: GatherAssistant | None = None
    gather_ended_speech: Speech | None = None
    greeting: Speech | None = None
    interruption_settings: InterruptionSettings | None = None
    language: GoogleLanguage | None = None
    message_history: list[GatherMessage] | None = None
    send_message_history_updates: bool | None = None
    send_partial_results: bool | None = None
    transcription: AssistantTranscription | None = None
    user_response_timeout_ms: int | None = None
    voice: str | None = None
    voice_settings: AssistantVoiceSettings | None = None
