"""Every event of the carrier's, a class each, named after its `event_type`.

Fields are the documented ones (team-telnyx/openapi spec3.yml 12de4dd0, SDK 4.189.0) and those that
real webhooks carry beside them; each may be missing in a real one, and is None then. Numbers that
the carrier sends as text are text here. Comments name values where the documents list them: all
such lists are open.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, get_args


@dataclass(frozen=True, kw_only=True)
class CarrierEvent:
    """What every webhook of a call carries. A field the carrier left out is None.

    `occurred_at` is the carrier's clock, microseconds, UTC. `payload` is the whole payload as it
    came: fields without a name here are kept there.
    """

    event_type: str = ""
    event_id: str = ""
    occurred_at: datetime | None = None
    call_control_id: str | None = None
    call_leg_id: str | None = None
    call_session_id: str | None = None
    connection_id: str | None = None
    client_state: str | None = None
    payload: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, kw_only=True)
class UnknownEvent(CarrierEvent):
    """Any other webhook, or a body that is no event at all; `payload` has what there was."""


# ------------------------------------------------------------------ the call


@dataclass(frozen=True, kw_only=True)
class CallInitiated(CarrierEvent):
    """A leg exists: incoming and parked until it is answered, or outgoing and ringing.

    The only event with `direction`; outgoing ones come without `start_time`.
    """

    event_type: str = "call.initiated"
    direction: str | None = None  # incoming, outgoing
    state: str | None = None  # parked, bridging
    from_: str | None = None
    to: str | None = None
    start_time: datetime | None = None  # the start of the leg
    call_screening_result: str | None = None
    caller_id_name: str | None = None
    connection_codecs: str | None = None
    custom_headers: Sequence[Mapping[str, Any]] | None = None
    offered_codecs: str | None = None
    shaken_stir_attestation: str | None = None
    shaken_stir_validated: bool | None = None
    sip_headers: Sequence[Mapping[str, Any]] | None = None  # name and value each
    tags: Sequence[str] | None = None  # of the called number
    calling_party_type: str | None = None  # pstn, sip
    from_sip_uri: str | None = None
    to_sip_uri: str | None = None


@dataclass(frozen=True, kw_only=True)
class CallAnswered(CarrierEvent):
    """The leg was answered, at `occurred_at`; `start_time` is the start of the leg."""

    event_type: str = "call.answered"
    state: str | None = None
    from_: str | None = None
    to: str | None = None
    start_time: datetime | None = None
    custom_headers: Sequence[Mapping[str, Any]] | None = None
    sip_headers: Sequence[Mapping[str, Any]] | None = None
    tags: Sequence[str] | None = None  # of the called number
    calling_party_type: str | None = None
    codec: str | None = None
    sampling_rate: int | None = None


@dataclass(frozen=True, kw_only=True)
class CallBridged(CarrierEvent):
    """The leg's audio was joined with another leg's; each side gets its own event."""

    event_type: str = "call.bridged"
    from_: str | None = None
    to: str | None = None
    start_time: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class CallHangup(CarrierEvent):
    """The leg ended. Causes are open enums: new values appear without notice."""

    event_type: str = "call.hangup"
    state: str | None = None
    from_: str | None = None
    to: str | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    call_quality_stats: Mapping[str, Any] | None = None
    custom_headers: Sequence[Mapping[str, Any]] | None = None
    hangup_cause: str | None = None  # normal_clearing, user_busy, timeout …
    hangup_source: str | None = None  # caller, callee, unknown
    sip_hangup_cause: str | None = None  # a SIP code as text, or "unspecified"
    sip_headers: Sequence[Mapping[str, Any]] | None = None
    tags: Sequence[str] | None = None  # of the called number
    calling_party_type: str | None = None
    telnyx_error: Any = None  # only ever seen as null


@dataclass(frozen=True, kw_only=True)
class CallHold(CarrierEvent):
    """The leg was put on hold."""

    event_type: str = "call.hold"
    from_: str | None = None
    to: str | None = None


@dataclass(frozen=True, kw_only=True)
class CallUnhold(CarrierEvent):
    """The leg is off hold again."""

    event_type: str = "call.unhold"
    from_: str | None = None
    to: str | None = None


@dataclass(frozen=True, kw_only=True)
class CallEnqueued(CarrierEvent):
    """The leg waits in a queue."""

    event_type: str = "call.enqueued"
    current_position: int | None = None
    queue: str | None = None
    queue_avg_wait_time_secs: int | None = None


@dataclass(frozen=True, kw_only=True)
class CallDequeued(CarrierEvent):
    """The leg waits no longer: somebody took it, or it left."""

    event_type: str = "call.dequeued"
    queue: str | None = None
    queue_position: int | None = None
    reason: str | None = None  # bridged, bridging-in-process, hangup, leave, timeout
    wait_time_secs: int | None = None


@dataclass(frozen=True, kw_only=True)
class CallReferStarted(CarrierEvent):
    """The carrier sent the REFER."""

    event_type: str = "call.refer.started"
    from_: str | None = None
    to: str | None = None
    sip_notify_response: int | None = None  # a SIP code


@dataclass(frozen=True, kw_only=True)
class CallReferCompleted(CarrierEvent):
    """The other side did as the REFER asked."""

    event_type: str = "call.refer.completed"
    from_: str | None = None
    to: str | None = None
    sip_notify_response: int | None = None  # a SIP code


@dataclass(frozen=True, kw_only=True)
class CallReferFailed(CarrierEvent):
    """The other side did not do as the REFER asked."""

    event_type: str = "call.refer.failed"
    from_: str | None = None
    to: str | None = None
    sip_notify_response: int | None = None  # a SIP code


@dataclass(frozen=True, kw_only=True)
class CallSipInfoReceived(CarrierEvent):
    """A SIP INFO came in. Named where the documents tell of `send_sip_info`; no schema anywhere."""

    event_type: str = "call.sip_info.received"


# ------------------------------------------------------------------ who is there


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


# ------------------------------------------------------------------ what is said and keyed


@dataclass(frozen=True, kw_only=True)
class CallSpeakStarted(CarrierEvent):
    """Text is being spoken. `speak_id` is the same when it ends; not in the documents."""

    event_type: str = "call.speak.started"
    speak_id: str | None = None
    calling_party_type: str | None = None


@dataclass(frozen=True, kw_only=True)
class CallSpeakEnded(CarrierEvent):
    """The text was spoken, or stopped."""

    event_type: str = "call.speak.ended"
    status: str | None = None  # completed, call_hangup, cancelled_amd
    speak_id: str | None = None
    calling_party_type: str | None = None


@dataclass(frozen=True, kw_only=True)
class CallPlaybackStarted(CarrierEvent):
    """Audio is being played. `media_url` or `media_name` is as it was given."""

    event_type: str = "call.playback.started"
    media_name: str | None = None
    media_url: str | None = None
    overlay: bool | None = None


@dataclass(frozen=True, kw_only=True)
class CallPlaybackEnded(CarrierEvent):
    """The audio was played, stopped, or could not be."""

    event_type: str = "call.playback.ended"
    media_name: str | None = None
    media_url: str | None = None
    overlay: bool | None = None
    status: str | None = None  # completed, cancelled, file_not_found, failed …
    status_detail: str | None = None


@dataclass(frozen=True, kw_only=True)
class CallDtmfReceived(CarrierEvent):
    """A key was pressed."""

    event_type: str = "call.dtmf.received"
    from_: str | None = None
    to: str | None = None
    digit: str | None = None


@dataclass(frozen=True, kw_only=True)
class CallGatherEnded(CarrierEvent):
    """Keys were gathered, or not: `status` says why it ended."""

    event_type: str = "call.gather.ended"
    from_: str | None = None
    to: str | None = None
    gather_id: str | None = None  # as Gather gave it, else made by the carrier
    digits: str | None = None
    status: str | None = None  # valid, invalid, call_hangup, cancelled, cancelled_amd, timeout


@dataclass(frozen=True, kw_only=True)
class CallAiGatherEnded(CarrierEvent):
    """An assistant gathered what it was asked to."""

    event_type: str = "call.ai_gather.ended"
    from_: str | None = None
    to: str | None = None
    message_history: Sequence[Mapping[str, Any]] | None = None  # role and content each
    result: Mapping[str, Any] | None = None  # as its `parameters` asked
    status: str | None = None  # valid, invalid


@dataclass(frozen=True, kw_only=True)
class CallAiGatherPartialResults(CarrierEvent):
    """What an assistant has gathered so far."""

    event_type: str = "call.ai_gather.partial_results"
    from_: str | None = None
    to: str | None = None
    message_history: Sequence[Mapping[str, Any]] | None = None
    partial_results: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class CallAiGatherMessageHistoryUpdated(CarrierEvent):
    """A message was said while an assistant gathers."""

    event_type: str = "call.ai_gather.message_history_updated"
    from_: str | None = None
    to: str | None = None
    message_history: Sequence[Mapping[str, Any]] | None = None


# ------------------------------------------------------------------ what is kept of it


@dataclass(frozen=True, kw_only=True)
class CallRecordingSaved(CarrierEvent):
    """A recording can be fetched.

    Documented without `call_control_id`, `recording_id`, `format`, `start_time` and `end_time`,
    which `recording_saved` has.
    """

    event_type: str = "call.recording.saved"
    start_time: datetime | None = None  # the recording's
    end_time: datetime | None = None
    channels: str | None = None  # single, dual
    public_recording_urls: Mapping[str, Any] | None = None
    recording_ended_at: datetime | None = None
    recording_started_at: datetime | None = None
    recording_urls: Mapping[str, Any] | None = None  # by format; valid for 10 minutes
    recording_id: str | None = None
    format: str | None = None


@dataclass(frozen=True, kw_only=True)
class RecordingSaved(CarrierEvent):
    """A recording can be fetched, as the carrier named it before; not in the documents."""

    event_type: str = "recording_saved"
    start_time: datetime | None = None  # the recording's
    end_time: datetime | None = None
    recording_id: str | None = None
    channels: str | None = None  # single, dual
    format: str | None = None
    recording_started_at: datetime | None = None
    recording_ended_at: datetime | None = None
    recording_urls: Mapping[str, Any] | None = None  # by format; valid for 10 minutes
    public_recording_urls: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class CallRecordingError(CarrierEvent):
    """A recording could not be kept."""

    event_type: str = "call.recording.error"
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class CallRecordingTranscriptionSaved(CarrierEvent):
    """A recording was written down."""

    event_type: str = "call.recording.transcription.saved"
    calling_party_type: str | None = None
    recording_id: str | None = None
    recording_transcription_id: str | None = None
    status: str | None = None  # completed
    transcription_text: str | None = None


@dataclass(frozen=True, kw_only=True)
class CallTranscription(CarrierEvent):
    """Something said was written down while the call goes on.

    `transcription_data` has transcript, confidence, is_final and transcription_track.
    """

    event_type: str = "call.transcription"
    transcription_data: Mapping[str, Any] | None = None


# ------------------------------------------------------------------ where else it goes


@dataclass(frozen=True, kw_only=True)
class StreamingStarted(CarrierEvent):
    """The call's audio goes to a WebSocket."""

    event_type: str = "streaming.started"
    stream_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class StreamingStopped(CarrierEvent):
    """The call's audio goes to the WebSocket no longer."""

    event_type: str = "streaming.stopped"
    stream_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class StreamingFailed(CarrierEvent):
    """The audio could not be streamed."""

    event_type: str = "streaming.failed"
    failure_reason: str | None = None
    stream_id: str | None = None
    stream_params: Mapping[str, Any] | None = None
    stream_type: str | None = None  # websocket, dialogflow


