"""Commands about the leg itself: reject, hangup, bridge, refer, and what changes no audio.

Each handler returns whether the leg had been commanded the same before.
"""

from dataclasses import replace

from offhook.commands import (
    Bridge,
    Hangup,
    Refer,
    Reject,
    SendSipInfo,
    SwitchSupervisorRole,
    UpdateClientState,
)
from offhook.simulator.call.endings import bridge_legs, end_leg, hangup_ending
from offhook.simulator.call.features import queues, recording
from offhook.simulator.call.legs import Ending, SimulatedLeg
from offhook.simulator.call.numbers import ANSWER_AFTER_S, Refuses, StaysSilent, far_end_of
from offhook.simulator.call.transition import Transition
from offhook.simulator.call.triggers import ReferSettles
from offhook.simulator.errors import call_errors

_REJECTIONS = {
    "CALL_REJECTED": Ending(cause="call_rejected", source="callee", sip="603"),
    "USER_BUSY": Ending(cause="user_busy", source="callee", sip="486"),
    "NOT_FOUND": Ending(cause="not_found", source="callee", sip="404"),
    "TEMPORARILY_UNAVAILABLE": Ending(cause="unspecified", source="callee", sip="480"),
}


def reject(transition: Transition, leg: SimulatedLeg, command: Reject) -> bool:
    """End an unanswered incoming leg with the given cause. Raises CarrierError (10027)."""
    if leg.direction == "outgoing" or not leg.unanswered:
        raise call_errors.not_possible("Only an unanswered incoming call can be rejected.")
    end_leg(transition, leg, _REJECTIONS[command.cause])
    return False


def hang_up(transition: Transition, leg: SimulatedLeg, _: Hangup) -> bool:
    """End the leg."""
    end_leg(transition, leg, hangup_ending(leg))
    return False


def bridge(transition: Transition, leg: SimulatedLeg, command: Bridge) -> bool:
    """Bridge two answered legs; repeated if they are bridged with each other."""
    if command.video_room_id is not None:
        raise call_errors.not_possible("The simulator has no video rooms.")
    if command.queue is not None:
        other = _first_in(transition, command.queue)
    else:
        other = transition.live_leg(command.call_control_id_to_bridge_with or "")
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
    leg = recording.begin_recording(
        transition, leg, recording.requested_recording(transition, command)
    )
    parks = command.park_after_unbridge == "self" or bool(command.hold_after_unbridge)
    bridge_legs(transition, replace(leg, parks=parks), other)
    return False


def _first_in(transition: Transition, queue: str) -> SimulatedLeg:
    waiting = queues.waiting_in(transition, queue)
    if not waiting:
        raise call_errors.not_possible(f"No call waits in the queue {queue!r}.")
    return waiting[0]


def refer(transition: Transition, leg: SimulatedLeg, command: Refer) -> bool:
    """Refer the leg, with the outcome 1 s later; repeated for the same address."""
    repeated = leg.referred_to == command.sip_address
    leg = transition.put(replace(leg, referred_to=command.sip_address))
    transition.emit("call.refer.started", leg, sip_notify_response=100)
    far_end = far_end_of(command.sip_address)
    response = int(far_end.ending.sip) if isinstance(far_end, Refuses) else 200
    settled = ReferSettles(
        call_control_id=leg.call_control_id,
        sip_response=408 if isinstance(far_end, StaysSilent) else response,
    )
    transition.schedule(ANSWER_AFTER_S, settled)
    return repeated


def send_sip_info(transition: Transition, leg: SimulatedLeg, _: SendSipInfo) -> bool:
    """Send call.sip_info.received to the other leg of a bridge; without one, nothing."""
    other = transition.find(leg.bridged_with) if leg.bridged_with else None
    if other is not None:
        transition.emit("call.sip_info.received", other)
    return False


def update_client_state(
    transition: Transition, leg: SimulatedLeg, command: UpdateClientState
) -> bool:
    """Set the client state, on an unanswered leg too."""
    transition.put(replace(leg, client_state=command.client_state))
    return False


def switch_supervisor_role(
    _transition: Transition, leg: SimulatedLeg, _: SwitchSupervisorRole
) -> bool:
    """Nothing to do on a supervising leg. Raises CarrierError (10027) on any other."""
    if leg.supervises is None:
        raise call_errors.not_possible("The call does not supervise another one.")
    return False
