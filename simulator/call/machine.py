"""The leg state machine, pure: a command or a happening and the legs in, a step out.

    incoming                                                       outgoing

    (ring) ─▶ parked ── Answer ──▶ answered ◀── PartyAnswers ── bridging ◀─ (Dial, Transfer)
                │                   │    ▲                          │
                │        Bridge, or a    │ the other leg ended,     │
                │     transfer answered  │ and this one parks       │
                │                   ▼    │                          │
                │                  bridged                          │
                │                   │    │                          │
                ▼                   ▼    ▼                          ▼
              Reject, Hangup, LegEnds, or the other leg ended  ─▶  ended

`parked` and `bridging` are the carrier's words for a leg that nobody has answered yet. Arrows send
call.answered, call.bridged (to both legs) and call.hangup; new legs send call.initiated.

    command       refused when                        repeated when
    any           the leg has ended (90018)
    Answer        outgoing (90102)                    it is answered already
    Reject        outgoing or answered (10027)        -
    Hangup        -                                   -
    Transfer      not answered (90034)                its last transfer is still up, or ringing
    Bridge        one is not answered (90034),        the two are bridged already
                  or the other is unknown (90015)
    Refer         not answered (90034)                it was referred to the same address
    any other     not answered (90034)                as its module says

What goes on on a leg meanwhile is in modules of their own, each with its picture: `sounds`,
`gathering`, `recording`, `detection`, `queues`, `media`, `assistants`, `conferences`.


Where the documents are silent, this is what we chose: a repeated Answer or Bridge is answered `ok`
and changes nothing; hanging up a parked leg is `normal_clearing` with SIP `unspecified`; a
referred leg stays up; a leg placed by a transfer is cancelled when the transferred leg ends first;
a list of numbers in Dial rings the first one only.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from random import Random
from typing import Any, assert_never

from offhook.commands import (
    AddAIAssistantMessages,
    Answer,
    Bridge,
    Command,
    Dial,
    Enqueue,
    Gather,
    GatherUsingAI,
    GatherUsingAudio,
    GatherUsingSpeak,
    Hangup,
    JoinAIAssistant,
    LeaveQueue,
    LegCommand,
    PauseRecording,
    Pay,
    Refer,
    Reject,
    ResumeRecording,
    SendDtmf,
    SendSipInfo,
    Speak,
    StartAIAssistant,
    StartConversationRelay,
    StartForking,
    StartNoiseSuppression,
    StartPlayback,
    StartRecording,
    StartSiprec,
    StartStreaming,
    StartTranscription,
    Stateful,
    StopAIAssistant,
    StopConversationRelay,
    StopForking,
    StopGather,
    StopNoiseSuppression,
    StopPlayback,
    StopRecording,
    StopSiprec,
    StopStreaming,
    StopTranscription,
    SwitchSupervisorRole,
    Transfer,
    UpdateClientState,
)
from offhook.simulator.call import placing
from offhook.simulator.call.endings import end, hung_up_by_command, join
from offhook.simulator.call.features import (
    assistants,
    conferences,
    gathering,
    media,
    queues,
    recording,
    sounds,
)
from offhook.simulator.call.features.conferences import ConferenceAction
from offhook.simulator.call.legs import Ending, InboundCall, Leg
from offhook.simulator.call.numbers import ANSWER_AFTER_S, Refuses, StaysSilent, far_end_of
from offhook.simulator.call.steps import (
    AssistantGivesUp,
    EventDue,
    GatherTimesOut,
    Happening,
    KeysPressed,
    LegEnds,
    PartyAnswers,
    QueueTimesOut,
    RecordingEnds,
    ReferSettles,
    SoundEnds,
    Step,
)
from offhook.simulator.call.transition import Legs, Turn
from offhook.simulator.errors import call_errors

_REJECTIONS = {
    "CALL_REJECTED": Ending(cause="call_rejected", source="callee", sip="603"),
    "USER_BUSY": Ending(cause="user_busy", source="callee", sip="486"),
    "NOT_FOUND": Ending(cause="not_found", source="callee", sip="404"),
    "TEMPORARILY_UNAVAILABLE": Ending(cause="unspecified", source="callee", sip="480"),
}


def ring(call: InboundCall, now: datetime, identities: Random, *, tells_cost: bool = False) -> Step:
    """An inbound call reaches the application: a parked leg in a session of its own."""
    turn = Turn({}, now, identities, tells_cost=tells_cost)
    return turn.step(placing.place_inbound(turn, call))


def obey(
    command: Command,
    call_control_id: str | None,
    legs: Legs,
    now: datetime,
    identities: Random,
    *,
    tells_cost: bool = False,
) -> Step:
    """What a command changes; `call_control_id` is the leg it is sent to, None for a dial.

    `tells_cost` is whether the application of a new leg wants its cost. Raises CarrierError.
    """
    turn = Turn(legs, now, identities, tells_cost=tells_cost)
    if isinstance(command, Dial):
        return turn.step(placing.dial(turn, command))
    assert isinstance(command, LegCommand)
    leg = turn.live(call_control_id or "")
    if leg.unanswered and not isinstance(command, Answer | Reject | Hangup | UpdateClientState):
        raise call_errors.call_not_answered()
    if isinstance(command, Stateful) and command.client_state is not None:
        leg = turn.put(replace(leg, client_state=command.client_state))
    repeated = HANDLERS[type(command)](turn, leg, command)
    return turn.step(leg, repeated=repeated)


def confer(
    action: ConferenceAction,
    conference_id: str | None,
    asked: conferences.Asked,
    legs: Legs,
    now: datetime,
    identities: Random,
) -> Step:
    """What creating, joining or leaving a conference changes. Raises CarrierError."""
    turn = Turn(legs, now, identities)
    leg = turn.live(asked.call_control_id)
    if leg.unanswered:
        raise call_errors.call_not_answered()
    if asked.client_state is not None:
        leg = turn.put(replace(leg, client_state=asked.client_state))
    match action:
        case "create":
            conferences.create(turn, leg, asked.name)
        case "join":
            ends_it = asked.end_conference_on_exit
            conferences.join(turn, leg, conference_id or "", ends_it=ends_it)
        case "leave":
            if leg.seat is None or leg.seat.conference_id != conference_id:
                raise call_errors.conference_unknown()
            conferences.leave(turn, leg)
    return turn.step(leg)


def happen(happening: Happening, legs: Legs, now: datetime, identities: Random) -> Step:
    """What the passing of time changes; nothing, if the leg has moved on."""
    turn = Turn(legs, now, identities)
    leg = turn.find(happening.call_control_id)
    if isinstance(happening, EventDue) and leg is not None and happening.outlives:
        turn.tell(happening.event_type, leg, **happening.more)
        return turn.step(leg)
    if leg is None or leg.ended:
        return turn.step(None)
    match happening:
        case PartyAnswers():
            placing.party_answers(turn, leg)
        case LegEnds(ending=ending, only=only):
            if leg.unanswered == (only == "unanswered"):
                end(turn, leg, ending)
        case ReferSettles(sip_response=response):
            event = "call.refer.completed" if response < 300 else "call.refer.failed"
            turn.tell(event, leg, sip_notify_response=response)
        case SoundEnds(sound_id=sound_id):
            sounds.sound_ends(turn, leg, sound_id)
        case KeysPressed():
            gathering.keys_pressed(turn, leg, happening)
        case GatherTimesOut():
            gathering.gather_times_out(turn, leg, happening)
        case QueueTimesOut():
            queues.queue_times_out(turn, leg, happening)
        case RecordingEnds(recording_id=recording_id):
            recording.recording_ends(turn, leg, recording_id)
        case AssistantGivesUp(conversation_id=conversation_id):
            assistants.assistant_gives_up(turn, leg, conversation_id)
        case EventDue(event_type=event_type, more=more):
            turn.tell(event_type, leg, **more)
        case _:
            assert_never(happening)
    return turn.step(leg)


def _reject(turn: Turn, leg: Leg, command: Reject) -> bool:
    if leg.direction == "outgoing" or not leg.unanswered:
        raise call_errors.not_possible("Only an unanswered incoming call can be rejected.")
    end(turn, leg, _REJECTIONS[command.cause])
    return False


def _hang_up(turn: Turn, leg: Leg, _: Hangup) -> bool:
    end(turn, leg, hung_up_by_command(leg))
    return False


def _bridge(turn: Turn, leg: Leg, command: Bridge) -> bool:
    if command.video_room_id is not None:
        raise call_errors.not_possible("The simulator has no video rooms.")
    if command.queue is not None:
        other = _first_in(turn, command.queue)
    else:
        other = turn.live(command.call_control_id_to_bridge_with or "")
    if other.call_control_id == leg.call_control_id:
        raise call_errors.not_possible("A call cannot be bridged with itself.")
    if other.unanswered:
        raise call_errors.call_not_answered()
    if leg.bridged_with == other.call_control_id:
        return True
    if command.prevent_double_bridge and other.bridged_with is not None:
        raise call_errors.not_possible(
            "The call is bridged already, and prevent_double_bridge is on."
        )
    leg = recording.begin_recording(turn, leg, recording.asked_recording(turn, command))
    parks = command.park_after_unbridge == "self" or bool(command.hold_after_unbridge)
    join(turn, replace(leg, parks=parks), other)
    return False


def _first_in(turn: Turn, queue: str) -> Leg:
    waiting = queues.waiting_in(turn, queue)
    if not waiting:
        raise call_errors.not_possible(f"Nobody waits in the queue {queue!r}.")
    return waiting[0]


def _refer(turn: Turn, leg: Leg, command: Refer) -> bool:
    repeated = leg.referred_to == command.sip_address
    leg = turn.put(replace(leg, referred_to=command.sip_address))
    turn.tell("call.refer.started", leg, sip_notify_response=100)
    far_end = far_end_of(command.sip_address)
    response = int(far_end.ending.sip) if isinstance(far_end, Refuses) else 200
    settled = ReferSettles(
        call_control_id=leg.call_control_id,
        sip_response=408 if isinstance(far_end, StaysSilent) else response,
    )
    turn.later(ANSWER_AFTER_S, settled)
    return repeated


def _send_sip_info(turn: Turn, leg: Leg, _: SendSipInfo) -> bool:
    other = turn.find(leg.bridged_with) if leg.bridged_with else None
    if other is not None:
        turn.tell("call.sip_info.received", other)
    return False


def _update_client_state(turn: Turn, leg: Leg, command: UpdateClientState) -> bool:
    turn.put(replace(leg, client_state=command.client_state))
    return False


def _switch_role(_turn: Turn, leg: Leg, _: SwitchSupervisorRole) -> bool:
    if leg.supervises is None:
        raise call_errors.not_possible("The call does not supervise another one.")
    return False


# True of an answer means that it had been done to this leg before. Each takes its own command.
HANDLERS: dict[type[Command], Callable[[Turn, Leg, Any], bool]] = {
    Answer: placing.answer,
    Reject: _reject,
    Hangup: _hang_up,
    Transfer: placing.transfer,
    Bridge: _bridge,
    Refer: _refer,
    SendSipInfo: _send_sip_info,
    UpdateClientState: _update_client_state,
    SwitchSupervisorRole: _switch_role,
    Speak: sounds.speak,
    StartPlayback: sounds.start_playback,
    StopPlayback: sounds.stop_playback,
    Gather: gathering.gather,
    GatherUsingSpeak: gathering.gather_using_speak,
    GatherUsingAudio: gathering.gather_using_audio,
    StopGather: gathering.stop_gather,
    SendDtmf: gathering.send_dtmf,
    StartRecording: recording.start_recording,
    StopRecording: recording.stop_recording,
    PauseRecording: recording.pause_recording,
    ResumeRecording: recording.resume_recording,
    Enqueue: queues.enqueue,
    LeaveQueue: queues.leave_queue,
    StartStreaming: media.start_streaming,
    StopStreaming: media.stop_streaming,
    StartForking: media.start_forking,
    StopForking: media.stop_forking,
    StartSiprec: media.start_siprec,
    StopSiprec: media.stop_siprec,
    StartTranscription: media.start_transcription,
    StopTranscription: media.stop_transcription,
    StartNoiseSuppression: media.suppress_noise,
    StopNoiseSuppression: media.suppress_noise,
    StartAIAssistant: assistants.start_assistant,
    StopAIAssistant: assistants.stop_conversation,
    JoinAIAssistant: assistants.join_assistant,
    AddAIAssistantMessages: assistants.add_messages,
    StartConversationRelay: assistants.start_relay,
    StopConversationRelay: assistants.stop_conversation,
    GatherUsingAI: assistants.gather_using_ai,
    Pay: assistants.pay,
}
