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
    SendSipInfo   not answered (90034)                -

Where the documents are silent, this is what we chose: a repeated Answer or Bridge is answered `ok`
and changes nothing; hanging up a parked leg is `normal_clearing` with SIP `unspecified`; a
referred leg stays up; a leg placed by a transfer is cancelled when the transferred leg ends first;
a list of numbers in Dial rings the first one only.
"""

from dataclasses import replace
from datetime import datetime
from random import Random
from typing import assert_never

from offhook.commands import (
    Answer,
    Bridge,
    Command,
    Dial,
    Hangup,
    LegCommand,
    Refer,
    Reject,
    SendSipInfo,
    Stateful,
    Transfer,
    WebhookTargets,
)
from simulator import refusals
from simulator.legs import (
    TIME_LIMIT_S,
    TIMEOUT_S,
    Ending,
    Happening,
    Hooks,
    InboundCall,
    Leg,
    LegEnds,
    LegState,
    PartyAnswers,
    ReferSettles,
    Step,
    uuid_from,
)
from simulator.numbers import ANSWER_AFTER_S, Answers, Refuses, StaysSilent, far_end_of
from simulator.turn import Legs, Turn

CANCELLED = Ending(cause="originator_cancel", source="caller", sip="487")
_REJECTIONS = {
    "CALL_REJECTED": Ending(cause="call_rejected", source="callee", sip="603"),
    "USER_BUSY": Ending(cause="user_busy", source="callee", sip="486"),
    "NOT_FOUND": Ending(cause="not_found", source="callee", sip="404"),
    "TEMPORARILY_UNAVAILABLE": Ending(cause="unspecified", source="callee", sip="480"),
}


def ring(call: InboundCall, now: datetime, identities: Random) -> Step:
    """An inbound call reaches the application: a parked leg in a session of its own."""
    turn = Turn({}, now, identities)
    leg = turn.place(
        Leg(
            call_control_id=_control_id(identities),
            call_leg_id=uuid_from(identities),
            call_session_id=uuid_from(identities),
            connection_id=call.connection_id,
            direction="incoming",
            from_=call.from_,
            to=call.to,
            state=LegState.PARKED,
            started_at=now,
            talk_s=call.hangup_after_s,
        )
    )
    gives_up = LegEnds(call_control_id=leg.call_control_id, ending=CANCELLED, only="unanswered")
    turn.later(call.patience_s, gives_up)
    return turn.step(leg)


def obey(
    command: Command,
    call_control_id: str | None,
    legs: Legs,
    now: datetime,
    identities: Random,
) -> Step:
    """What a command changes; `call_control_id` is the leg it is sent to, None for a dial.

    Raises Refused.
    """
    turn = Turn(legs, now, identities)
    if isinstance(command, Dial):
        return turn.step(_dial(turn, command))
    assert isinstance(command, LegCommand)
    leg = _live(turn, call_control_id or "")
    if leg.unanswered and not isinstance(command, Answer | Reject | Hangup):
        raise refusals.call_not_answered()
    if isinstance(command, Stateful) and command.client_state is not None:
        leg = turn.put(replace(leg, client_state=command.client_state))
    repeated = _obey(turn, leg, command)
    return turn.step(leg, repeated=repeated)


def happen(happening: Happening, legs: Legs, now: datetime, identities: Random) -> Step:
    """What the passing of time changes; nothing, if the leg has moved on."""
    turn = Turn(legs, now, identities)
    leg = turn.find(happening.call_control_id)
    if leg is None or leg.ended:
        return turn.step(None)
    match happening:
        case PartyAnswers():
            _party_answers(turn, leg)
        case LegEnds(ending=ending, only=only):
            if leg.unanswered == (only == "unanswered"):
                _end(turn, leg, ending)
        case ReferSettles(sip_response=response):
            event = "call.refer.completed" if response < 300 else "call.refer.failed"
            turn.tell(event, leg, sip_notify_response=response)
        case _:
            assert_never(happening)
    return turn.step(leg)


def _obey(turn: Turn, leg: Leg, command: LegCommand) -> bool:
    """Carry out; True if it had been done to this leg before."""
    match command:
        case Answer():
            return _answer(turn, leg, command)
        case Reject():
            if leg.direction == "outgoing" or not leg.unanswered:
                raise refusals.not_possible("Only an unanswered incoming call can be rejected.")
            _end(turn, leg, _REJECTIONS[command.cause])
            return False
        case Hangup():
            _end(turn, leg, _hung_up_by_command(leg))
            return False
        case Transfer():
            return _transfer(turn, leg, command)
        case Bridge():
            return _bridge(turn, leg, command)
        case Refer():
            return _refer(turn, leg, command)
        case SendSipInfo():
            other = turn.find(leg.bridged_with) if leg.bridged_with else None
            if other is not None:
                turn.tell("call.sip_info.received", other)
            return False
        case _:
            raise refusals.not_found()


def _dial(turn: Turn, command: Dial) -> Leg:
    linked = _live(turn, command.link_to, "/link_to") if command.link_to else None
    called = command.to if isinstance(command.to, str) else command.to[0]
    leg = turn.place(
        Leg(
            call_control_id=_control_id(turn.identities),
            call_leg_id=uuid_from(turn.identities),
            call_session_id=linked.call_session_id if linked else uuid_from(turn.identities),
            connection_id=command.connection_id,
            direction="outgoing",
            from_=linked.from_ if linked and command.bridge_intent else command.from_,
            to=called,
            state=LegState.BRIDGING,
            started_at=turn.now,
            client_state=command.client_state,
            hooks=_hooks_of(command, Hooks()),
            time_limit_s=command.time_limit_secs or TIME_LIMIT_S,
            parks=command.park_after_unbridge == "self",
            bridges_on_answer=command.link_to if command.bridge_on_answer else None,
            prevents_double_bridge=bool(command.prevent_double_bridge),
        )
    )
    cause = "no_answer" if command.retry_on_timeout is False else "timeout"
    return _call_far_end(turn, leg, command.timeout_secs or TIMEOUT_S, cause)


def _transfer(turn: Turn, leg: Leg, command: Transfer) -> bool:
    earlier = turn.find(leg.transfer_leg) if leg.transfer_leg else None
    new = turn.place(
        Leg(
            call_control_id=_control_id(turn.identities),
            call_leg_id=uuid_from(turn.identities),
            call_session_id=leg.call_session_id,
            connection_id=leg.connection_id,
            direction="outgoing",
            from_=command.from_ or leg.to,
            to=command.to,
            state=LegState.BRIDGING,
            started_at=turn.now,
            client_state=command.target_leg_client_state,
            hooks=_hooks_of(command, leg.hooks),
            time_limit_s=command.time_limit_secs or TIME_LIMIT_S,
            bridges_on_answer=leg.call_control_id,
        )
    )
    turn.put(
        replace(
            leg,
            transfer_leg=new.call_control_id,
            parks=command.park_after_unbridge == "self",
        )
    )
    _call_far_end(turn, new, command.timeout_secs or TIMEOUT_S, "timeout")
    return earlier is not None and not earlier.ended


def _call_far_end(turn: Turn, leg: Leg, timeout_s: float, timeout_cause: str) -> Leg:
    """Ring the called party: what it will do, and when we give up."""
    ours = leg.call_control_id
    gave_up = Ending(cause=timeout_cause, source="unknown", sip="487")
    turn.later(timeout_s, LegEnds(call_control_id=ours, ending=gave_up, only="unanswered"))
    far_end = far_end_of(leg.to)
    match far_end:
        case Answers(after_s=after_s, talk_s=talk_s):
            leg = turn.put(replace(leg, talk_s=talk_s))
            turn.later(after_s, PartyAnswers(call_control_id=ours))
        case Refuses(after_s=after_s, ending=ending):
            turn.later(after_s, LegEnds(call_control_id=ours, ending=ending, only="unanswered"))
        case StaysSilent():
            pass
        case _:
            assert_never(far_end)
    return leg


def _answer(turn: Turn, leg: Leg, command: Answer) -> bool:
    if leg.direction == "outgoing":
        raise refusals.answer_of_outbound()
    if not leg.unanswered:
        return True
    _take(turn, replace(leg, hooks=_hooks_of(command, leg.hooks)))
    return False


def _party_answers(turn: Turn, leg: Leg) -> None:
    if not leg.unanswered:
        return
    leg = _take(turn, leg)
    other = turn.find(leg.bridges_on_answer) if leg.bridges_on_answer else None
    if other is None or other.ended or other.unanswered:
        return
    if leg.prevents_double_bridge and other.bridged_with is not None:
        _end(turn, leg, Ending(cause="normal_clearing", source="caller", sip="200"))
    else:
        _join(turn, other, leg)


def _take(turn: Turn, leg: Leg) -> Leg:
    """The leg is answered: from now on talk and the time limit run."""
    leg = turn.put(replace(leg, state=LegState.ANSWERED, answered_at=turn.now))
    turn.tell("call.answered", leg)
    ours = leg.call_control_id
    limit = Ending(cause="time_limit", source="unknown", sip="unspecified")
    turn.later(leg.time_limit_s, LegEnds(call_control_id=ours, ending=limit, only="answered"))
    if leg.talk_s is not None:
        bye = Ending(cause="normal_clearing", source=leg.far_side, sip="200")
        turn.later(leg.talk_s, LegEnds(call_control_id=ours, ending=bye, only="answered"))
    return leg


def _bridge(turn: Turn, leg: Leg, command: Bridge) -> bool:
    if command.call_control_id_to_bridge_with is None:
        raise refusals.not_possible("The simulator has no queues and no video rooms.")
    other = _live(turn, command.call_control_id_to_bridge_with)
    if other.call_control_id == leg.call_control_id:
        raise refusals.not_possible("A call cannot be bridged with itself.")
    if other.unanswered:
        raise refusals.call_not_answered()
    if leg.bridged_with == other.call_control_id:
        return True
    if command.prevent_double_bridge and other.bridged_with is not None:
        raise refusals.not_possible("The call is bridged already, and prevent_double_bridge is on.")
    parks = command.park_after_unbridge == "self" or bool(command.hold_after_unbridge)
    _join(turn, replace(leg, parks=parks), other)
    return False


def _join(turn: Turn, first: Leg, second: Leg) -> None:
    """Bridge two answered legs; whoever they were bridged with before is let go."""
    let_go = [leg.bridged_with for leg in (first, second) if leg.bridged_with is not None]
    pair = [
        turn.put(replace(leg, state=LegState.BRIDGED, bridged_with=other.call_control_id))
        for leg, other in ((first, second), (second, first))
    ]
    for leg in pair:
        turn.tell("call.bridged", leg)
    for call_control_id in let_go:
        _unbridge(turn, call_control_id)


def _unbridge(turn: Turn, call_control_id: str) -> None:
    """The other end of this leg's bridge is gone: it parks, or is hung up."""
    leg = turn.find(call_control_id)
    if leg is None or leg.ended:
        return
    leg = turn.put(replace(leg, state=LegState.ANSWERED, bridged_with=None))
    if not leg.parks:
        _end(turn, leg, Ending(cause="normal_clearing", source=leg.near_side, sip="200"))


