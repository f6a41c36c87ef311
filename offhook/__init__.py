"""Offhook: phone calls on Telnyx Call Control as event-sourced sessions.

The public API is the names in `__all__`, which are all that a flow needs:

    from offhook import Answer, CallInitiated, Event, Flow, Order, Session

    def decide(event: Event, session: Session) -> list[Order]: ...
    frontdesk = Flow(name="frontdesk", version="2026-11-22", decide=decide)

These are public too; every other module is internal and may change in any version:

    offhook.testing             to test a flow
    offhook.commands.objects    the types of parameters that are objects
    offhook.phone_numbers       to compare numbers as Offhook does

`import offhook` loads no other module; each is loaded when a name of it is first used.
"""

# ruff: noqa: F403, F405 (a test checks that every name of `__all__` is there)
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from offhook.commands import *
    from offhook.commands.unbridge import hung_up_after_unbridge, kept_after_unbridge
    from offhook.events import *
    from offhook.flow import Decide, Flow, Order
    from offhook.flow.typed_client_state import client_state, state_of
    from offhook.session import (
        CancelTimer,
        CommandState,
        Conference,
        Leg,
        Recording,
        Session,
        SetTimer,
        TimerState,
    )
else:
    from importlib import import_module

    # In the order in which a name is looked for.
    _MODULES = (
        "flow",
        "commands",
        "commands.unbridge",
        "events",
        "session",
        "flow.typed_client_state",
    )

    def __getattr__(name):
        if name in __all__:
            for module in _MODULES:
                found = vars(import_module(f"offhook.{module}"))
                if name in found:
                    return globals().setdefault(name, found[name])
        raise AttributeError(f"module 'offhook' has no attribute {name!r}")

    def __dir__():
        return sorted({*globals(), *__all__})


# fmt: off
__all__ = [
    # a flow, and what it reads
    "Flow", "Decide", "Order", "Session", "Leg", "Conference", "Recording", "CommandState",
    "TimerState",
    # what a flow decides on
    "Event", "CommandFailed", "TimerFired",
    # the carrier's events
    "CallEvent", "CarrierEvent", "CallInitiated", "CallAnswered", "CallBridged", "CallHangup",
    "CallHold", "CallUnhold", "CallEnqueued", "CallDequeued", "CallReferStarted",
    "CallReferCompleted", "CallReferFailed", "CallSipInfoReceived",
    "CallMachineDetectionEnded", "CallMachineGreetingEnded",
    "CallMachinePremiumDetectionStarted", "CallMachinePremiumDetectionEnded",
    "CallMachinePremiumGreetingEnded", "CallMachinePremiumCallScreeningDetected",
    "CallDeepfakeDetectionResult", "CallDeepfakeDetectionError", "CallSpeakStarted",
    "CallSpeakEnded", "CallPlaybackStarted", "CallPlaybackEnded", "CallDtmfReceived",
    "CallGatherEnded", "CallAiGatherEnded", "CallAiGatherPartialResults",
    "CallAiGatherMessageHistoryUpdated", "CallRecordingSaved", "RecordingSaved",
    "CallRecordingError", "CallRecordingTranscriptionSaved", "CallTranscription",
    "StreamingStarted", "StreamingStopped", "StreamingFailed", "CallForkStarted",
    "CallForkStopped", "SiprecStarted", "SiprecStopped", "SiprecFailed",
    "DialogflowDetectintentResponse", "ConferenceCreated", "ConferenceEnded",
    "ConferenceParticipantJoined", "ConferenceParticipantLeft", "ConferenceFloorChanged",
    "ConferenceSpeakStarted", "ConferenceSpeakEnded", "ConferencePlaybackStarted",
    "ConferencePlaybackEnded", "ConferenceParticipantSpeakStarted",
    "ConferenceParticipantSpeakEnded", "ConferenceParticipantPlaybackStarted",
    "ConferenceParticipantPlaybackEnded", "ConferenceRecordingSaved",
    "CallConversationCreated", "CallConversationStartFailed", "CallConversationEnded",
    "CallConversationInsightsGenerated", "CallAnalyzed", "CallCost", "CallPaymentProgress",
    "CallPaymentCompleted", "UnknownEvent",
    # commands for the carrier
    "Command", "LegCommand", "Dial", "Answer", "Transfer", "Bridge", "Hangup", "Reject",
    "Refer", "SendSipInfo", "AddAIAssistantMessages", "JoinAIAssistant", "StartAIAssistant",
    "StopAIAssistant", "UpdateClientState", "StartConversationRelay", "StopConversationRelay",
    "Enqueue", "StartForking", "StopForking", "Gather", "StopGather", "GatherUsingAI",
    "GatherUsingAudio", "GatherUsingSpeak", "LeaveQueue", "Pay", "StartPlayback",
    "StopPlayback", "PauseRecording", "ResumeRecording", "StartRecording", "StopRecording",
    "SendDtmf", "StartSiprec", "StopSiprec", "Speak", "StartStreaming", "StopStreaming",
    "StartNoiseSuppression", "StopNoiseSuppression", "SwitchSupervisorRole",
    "StartTranscription", "StopTranscription",
    "hung_up_after_unbridge", "kept_after_unbridge",
    # timers
    "SetTimer", "CancelTimer",
    # what travels with a leg
    "client_state", "state_of",
    # records that a test may start from
    "CommandRequested", "CommandSucceeded", "Decided", "IssuedCommand", "LegPlaced", "PlacedLeg",
    "TimerOrder",
]
# fmt: on
