"""Who answered: answering machines, their greetings, deepfakes."""

from dataclasses import dataclass

from offhook.carrier_events.base import CarrierEvent


@dataclass(frozen=True, kw_only=True)
class CallMachineDetectionEnded(CarrierEvent):
    """Answering machine detection has its result."""

    event_type: str = "call.machine.detection.ended"
    from_: str | None = None
    to: str | None = None
    result: str | None = None  # human, machine, not_sure


@dataclass(frozen=True, kw_only=True)
class CallMachineGreetingEnded(CarrierEvent):
    """A machine's greeting ended, heard by answering machine detection."""

    event_type: str = "call.machine.greeting.ended"
    from_: str | None = None
    to: str | None = None
    result: str | None = None  # beep_detected, ended, not_sure


@dataclass(frozen=True, kw_only=True)
class CallMachinePremiumDetectionStarted(CarrierEvent):
    """Premium answering machine detection began."""

    event_type: str = "call.machine.premium.detection.started"
    from_: str | None = None
    to: str | None = None


@dataclass(frozen=True, kw_only=True)
class CallMachinePremiumDetectionEnded(CarrierEvent):
    """Premium answering machine detection has its result."""

    event_type: str = "call.machine.premium.detection.ended"
    from_: str | None = None
    to: str | None = None
    result: str | None = None  # human_residence, human_business, machine, silence …


@dataclass(frozen=True, kw_only=True)
class CallMachinePremiumGreetingEnded(CarrierEvent):
    """A machine's greeting ended, heard by premium answering machine detection."""

    event_type: str = "call.machine.premium.greeting.ended"
    from_: str | None = None
    to: str | None = None
    result: str | None = None  # beep_detected, no_beep_detected, prompt_ended


@dataclass(frozen=True, kw_only=True)
class CallMachinePremiumCallScreeningDetected(CarrierEvent):
    """A call screening assistant answered."""

    event_type: str = "call.machine.premium.call_screening.detected"
    from_: str | None = None
    to: str | None = None
    result: str | None = None  # screening


@dataclass(frozen=True, kw_only=True)
class CallDeepfakeDetectionResult(CarrierEvent):
    """Whether the voice is real."""

    event_type: str = "call.deepfake_detection.result"
    consistency: float | None = None
    result: str | None = None  # real, fake, silence_timeout
    score: float | None = None


@dataclass(frozen=True, kw_only=True)
class CallDeepfakeDetectionError(CarrierEvent):
    """Deepfake detection has no result."""

    event_type: str = "call.deepfake_detection.error"
    error_message: str | None = None  # detection_timeout, rtp_timeout …