def _end(turn: Turn, leg: Leg, ending: Ending) -> None:
    ended = turn.put(
        replace(leg, state=LegState.ENDED, ended_at=turn.now, ending=ending, bridged_with=None)
    )
    turn.tell("call.hangup", ended)
    if leg.bridged_with is not None:
        _unbridge(turn, leg.bridged_with)
    ringing = turn.find(leg.transfer_leg) if leg.transfer_leg else None
    if ringing is not None and ringing.unanswered:
        _end(turn, ringing, CANCELLED)


def _hung_up_by_command(leg: Leg) -> Ending:
    if leg.state is LegState.BRIDGING:
        return CANCELLED
    sip = "unspecified" if leg.state is LegState.PARKED else "200"
    return Ending(cause="normal_clearing", source=leg.near_side, sip=sip)


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


def _live(turn: Turn, call_control_id: str, pointer: str = "/call_control_id") -> Leg:
    leg = turn.find(call_control_id)
    if leg is None:
        raise refusals.call_unknown(pointer)
    if leg.ended:
        raise refusals.call_ended()
    return leg


def _hooks_of(command: WebhookTargets, before: Hooks) -> Hooks:
    """Where webhooks go from now on: what the command leaves out stays as it was."""
    policies = command.webhook_retries_policies
    return Hooks(
        url=command.webhook_url or before.url,
        method=command.webhook_url_method or before.method,
        urls=command.webhook_urls or before.urls,
        urls_method=command.webhook_urls_method or before.urls_method,
        retries_ms={
            event_type: policy.get("retries_ms", []) for event_type, policy in policies.items()
        }
        if policies
        else before.retries_ms,
    )


def _control_id(identities: Random) -> str:
    """As long and as opaque as the real ones."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return "v3:" + "".join(identities.choices(letters, k=54))
