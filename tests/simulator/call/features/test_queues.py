"""Queues: their order, and every way to leave one."""

from offhook.commands import (
    Bridge,
    Enqueue,
    Hangup,
    LeaveQueue,
    Transfer,
)
from tests.simulator.calls import FRIEND, Calls, error_code


def test_a_queue_is_left_in_order_by_a_bridge() -> None:
    calls = Calls()
    first, second, agent = calls.up(), calls.up(), calls.up()
    calls.do(Enqueue(queue_name="support"), first)
    calls.wait(4)
    calls.do(Enqueue(queue_name="support"), second)
    told = calls.payload(second, "call.enqueued")
    assert (told["current_position"], told["queue_avg_wait_time_secs"]) == (2, 4)
    calls.wait(6)
    calls.do(Bridge(queue="support"), agent)
    left = calls.payload(first, "call.dequeued")
    assert (left["reason"], left["wait_time_secs"], left["queue_position"]) == ("bridged", 10, 1)
    assert calls.legs[agent].bridged_with == first
    assert calls.events(second)[-1] == "call.enqueued"


def test_a_transfer_that_is_answered_takes_the_call_out_of_its_queue() -> None:
    calls = Calls()
    leg = calls.up()
    calls.do(Enqueue(queue_name="support"), leg)
    calls.do(Transfer(to=FRIEND), leg)
    assert calls.events(leg)[-1] == "call.enqueued"
    calls.wait(1)
    assert calls.events(leg)[-2:] == ["call.dequeued", "call.bridged"]


def test_a_wait_ends_by_leaving_by_its_timeout_or_by_the_hangup() -> None:
    calls = Calls()
    legs = [calls.up() for _ in range(3)]
    for leg in legs:
        calls.do(Enqueue(queue_name="q", max_wait_time_secs=20), leg)
    calls.do(LeaveQueue(), legs[0])
    calls.do(Hangup(), legs[1])
    calls.wait(30)
    reasons = [calls.payload(leg, "call.dequeued")["reason"] for leg in legs]
    assert reasons == ["leave", "hangup", "timeout"]


def test_what_a_queue_does_not_allow_is_refused() -> None:
    calls = Calls()
    leg, other = calls.up(), calls.up()
    assert error_code(calls, LeaveQueue(), leg) == "90035"
    assert error_code(calls, Bridge(queue="q"), leg) == "10027"
    calls.do(Enqueue(queue_name="q"), leg)
    assert error_code(calls, Enqueue(queue_name="other"), leg) == "90038"
    assert error_code(calls, Enqueue(queue_name="q", max_size=1), other) == "90036"
