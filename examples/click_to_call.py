"""Click to call: the application dials the agent; once they answer, the flow dials the customer.

POST /v2/calls  {"to": agent, "from": …, "connection_id": …,
                 "answering_machine_detection": "premium",
                 "client_state": client_state(ClickToCall(customer="+12025550124"))}

If a machine or a fax answers on either side, the call ends. If the detection gives no result, a
party counts as a person DETECTION_S after it answered. The agent hears CALLING until the customer
answers.
"""

from dataclasses import dataclass

from offhook import (
    Bridge,
    CommandFailed,
    Dial,
    Event,
    Flow,
    Hangup,
    Leg,
    Order,
    Session,
    SetTimer,
    Speak,
    StopPlayback,
    TimerFired,
    hung_up_after_unbridge,
    state_of,
)

RING_S = 30
DETECTION_S = 4.0  # the carrier's own detection takes at most 3.5 s
MACHINES = ("machine", "fax_detected")
VOICE = "AWS.Polly.Joanna"
CALLING = "Calling your customer. Please hold the line."


@dataclass(frozen=True, kw_only=True)
class ClickToCall:
    """The `client_state` of the agent's leg: whom to call."""

    customer: str


def decide(event: Event, session: Session) -> list[Order]:
    legs = list(session.legs.values())
    agent = next((leg for leg in legs if state_of(ClickToCall, leg)), None)
    customer = next((leg for leg in legs if leg is not agent), None)
    request = state_of(ClickToCall, agent)
    if agent is None or request is None:
        return []
    if _is_over(event, legs):
        return _hang_up_lone_legs(session, legs)
    if agent.state == "answered" and not session.was_asked("dial"):
        if not _is_person(agent, event, timer="agent"):
            return _wait(session, "agent")
        return _call(request.customer, agent)
    if customer is None or customer.state != "answered" or session.was_asked("bridge"):
        return []
    if not _is_person(customer, event, timer="customer"):
        return _wait(session, "customer")
    bridge = Bridge(
        call_control_id=agent.call_control_id,
        call_control_id_to_bridge_with=customer.call_control_id,
    )
    stop_calling = StopPlayback(call_control_id=agent.call_control_id)
    return [stop_calling, hung_up_after_unbridge(bridge)]


def _is_over(event: Event, legs: list[Leg]) -> bool:
    if isinstance(event, CommandFailed) and event.operation in ("dial", "bridge"):
        return True
    return any(leg.state == "ended" or leg.machine_detection in MACHINES for leg in legs)


def _hang_up_lone_legs(session: Session, legs: list[Leg]) -> list[Order]:
    """Hang up each leg that is alone, once: bridged legs end together.

    The customer's leg may appear long after its dial was given up.
    """
    asked = [state.issued for state in session.commands.values() if state.issued is not None]
    hung_up = {one.call_control_id for one in asked if one.operation == Hangup.operation}
    alone = [leg for leg in legs if leg.state in ("initiated", "answered")]
    return [
        Hangup(call_control_id=leg.call_control_id)
        for leg in alone
        if leg.call_control_id not in hung_up
    ]


def _is_person(leg: Leg, event: Event, *, timer: str) -> bool:
    """Whether the party counts as a person: a detection result, or none in time."""
    if isinstance(event, TimerFired):
        return event.name == timer
    return leg.machine_detection is not None


def _wait(session: Session, timer: str) -> list[Order]:
    return [] if timer in session.timers else [SetTimer(name=timer, after_s=DETECTION_S)]


def _call(customer: str, agent: Leg) -> list[Order]:
    leg = agent.call_control_id
    dial = Dial(
        to=customer,
        from_=agent.from_ or "",
        connection_id=agent.connection_id or "",
        link_to=leg,
        timeout_secs=RING_S,
        answering_machine_detection="premium",
    )
    return [Speak(call_control_id=leg, payload=CALLING, voice=VOICE, loop="infinity"), dial]


click_to_call = Flow(name="click-to-call", version="2", decide=decide)
