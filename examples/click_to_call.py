"""Click to call: the application dials the agent; who answers is connected with the customer.

POST /v2/calls  {"to": agent, "from": …, "connection_id": …,
                 "client_state": client_state(ClickToCall(customer="+12025550124"))}
"""

from dataclasses import dataclass

from offhook.client_state import state_of
from offhook.commands import Bridge, Dial, Hangup
from offhook.events import CommandFailed, Event
from offhook.flow import Flow, Order
from offhook.session import Session
from offhook.unbridge import hung_up_after_unbridge

RING_S = 30


@dataclass(frozen=True, kw_only=True)
class ClickToCall:
    """What the agent's leg carries: whom to call."""

    customer: str


def decide(event: Event, session: Session) -> list[Order]:
    legs = list(session.legs.values())
    agent = next((leg for leg in legs if state_of(ClickToCall, leg)), None)
    customer = next((leg for leg in legs if leg is not agent), None)
    told = state_of(ClickToCall, agent)
    if agent is None or told is None:
        return []
    if isinstance(event, CommandFailed) or any(leg.state == "ended" for leg in legs):
        # Bridged legs end together; one that is alone is let go, each once: a customer may be heard
        # of long after the dial was given up.
        asked = [state.issued for state in session.commands.values() if state.issued is not None]
        let_go = {one.call_control_id for one in asked if one.operation == Hangup.operation}
        alone = [leg for leg in legs if leg.state in ("initiated", "answered")]
        return [
            Hangup(call_control_id=leg.call_control_id)
            for leg in alone
            if leg.call_control_id not in let_go
        ]
    if agent.state == "answered" and not session.was_asked("dial"):
        dial = Dial(
            to=told.customer,
            from_=agent.from_ or "",
            connection_id=agent.connection_id or "",
            link_to=agent.call_control_id,
            timeout_secs=RING_S,
        )
        return [dial]
    if customer is None or customer.state != "answered" or session.was_asked("bridge"):
        return []
    bridge = Bridge(
        call_control_id=agent.call_control_id,
        call_control_id_to_bridge_with=customer.call_control_id,
    )
    return [hung_up_after_unbridge(bridge)]


click_to_call = Flow(name="click-to-call", version="1", decide=decide)
