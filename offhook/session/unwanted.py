"""A leg that nobody wants any more: its dial has failed, and the call it was for is over. Pure.

A dial without an answer may have been performed even so. If the call that it is linked to ends
meanwhile, it is recorded as failed with `maybe_performed`, and its leg, whose id nobody knows,
would ring and talk at somebody's expense. Its first webhook says which leg that is: `link_to` puts
it in the same session, and it has the dial's called number, connection and client_state.

If another command may have placed the leg, the flow decides.
"""

from collections.abc import Mapping
from typing import Any

from offhook.commands import Dial, Transfer
from offhook.events import CommandFailed, CommandSucceeded
from offhook.phone_numbers import number_key
from offhook.session import CommandState, Leg, Session


def dial_of_unwanted(leg: Leg, session: Session) -> CommandState | None:
    """The failed dial that placed the leg; None if it may be wanted, or was commanded already."""
    if leg.direction == "incoming" or leg.state == "ended" or not session.doubtful_commands:
        return None  # as nearly always: no need to go through all commands
    found: CommandState | None = None
    for state in session.commands.values():
        issued = state.issued
        if issued is None:
            continue
        if issued.call_control_id == leg.call_control_id:
            if state.status != "failed":
                return None
        elif issued.operation in _PLACING and _may_be_of(issued.parameters, leg):
            if _is_unwanted(state, session):
                found = state
            elif _may_have_placed(state, leg):
                return None
    return found


_PLACING = frozenset({Dial.operation, Transfer.operation})


def _may_be_of(parameters: Mapping[str, Any], leg: Leg) -> bool:
    """Whether a dial or transfer with these parameters can have placed the leg."""
    to = parameters["to"]
    called = [to] if isinstance(to, str) else to
    if leg.to is None or number_key(leg.to) not in map(number_key, called):
        return False
    client_state = parameters.get("target_leg_client_state")  # of a transfer
    if "connection_id" in parameters:  # of a dial
        client_state = parameters.get("client_state")
        if leg.connection_id not in (None, parameters["connection_id"]):
            return False
    return client_state is None or client_state == leg.client_state


def _is_unwanted(state: CommandState, session: Session) -> bool:
    failed, issued = state.outcome, state.issued
    assert issued is not None
    if not isinstance(failed, CommandFailed) or not failed.maybe_performed:
        return False
    if issued.operation != Dial.operation or "link_to" not in issued.parameters:
        return False
    linked = session.leg(issued.parameters["link_to"])
    is_over = linked is not None and linked.state == "ended"
    return is_over or failed.reason == "call_ended"


def _may_have_placed(state: CommandState, leg: Leg) -> bool:
    match state.outcome:
        case CommandFailed(maybe_performed=maybe_performed):
            return maybe_performed is not False
        case CommandSucceeded(answer={"data": {"call_control_id": str(placed)}}):
            return placed == leg.call_control_id
        case _:
            return True