@dataclass(frozen=True, kw_only=True)
class CallForkStarted(CarrierEvent):
    """The call's audio goes to another place too."""

    event_type: str = "call.fork.started"
    stream_type: str | None = None  # decrypted


@dataclass(frozen=True, kw_only=True)
class CallForkStopped(CarrierEvent):
    """The call's audio goes to the other place no longer."""

    event_type: str = "call.fork.stopped"
    stream_type: str | None = None  # decrypted


@dataclass(frozen=True, kw_only=True)
class SiprecStarted(CarrierEvent):
    """A SIP recording session began."""

    event_type: str = "siprec.started"


@dataclass(frozen=True, kw_only=True)
class SiprecStopped(CarrierEvent):
    """A SIP recording session ended."""

    event_type: str = "siprec.stopped"
    hangup_cause: str | None = None  # Q.850


@dataclass(frozen=True, kw_only=True)
class SiprecFailed(CarrierEvent):
    """A SIP recording session failed."""

    event_type: str = "siprec.failed"
    failure_cause: str | None = None  # Q.850


@dataclass(frozen=True, kw_only=True)
class DialogflowDetectintentResponse(CarrierEvent):
    """What Dialogflow understood and would say; not in the documents."""

    event_type: str = "dialogflow.detectintent.response"
    confidence: float | None = None
    fulfillment_messages: Sequence[Mapping[str, Any]] | None = None
    is_final: bool | None = None
    stream_id: str | None = None
    transcript: str | None = None


