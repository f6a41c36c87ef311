"""Queues: enqueue, leave_queue, and who is first in one.

A queue is the legs that wait in it: it begins with the first and ends with the last. Its greatest
size is what the newest enqueue says. `keep_after_hangup` is not acted on: an ended leg is dequeued.
"""

from dataclasses import replace

from offhook.commands import Enqueue, LeaveQueue
from offhook.simulator.call.activities import Waiting
from offhook.simulator.call.legs import Leg
from offhook.simulator.call.steps import QueueTimesOut
from offhook.simulator.call.transition import Turn
from offhook.simulator.errors import call_errors
from offhook.telnyx.defaults import DEFAULTS

SIZE_MAX: int = DEFAULTS["enqueue"]["max_size"]
# No default is told; this is the example of developers.telnyx.com, api-reference of `enqueue`.
WAIT_S_MAX = 600


def enqueue(turn: Turn, leg: Leg, command: Enqueue) -> bool:
    if leg.waiting is not None:
        raise call_errors.in_queue_already()
    before = waiting_in(turn, command.queue_name)
    if len(before) >= (command.max_size or SIZE_MAX):
        raise call_errors.queue_full()
    leg = turn.put(replace(leg, waiting=Waiting(queue=command.queue_name, since=turn.now)))
    waits_s = [
        (turn.now - other.waiting.since).total_seconds() for other in before if other.waiting
    ]
    turn.tell(
        "call.enqueued",
        leg,
        queue=command.queue_name,
        current_position=len(before) + 1,
        queue_avg_wait_time_secs=int(sum(waits_s) / len(waits_s)) if waits_s else 0,
    )
    timeout = QueueTimesOut(call_control_id=leg.call_control_id, since=turn.now)
    turn.later(command.max_wait_time_secs or WAIT_S_MAX, timeout)
    return False


def leave_queue(turn: Turn, leg: Leg, _: LeaveQueue) -> bool:
    if leg.waiting is None:
        raise call_errors.not_in_queue()
    dequeue(turn, leg, because="leave")
    return False


def queue_times_out(turn: Turn, leg: Leg, timeout: QueueTimesOut) -> None:
    if leg.waiting is not None and leg.waiting.since == timeout.since:
        dequeue(turn, leg, because="timeout")


def dequeue(turn: Turn, leg: Leg, *, because: str) -> Leg:
    """Take a leg out of its queue, if it waits in one."""
    if (waiting := leg.waiting) is None:
        return leg
    order = [other.call_control_id for other in waiting_in(turn, waiting.queue)]
    leg = turn.put(replace(leg, waiting=None))
    turn.tell(
        "call.dequeued",
        leg,
        queue=waiting.queue,
        queue_position=order.index(leg.call_control_id) + 1,
        reason=because,
        wait_time_secs=int((turn.now - waiting.since).total_seconds()),
    )
    return leg


def waiting_in(turn: Turn, queue: str) -> list[Leg]:
    """The legs of a queue, the first in it first."""
    legs = [
        (leg.waiting.since, leg)
        for leg in turn.live_legs()
        if leg.waiting is not None and leg.waiting.queue == queue
    ]
    return [leg for _, leg in sorted(legs, key=lambda one: one[0])]
