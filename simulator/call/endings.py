"""Ends and bridges of legs: what happens to the other leg, and to all that went on.

An end first stops what went on on the leg (gather, sounds, streams, queue, …), each told with the
reason, then sends call.hangup, and lets go of the leg it was bridged with: that parks, or is hung
up too. Recordings, and the cost if the application wants it, are told after the hangup.
"""

from dataclasses import replace
from typing import Any

from offhook.simulator.call.features.assistants import release_conversation
from offhook.simulator.call.features.conferences import leave
from offhook.simulator.call.features.gathering import release_gathering
from offhook.simulator.call.features.media import release_media
from offhook.simulator.call.features.queues import dequeue
from offhook.simulator.call.features.recording import release_recordings
from offhook.simulator.call.features.sounds import release_sounds
from offhook.simulator.call.legs import Ending, Leg, LegState, stamp
from offhook.simulator.call.steps import EventDue
from offhook.simulator.call.transition import Turn

CANCELLED = Ending(cause="originator_cancel", source="caller", sip="487")
LOST = Ending(cause="unspecified", source="unknown", sip="unspecified")
"""The carrier itself forgot the call: the simulator was started again."""
COST_AFTER_S = 1.0
BILLED_STEP_S = 60
RATE_PER_MINUTE_CENTS = 0.5


def end(turn: Turn, leg: Leg, ending: Ending) -> None:
    partner = leg.bridged_with
    leg = release_gathering(turn, leg, because="call_hangup")
    leg = release_sounds(turn, leg, because="call_hangup")
    leg = release_conversation(turn, leg)
    leg = dequeue(turn, leg, because="hangup")
    leg = release_media(turn, leg)
    leg = turn.put(
        replace(leg, state=LegState.ENDED, ended_at=turn.now, ending=ending, bridged_with=None)
    )
    turn.tell("call.hangup", leg)
    leg = release_recordings(turn, leg)
    leg = leave(turn, leg)
    if leg.tells_cost:
        turn.later(COST_AFTER_S, _cost(turn, leg))
    if partner is not None:
        unbridge(turn, partner)
    placed = leg.transfer_leg
    while placed is not None and (ringing := turn.find(placed)) is not None:
        if ringing.unanswered:
            end(turn, ringing, CANCELLED)
        placed = ringing.placed_after


def join(turn: Turn, first: Leg, second: Leg) -> None:
    """Bridge two answered legs: they leave their queues, and whom they were bridged with before.

    Whether `first` parks afterwards is said by what bridges it; what the second one's old bridge
    said of that counts no more.
    """
    second = replace(second, parks=second.parks and second.bridged_with is None)
    first, second = (dequeue(turn, leg, because="bridged") for leg in (first, second))
    let_go = [leg.bridged_with for leg in (first, second) if leg.bridged_with is not None]
    pair = [
        turn.put(replace(leg, state=LegState.BRIDGED, bridged_with=other.call_control_id))
        for leg, other in ((first, second), (second, first))
    ]
    for leg in pair:
        turn.tell("call.bridged", leg)
    for call_control_id in let_go:
        unbridge(turn, call_control_id)


def unbridge(turn: Turn, call_control_id: str) -> None:
    """The other end of this leg's bridge is gone: it parks, or is hung up."""
    leg = turn.find(call_control_id)
    if leg is None or leg.ended:
        return
    parks = leg.parks  # this once: the next bridge has its own word
    leg = turn.put(replace(leg, state=LegState.ANSWERED, bridged_with=None, parks=False))
    if not parks:
        end(turn, leg, Ending(cause="normal_clearing", source=leg.near_side, sip="200"))


def hung_up_by_command(leg: Leg) -> Ending:
    if leg.state is LegState.BRIDGING:
        return CANCELLED
    sip = "unspecified" if leg.state is LegState.PARKED else "200"
    return Ending(cause="normal_clearing", source=leg.near_side, sip=sip)


def _cost(turn: Turn, leg: Leg) -> EventDue:
    """Begun minutes at half a cent; the shape is the documents', the price is ours."""
    talked_s = (turn.now - leg.answered_at).total_seconds() if leg.answered_at else 0.0
    minutes = -(-int(talked_s) // BILLED_STEP_S)
    billed_s = minutes * BILLED_STEP_S
    cost = f"{minutes * RATE_PER_MINUTE_CENTS / 100:.4f}"
    part = {
        "billed_duration_secs": billed_s,
        "call_part": "call-control",
        "cost": cost,
        "currency": "USD",
        "rate": f"{RATE_PER_MINUTE_CENTS / 100:.4f}",
    }
    more: dict[str, Any] = {
        "billed_duration_secs": billed_s,
        "billing_group_id": None,
        "cost_parts": [part],
        "occurred_at": stamp(turn.now),
        "status": "success",
        "total_cost": cost,
    }
    return EventDue(
        call_control_id=leg.call_control_id, event_type="call.cost", more=more, outlives=True
    )
