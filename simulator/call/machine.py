"""The leg state machine, pure: a command or a trigger and the legs in, changes out.

    incoming                                                       outgoing

    (call) ─▶ parked ── Answer ──▶ answered ◀── PartyAnswers ── bridging ◀─ (Dial, Transfer)
                │                   │    ▲                          │
                │        Bridge, or a    │ the other leg ended,     │
                │     transfer answered  │ and this one parks       │
                │                   ▼    │                          │
                │                  bridged                          │
                │                   │    │                          │
                ▼                   ▼    ▼                          ▼
              Reject, Hangup, LegEnds, or the other leg ended  ─▶  ended

`parked` and `bridging` are the carrier's words for a leg that is not answered yet. Arrows emit
call.answered, call.bridged (for both legs) and call.hangup; a new leg emits call.initiated.

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

What else runs on a leg is in `features`, each with its picture: `sounds`, `gathering`, `recording`,
`detection`, `queues`, `media`, `assistants`, `conferences`.

Where the documents are silent, we chose: a repeated Answer or Bridge is answered `ok` and changes
nothing; hanging up a parked leg is `normal_clearing` with SIP `unspecified`; a referred leg stays
up; a leg placed by a transfer is cancelled when the transferred leg ends first; a list of numbers
in Dial rings the first one only.
"""

from dataclasses import replace
from datetime import datetime
from typing import assert_never

from offhook.commands import (
    Answer,
    Command,
    Dial,
    Hangup,
    LegCommand,
    Reject,
    Stateful,
    UpdateClientState,
)
from offhook.simulator.call import placing
from offhook.simulator.call.changes import Changes
from offhook.simulator.call.endings import end_leg
from offhook.simulator.call.features import (
    assistants,
    conferences,
    gathering,
    queues,
    recording,
    sounds,
)
from offhook.simulator.call.features.conferences import ConferenceAction, ConferenceRequest
from offhook.simulator.call.handlers import HANDLERS
from offhook.simulator.call.legs import InboundCall, SimulatedLeg
from offhook.simulator.call.transition import Ids, LegsById, Transition
from offhook.simulator.call.triggers import (
    AssistantGivesUp,
    EventDue,
    GatherTimesOut,
    KeysPressed,
    LegEnds,
    PartyAnswers,
    QueueTimesOut,
    RecordingEnds,
    ReferSettles,
    SoundEnds,
    Trigger,
)
from offhook.simulator.errors import call_errors


def place_inbound(
    call: InboundCall, now: datetime, ids: Ids, *, tells_cost: bool = False
) -> Changes:
    """An inbound call reaches the application: a parked leg in a session of its own."""
    transition = Transition({}, now, ids, tells_cost=tells_cost)
    return transition.changes(placing.place_inbound(transition, call))


def handle_command(
    command: Command,
    call_control_id: str | None,
    legs: LegsById,
    now: datetime,
    ids: Ids,
    *,
    tells_cost: bool = False,
) -> Changes:
    """What a command changes; `call_control_id` is the leg it is sent to, None for a dial.

    `tells_cost` is whether a new leg sends call.cost. Raises CarrierError.
    """
    transition = Transition(legs, now, ids, tells_cost=tells_cost)
    if isinstance(command, Dial):
        return transition.changes(placing.dial(transition, command))
    assert isinstance(command, LegCommand)
    leg = transition.live_leg(call_control_id or "")
    if leg.unanswered and not isinstance(command, Answer | Reject | Hangup | UpdateClientState):
        raise call_errors.call_not_answered()
    if isinstance(command, Stateful) and command.client_state is not None:
        leg = transition.put(replace(leg, client_state=command.client_state))
    repeated = HANDLERS[type(command)](transition, leg, command)
    return transition.changes(leg, repeated=repeated)


def handle_conference(
    action: ConferenceAction,
    conference_id: str | None,
    request: ConferenceRequest,
    legs: LegsById,
    now: datetime,
    ids: Ids,
) -> Changes:
    """What creating, joining or leaving a conference changes. Raises CarrierError."""
    transition = Transition(legs, now, ids)
    leg = transition.live_leg(request.call_control_id)
    if leg.unanswered:
        raise call_errors.call_not_answered()
    if request.client_state is not None:
        leg = transition.put(replace(leg, client_state=request.client_state))
    match action:
        case "create":
            conferences.create(transition, leg, request.name)
        case "join":
            ends_it = request.end_conference_on_exit
            conferences.join(transition, leg, conference_id or "", ends_it=ends_it)
        case "leave":
            if leg.seat is None or leg.seat.conference_id != conference_id:
                raise call_errors.conference_unknown()
            conferences.leave(transition, leg)
    return transition.changes(leg)


def handle_trigger(trigger: Trigger, legs: LegsById, now: datetime, ids: Ids) -> Changes:
    """What a trigger changes; nothing if the leg has moved on."""
    transition = Transition(legs, now, ids)
    leg = transition.find(trigger.call_control_id)
    if isinstance(trigger, EventDue) and leg is not None and trigger.outlives:
        transition.emit(trigger.event_type, leg, **trigger.more)
        return transition.changes(leg)
    if leg is None or leg.ended:
        return transition.changes(None)
    _dispatch(transition, leg, trigger)
    return transition.changes(leg)


def _dispatch(transition: Transition, leg: SimulatedLeg, trigger: Trigger) -> None:
    match trigger:
        case PartyAnswers():
            placing.party_answers(transition, leg)
        case LegEnds(ending=ending, only=only):
            if leg.unanswered == (only == "unanswered"):
                end_leg(transition, leg, ending)
        case ReferSettles(sip_response=response):
            event = "call.refer.completed" if response < 300 else "call.refer.failed"
            transition.emit(event, leg, sip_notify_response=response)
        case SoundEnds(sound_id=sound_id):
            sounds.sound_ends(transition, leg, sound_id)
        case KeysPressed():
            gathering.keys_pressed(transition, leg, trigger)
        case GatherTimesOut():
            gathering.gather_times_out(transition, leg, trigger)
        case QueueTimesOut():
            queues.queue_times_out(transition, leg, trigger)
        case RecordingEnds(recording_id=recording_id):
            recording.recording_ends(transition, leg, recording_id)
        case AssistantGivesUp(conversation_id=conversation_id):
            assistants.assistant_gives_up(transition, leg, conversation_id)
        case EventDue(event_type=event_type, more=more):
            transition.emit(event_type, leg, **more)
        case _:
            assert_never(trigger)
