"""Ends and bridges of legs, with their effects on other legs and on what is running.

The end of a leg first stops what is running on it (gather, sounds, streams, queue, …), each with
its event and reason; then it emits call.hangup and unbridges the other leg, which parks or is hung
up too. Recordings, and the cost if the application wants it, are reported after the hangup.
"""

from dataclasses import replace

from offhook.simulator.call.features.assistants import end_conversation
from offhook.simulator.call.features.conferences import leave
from offhook.simulator.call.features.gathering import end_gathering
from offhook.simulator.call.features.media import end_media
from offhook.simulator.call.features.queues import dequeue
from offhook.simulator.call.features.recording import end_recordings
from offhook.simulator.call.features.sounds import end_sounds
from offhook.simulator.call.legs import Ending, SimulatedLeg, SimulatedLegState
from offhook.simulator.call.transition import Transition
from offhook.simulator.call.triggers import LegEnds
from offhook.simulator.timestamps import iso_microseconds

CANCELLED = Ending(cause="originator_cancel", source="caller", sip="487")
LOST = Ending(cause="unspecified", source="unknown", sip="unspecified")
"""The call was lost when the simulator was killed; sent when it starts again."""
COST_AFTER_S = 1.0
BILLED_STEP_S = 60
RATE_PER_MINUTE_CENTS = 0.5


def end_leg(transition: Transition, leg: SimulatedLeg, ending: Ending) -> None:
    """End a leg, unbridge its partner, and cancel the legs that its transfers still ring."""
    partner = leg.bridged_with
    leg = end_gathering(transition, leg, reason="call_hangup")
    leg = end_sounds(transition, leg, reason="call_hangup")
    leg = end_conversation(transition, leg)
    leg = dequeue(transition, leg, reason="hangup")
    leg = end_media(transition, leg)
    leg = transition.put(
        replace(
            leg,
            state=SimulatedLegState.ENDED,
            ended_at=transition.now,
            ending=ending,
            bridged_with=None,
        )
    )
    transition.emit("call.hangup", leg)
    leg = end_recordings(transition, leg)
    leg = leave(transition, leg)
    if leg.tells_cost:
        _schedule_cost(transition, leg)
    if partner is not None:
        unbridge(transition, partner)
    placed = leg.transfer_leg
    while placed is not None and (ringing := transition.find(placed)) is not None:
        if ringing.unanswered:
            end_leg(transition, ringing, CANCELLED)
        placed = ringing.placed_after


def bridge_legs(transition: Transition, first: SimulatedLeg, second: SimulatedLeg) -> None:
    """Bridge two answered legs, which leave their queues and earlier bridges.

    The caller has set whether `first` parks when the bridge ends. For `second`, a `parks` that
    belonged to an earlier bridge is cleared.
    """
    second = replace(second, parks=second.parks and second.bridged_with is None)
    first, second = (dequeue(transition, leg, reason="bridged") for leg in (first, second))
    old_partners = [leg.bridged_with for leg in (first, second) if leg.bridged_with is not None]
    pair = [
        transition.put(
            replace(leg, state=SimulatedLegState.BRIDGED, bridged_with=other.call_control_id)
        )
        for leg, other in ((first, second), (second, first))
    ]
    for leg in pair:
        transition.emit("call.bridged", leg)
    for call_control_id in old_partners:
        unbridge(transition, call_control_id)


def unbridge(transition: Transition, call_control_id: str) -> None:
    """The partner of this leg has left the bridge: the leg parks, or is hung up."""
    leg = transition.find(call_control_id)
    if leg is None or leg.ended:
        return
    parks = leg.parks  # for this bridge only
    leg = transition.put(
        replace(leg, state=SimulatedLegState.ANSWERED, bridged_with=None, parks=False)
    )
    if not parks:
        end_leg(transition, leg, Ending(cause="normal_clearing", source=leg.near_side, sip="200"))


def hangup_ending(leg: SimulatedLeg) -> Ending:
    """How a leg ends that is hung up by a command."""
    if leg.state is SimulatedLegState.BRIDGING:
        return CANCELLED
    sip = "unspecified" if leg.state is SimulatedLegState.PARKED else "200"
    return Ending(cause="normal_clearing", source=leg.near_side, sip=sip)


def party_hangs_up(leg: SimulatedLeg) -> LegEnds:
    """The party of an answered leg hangs up, or a caller before the answer."""
    ours = leg.call_control_id
    if leg.unanswered:
        return LegEnds(call_control_id=ours, ending=CANCELLED, only="unanswered")
    bye = Ending(cause="normal_clearing", source=leg.far_side, sip="200")
    return LegEnds(call_control_id=ours, ending=bye, only="answered")


def _schedule_cost(transition: Transition, leg: SimulatedLeg) -> None:
    """Half a cent for each minute begun. The shape is documented, the price is made up."""
    talked_s = (transition.now - leg.answered_at).total_seconds() if leg.answered_at else 0.0
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
    transition.schedule_event(
        COST_AFTER_S,
        "call.cost",
        leg,
        outlives=True,
        billed_duration_secs=billed_s,
        billing_group_id=None,
        cost_parts=[part],
        occurred_at=iso_microseconds(transition.now),
        status="success",
        total_cost=cost,
    )
