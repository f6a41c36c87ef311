"""Every event of the carrier's, a class each, named after its `event_type`.

    a leg, from its start to its end              calls.py
    who answered                                  detection.py
    speech, playback, keys                        audio.py
    recordings, transcriptions                    recordings.py
    streaming, forks, SIPREC                      streams.py
    conferences                                   conferences.py
    conversations with an assistant               assistants.py
    cost and payments                             payments.py

Fields are the documented ones (team-telnyx/openapi spec3.yml 12de4dd0, SDK 4.189.0) and those that
real webhooks carry beside them; each may be missing in a real one, and is None then. Numbers that
the carrier sends as text are text here. Comments name values where the documents list them: all
such lists are open.
"""

# ruff: noqa: F403, F405
from typing import get_args

from offhook.carrier_events.assistants import *
from offhook.carrier_events.audio import *
from offhook.carrier_events.base import *
from offhook.carrier_events.calls import *
from offhook.carrier_events.conferences import *
from offhook.carrier_events.detection import *
from offhook.carrier_events.payments import *
from offhook.carrier_events.recordings import *
from offhook.carrier_events.streams import *

CallEvent = (
    CallInitiated
    | CallAnswered
    | CallBridged
    | CallHangup
    | CallHold
    | CallUnhold
    | CallEnqueued
    | CallDequeued
    | CallReferStarted
    | CallReferCompleted
    | CallReferFailed
    | CallSipInfoReceived
    | CallMachineDetectionEnded
    | CallMachineGreetingEnded
    | CallMachinePremiumDetectionStarted
    | CallMachinePremiumDetectionEnded
    | CallMachinePremiumGreetingEnded
    | CallMachinePremiumCallScreeningDetected
    | CallDeepfakeDetectionResult
    | CallDeepfakeDetectionError
    | CallSpeakStarted
    | CallSpeakEnded
    | CallPlaybackStarted
    | CallPlaybackEnded
    | CallDtmfReceived
    | CallGatherEnded
    | CallAiGatherEnded
    | CallAiGatherPartialResults
    | CallAiGatherMessageHistoryUpdated
    | CallRecordingSaved
    | RecordingSaved
    | CallRecordingError
    | CallRecordingTranscriptionSaved
    | CallTranscription
    | StreamingStarted
    | StreamingStopped
    | StreamingFailed
    | CallForkStarted
    | CallForkStopped
    | SiprecStarted
    | SiprecStopped
    | SiprecFailed
    | DialogflowDetectintentResponse
    | ConferenceCreated
    | ConferenceEnded
    | ConferenceParticipantJoined
    | ConferenceParticipantLeft
    | ConferenceFloorChanged
    | ConferenceSpeakStarted
    | ConferenceSpeakEnded
    | ConferencePlaybackStarted
    | ConferencePlaybackEnded
    | ConferenceParticipantSpeakStarted
    | ConferenceParticipantSpeakEnded
    | ConferenceParticipantPlaybackStarted
    | ConferenceParticipantPlaybackEnded
    | ConferenceRecordingSaved
    | CallConversationCreated
    | CallConversationStartFailed
    | CallConversationEnded
    | CallConversationInsightsGenerated
    | CallAnalyzed
    | CallCost
    | CallPaymentProgress
    | CallPaymentCompleted
    | UnknownEvent
)
"""What webhooks become."""

BY_TYPE: dict[str, type[CallEvent]] = {
    kind.event_type: kind for kind in get_args(CallEvent) if kind is not UnknownEvent
}
"""The class for an `event_type`; any other makes an UnknownEvent."""

OF_A_CONFERENCE_ALONE = (
    ConferenceSpeakStarted,
    ConferenceSpeakEnded,
    ConferencePlaybackStarted,
    ConferencePlaybackEnded,
)
"""Documented without a leg and its session; `creator_call_session_id` says where they belong."""
