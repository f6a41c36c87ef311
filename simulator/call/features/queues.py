"""Queues: enqueue, leave_queue, and the order of waiting legs.

A queue is the set of legs that wait in it: it exists from the first to the last. Its maximum size
is that of the newest enqueue. `keep_after_hangup` has no effect: an ended leg is dequeued.
"""

from dataclasses import replace

from offhook.commands import Enqueue, LeaveQueue
from offhook.commands.defaults import DEFAULTS
from offhook.simulator.call.activities import QueueWait
from offhook.simulator.call.legs import SimulatedLeg
from offhook.simulator.call.transition import Transition
from offhook.simulator.call.triggers import QueueTimesOut
from offhook.simulator.errors import call_errors

SIZE_MAX: int = DEFAULTS["enqueue"]["max_size"]
# No default is documented; this is the example of developers.telnyx.com, api-reference `enqueue`.
WAIT_S_MAX = 600


def enqueue(transition: Transition, leg: SimulatedLeg, command: Enqueue) -> bool:
    """Put the leg at the end of a queue. Raises CarrierError (90036, 90038)."""
    if leg.waiting is not None:
        raise call_errors.in_queue_already()
    before = waiting_in(transition, command.queue_name)
    if len(before) >= (command.max_size or SIZE_MAX):
        raise call_errors.queue_full()
    leg = transition.put(
        replace(leg, waiting=QueueWait(queue=command.queue_name, since=transition.now))
    )
    waits_s = [
        (transition.now - other.waiting.since).total_seconds() for other in before if other.waiting
    ]
    transition.emit(
        "call.enqueued",
        leg,
        queue=command.queue_name,
        current_position=len(before) + 1,
        queue_avg_wait_time_secs=int(sum(waits_s) / len(waits_s)) if waits_s else 0,
    )
    timeout = QueueTimesOut(call_control_id=leg.call_control_id, since=transition.now)
    transition.schedule(command.max_wait_time_secs or WAIT_S_MAX, timeout)
    return False


def leave_queue(transition: Transition, leg: SimulatedLeg, _: LeaveQueue) -> bool:
    """Take the leg out of its queue. Raises CarrierError (90035)."""
    if leg.waiting is None:
        raise call_errors.not_in_queue()
    dequeue(transition, leg, reason="leave")
    return False


def queue_times_out(transition: Transition, leg: SimulatedLeg, timeout: QueueTimesOut) -> None:
    """Take the leg out of its queue, if it still is the same wait."""
    if leg.waiting is not None and leg.waiting.since == timeout.since:
        dequeue(transition, leg, reason="timeout")


def dequeue(transition: Transition, leg: SimulatedLeg, *, reason: str) -> SimulatedLeg:
    """Take a leg out of its queue, if it is in one."""
    if (waiting := leg.waiting) is None:
        return leg
    order = [other.call_control_id for other in waiting_in(transition, waiting.queue)]
    leg = transition.put(replace(leg, waiting=None))
    transition.emit(
        "call.dequeued",
        leg,
        queue=waiting.queue,
        queue_position=order.index(leg.call_control_id) + 1,
        reason=reason,
        wait_time_secs=int((transition.now - waiting.since).total_seconds()),
    )
    return leg


def waiting_in(transition: Transition, queue: str) -> list[SimulatedLeg]:
    """The legs in a queue, the longest wait first."""
    legs = [
        (leg.waiting.since, leg)
        for leg in transition.live_legs()
        if leg.waiting is not None and leg.waiting.queue == queue
    ]
    return [leg for _, leg in sorted(legs, key=lambda one: one[0])]
