"""What the leg hears, and what its keys say. Generated: do not edit."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from offhook.commands.base import LegCommand, Rule, Stateful, not_above, not_both, only_when
from offhook.commands.objects import (
    NoiseSuppressionEngine,
    NoiseSuppressionEngineConfig,
    SpokenLanguage,
    VoiceSettings,
)
from offhook.commands.parameters import Base64, Digits, Legs, Loop, Speech, Url

__all__ = [
    "Gather",
    "StopGather",
    "GatherUsingAudio",
    "GatherUsingSpeak",
    "StartPlayback",
    "StopPlayback",
    "SendDtmf",
    "Speak",
    "StartNoiseSuppression",
    "StopNoiseSuppression",
]


@dataclass(frozen=True, kw_only=True)
class Gather(LegCommand, Stateful):
    """Gather the digits that the caller presses; nothing is played."""

    operation: ClassVar[str] = "gather"
    rules: ClassVar[tuple[Rule, ...]] = (not_above("minimum_digits", "maximum_digits"),)

    gather_id: str | None = None
    initial_timeout_millis: int | None = None
    inter_digit_timeout_millis: int | None = None
    maximum_digits: Annotated[int, Meta(ge=1, le=128)] | None = None
    minimum_digits: Annotated[int, Meta(ge=1)] | None = None
    terminating_digit: Annotated[str, Meta(max_length=1)] | None = None
    timeout_millis: int | None = None
    valid_digits: str | None = None


@dataclass(frozen=True, kw_only=True)
class StopGather(LegCommand, Stateful):
    """Stop gathering digits; the digits so far are reported."""

    operation: ClassVar[str] = "gather_stop"


@dataclass(frozen=True, kw_only=True)
class GatherUsingAudio(LegCommand, Stateful):
    """Play an audio file while gathering digits."""

    operation: ClassVar[str] = "gather_using_audio"
    rules: ClassVar[tuple[Rule, ...]] = (
        not_above("minimum_digits", "maximum_digits"),
        not_both("audio_url", "media_name"),
        not_both("invalid_audio_url", "invalid_media_name"),
    )

    audio_url: Url | None = None
    inter_digit_timeout_millis: int | None = None
    invalid_audio_url: Url | None = None
    invalid_media_name: str | None = None
    maximum_digits: Annotated[int, Meta(ge=1, le=128)] | None = None
    maximum_tries: int | None = None
    media_name: str | None = None
    minimum_digits: Annotated[int, Meta(ge=1)] | None = None
    terminating_digit: Annotated[str, Meta(max_length=1)] | None = None
    timeout_millis: int | None = None
    valid_digits: str | None = None


@dataclass(frozen=True, kw_only=True)
class GatherUsingSpeak(LegCommand, Stateful):
    """Speak text while gathering digits."""

    operation: ClassVar[str] = "gather_using_speak"
    rules: ClassVar[tuple[Rule, ...]] = (
        not_above("minimum_digits", "maximum_digits"),
        only_when("language", "en-US", "service_level", "basic"),
        only_when("payload_type", "text", "service_level", "basic"),
    )

    payload: Speech
    voice: str
    inter_digit_timeout_millis: int | None = None
    invalid_payload: Speech | None = None
    language: SpokenLanguage | None = None
    maximum_digits: Annotated[int, Meta(ge=1, le=128)] | None = None
    maximum_tries: int | None = None
    minimum_digits: Annotated[int, Meta(ge=1)] | None = None
    payload_type: Literal["text", "ssml"] | None = None
    service_level: Literal["basic", "premium"] | None = None
    terminating_digit: Annotated[str, Meta(max_length=1)] | None = None
    timeout_millis: int | None = None
    valid_digits: str | None = None
    voice_settings: VoiceSettings | None = None


@dataclass(frozen=True, kw_only=True)
class StartPlayback(LegCommand, Stateful):
    """Play an audio file on the leg; several are played one after the other."""

    operation: ClassVar[str] = "playback_start"
    rules: ClassVar[tuple[Rule, ...]] = (
        not_both("audio_url", "media_name"),
        only_when("target_legs", "self", "overlay", True),
    )

    audio_type: Literal["mp3", "wav"] | None = None
    audio_url: Url | None = None
    cache_audio: bool | None = None
    loop: Loop | None = None
    media_name: str | None = None
    overlay: bool | None = None
    playback_content: Base64 | None = None
    stop: Literal["current", "all"] | None = None
    target_legs: Legs | None = None


@dataclass(frozen=True, kw_only=True)
class StopPlayback(LegCommand, Stateful):
    """Stop the audio playback on the leg."""

    operation: ClassVar[str] = "playback_stop"

    overlay: bool | None = None
    stop: Literal["current", "all"] | None = None


@dataclass(frozen=True, kw_only=True)
class SendDtmf(LegCommand, Stateful):
    """Send DTMF tones from this leg to the other party."""

    operation: ClassVar[str] = "send_dtmf"

    digits: Digits
    duration_millis: Annotated[int, Meta(ge=100, le=500)] | None = None


@dataclass(frozen=True, kw_only=True)
class Speak(LegCommand, Stateful):
    """Speak text on the leg; several texts are spoken one after the other."""

    operation: ClassVar[str] = "speak"
    rules: ClassVar[tuple[Rule, ...]] = (
        only_when("language", "en-US", "service_level", "basic"),
        only_when("payload_type", "text", "service_level", "basic"),
    )

    payload: Speech
    voice: str
    language: SpokenLanguage | None = None
    loop: Literal["infinity"] | Annotated[int, Meta(ge=1)] | None = None
    payload_type: Literal["text", "ssml"] | None = None
    service_level: Literal["basic", "premium"] | None = None
    stop: Literal["current", "all"] | None = None
    target_legs: Legs | None = None
    voice_settings: VoiceSettings | None = None


@dataclass(frozen=True, kw_only=True)
class StartNoiseSuppression(LegCommand, Stateful):
    """Suppress noise on the leg (a beta feature of the carrier)."""

    operation: ClassVar[str] = "suppression_start"

    direction: Literal["inbound", "outbound", "both"] | None = None
    noise_suppression_engine: NoiseSuppressionEngine | None = None
    noise_suppression_engine_config: NoiseSuppressionEngineConfig | None = None


@dataclass(frozen=True, kw_only=True)
class StopNoiseSuppression(LegCommand, Stateful):
    """Stop suppressing noise on the leg."""

    operation: ClassVar[str] = "suppression_stop"