# ------------------------------------------------------------------ conferences


@dataclass(frozen=True, kw_only=True)
class ConferenceCreated(CarrierEvent):
    """A conference began with this leg."""

    event_type: str = "conference.created"
    conference_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class ConferenceEnded(CarrierEvent):
    """A conference is over."""

    event_type: str = "conference.ended"
    conference_id: str | None = None
    reason: str | None = None  # all_left, host_left, time_exceeded


@dataclass(frozen=True, kw_only=True)
class ConferenceParticipantJoined(CarrierEvent):
    """The leg is in the conference."""

    event_type: str = "conference.participant.joined"
    conference_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class ConferenceParticipantLeft(CarrierEvent):
    """The leg is in the conference no longer."""

    event_type: str = "conference.participant.left"
    conference_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class ConferenceFloorChanged(CarrierEvent):
    """Another leg has the floor. Documented flat, without `data` around it."""

    event_type: str = "conference.floor.changed"
    conference_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class ConferenceSpeakStarted(CarrierEvent):
    """Text is being spoken to everybody in the conference."""

    event_type: str = "conference.speak.started"
    conference_id: str | None = None
    creator_call_session_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class ConferenceSpeakEnded(CarrierEvent):
    """The text was spoken to the conference."""

    event_type: str = "conference.speak.ended"
    conference_id: str | None = None
    creator_call_session_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class ConferencePlaybackStarted(CarrierEvent):
    """Audio is being played to everybody in the conference."""

    event_type: str = "conference.playback.started"
    conference_id: str | None = None
    creator_call_session_id: str | None = None
    media_name: str | None = None
    media_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class ConferencePlaybackEnded(CarrierEvent):
    """The audio was played to the conference."""

    event_type: str = "conference.playback.ended"
    conference_id: str | None = None
    creator_call_session_id: str | None = None
    media_name: str | None = None
    media_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class ConferenceParticipantSpeakStarted(CarrierEvent):
    """Text is being spoken to one participant."""

    event_type: str = "conference.participant.speak.started"
    conference_id: str | None = None
    creator_call_session_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class ConferenceParticipantSpeakEnded(CarrierEvent):
    """The text was spoken to the participant."""

    event_type: str = "conference.participant.speak.ended"
    conference_id: str | None = None
    creator_call_session_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class ConferenceParticipantPlaybackStarted(CarrierEvent):
    """Audio is being played to one participant."""

    event_type: str = "conference.participant.playback.started"
    conference_id: str | None = None
    creator_call_session_id: str | None = None
    media_name: str | None = None
    media_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class ConferenceParticipantPlaybackEnded(CarrierEvent):
    """The audio was played to the participant."""

    event_type: str = "conference.participant.playback.ended"
    conference_id: str | None = None
    creator_call_session_id: str | None = None
    media_name: str | None = None
    media_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class ConferenceRecordingSaved(CarrierEvent):
    """A recording of a conference can be fetched."""

    event_type: str = "conference.recording.saved"
    conference_id: str | None = None
    channels: str | None = None  # single, dual
    format: str | None = None
    public_recording_urls: Mapping[str, Any] | None = None
    recording_ended_at: datetime | None = None
    recording_id: str | None = None
    recording_started_at: datetime | None = None
    recording_urls: Mapping[str, Any] | None = None  # by format; valid for 10 minutes


# ------------------------------------------------------------------ assistants


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


# ------------------------------------------------------------------ money


@dataclass(frozen=True, kw_only=True)
class CallCost(CarrierEvent):
    """What the leg cost. Amounts are text, as the carrier tells them."""

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
