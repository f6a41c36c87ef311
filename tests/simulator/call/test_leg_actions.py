"""Client state, supervisor role and cost of a leg; and every command has a handler."""

from offhook.commands import (
    COMMANDS,
    Answer,
    Dial,
    Hangup,
    SwitchSupervisorRole,
    UpdateClientState,
)
from offhook.simulator.call import machine
from offhook.simulator.call.handlers import HANDLERS
from tests.simulator.calls import BYE, FRIEND, HELLO, OURS, Calls, error_code


def test_a_client_state_may_be_set_before_the_answer() -> None:
    calls = Calls()
    leg = calls.ring()
    calls.do(UpdateClientState(client_state=HELLO), leg)
    calls.do(Answer(), leg)
    calls.do(UpdateClientState(client_state=BYE), leg)
    calls.do(Hangup(), leg)
    states = [hook.payload["client_state"] for hook in calls.webhooks]
    assert states == [None, HELLO, BYE]


def test_only_a_supervising_leg_switches_its_role() -> None:
    calls = Calls()
    leg = calls.up()
    switch = SwitchSupervisorRole(role="whisper")
    assert error_code(calls, switch, leg) == "10027"
    supervisor = calls.dial(supervise_call_control_id=leg)
    calls.wait(1)
    calls.do(switch, supervisor)


def test_a_cost_comes_after_the_hangup_if_it_is_wanted() -> None:
    calls = Calls()
    changes = machine.handle_command(
        Dial(to=FRIEND, from_=OURS, connection_id="1"),
        None,
        calls.legs,
        calls.now,
        calls.ids,
        tells_cost=True,
    )
    leg = calls.take(changes)
    calls.wait(62)
    calls.do(Hangup(), leg)
    calls.wait(1)
    cost = calls.payload(leg, "call.cost")
    assert (cost["billed_duration_secs"], cost["total_cost"], cost["status"]) == (
        120,
        "0.0100",
        "success",
    )
    assert calls.events(leg)[-2:] == ["call.hangup", "call.cost"]


def test_every_typed_action_has_its_handler() -> None:
    assert set(HANDLERS) == set(COMMANDS.values()) - {Dial}
