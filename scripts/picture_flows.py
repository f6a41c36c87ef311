"""The flows of the calls in the console's pictures, beside those in `examples/`."""

from offhook import (
    Answer,
    CallSpeakEnded,
    CommandFailed,
    Enqueue,
    Event,
    Flow,
    Hangup,
    Order,
    Session,
    SetTimer,
    Speak,
    TimerFired,
    Transfer,
)

SUPPORT, BILLING, DESK = "+12025550102", "+12025550103", "+12025550104"
BUSY = "+12025550186"
ACCOUNTS = {"+12025550110": "gold", "+12025550111": "silver"}


def queue(event: Event, session: Session) -> list[Order]:
    """Support: a queue, and an apology after a while."""
    caller, asked = session.caller, session.was_asked
    if caller is None or caller.state == "ended":
        return []
    leg = caller.call_control_id
    if caller.state == "initiated":
        return [] if asked("answer") else [Answer(call_control_id=leg)]
    if not asked("enqueue"):
        wait = SetTimer(name="patience", after_s=300)
        return [Enqueue(call_control_id=leg, queue_name="support"), wait]
    if isinstance(event, TimerFired) and not asked("hangup"):
        return [Hangup(call_control_id=leg)]
    return []


def welcome(event: Event, session: Session) -> list[Order]:
    """Billing: raises for a caller without an account, so that a session is parked."""
    caller, asked = session.caller, session.was_asked
    if caller is None or caller.state == "ended":
        return []
    leg, tier = caller.call_control_id, ACCOUNTS[caller.from_ or ""]
    if caller.state == "initiated":
        return [] if asked("answer") else [Answer(call_control_id=leg)]
    if not asked("speak"):
        return [Speak(call_control_id=leg, payload=f"Welcome, {tier} customer.", voice="female")]
    if isinstance(event, CallSpeakEnded) and not asked("hangup"):
        return [Hangup(call_control_id=leg)]
    return []


def transfer(event: Event, session: Session) -> list[Order]:
    """The front desk, which is busy: the caller hears an apology."""
    caller, asked = session.caller, session.was_asked
    if caller is None or caller.state == "ended":
        return []
    leg = caller.call_control_id
    if isinstance(event, CommandFailed | CallSpeakEnded):
        return [] if asked("hangup") else [Hangup(call_control_id=leg)]
    if caller.state == "initiated":
        return [] if asked("answer") else [Answer(call_control_id=leg)]
    if not asked("transfer"):
        return [Transfer(call_control_id=leg, to=BUSY)]
    if any(each.state == "ended" for each in session.legs.values()) and not asked("speak"):
        sorry = "Nobody can take your call. Please try again later."
        return [Speak(call_control_id=leg, payload=sorry, voice="female")]
    return []


support = Flow(name="support", version="3", decide=queue, numbers=frozenset({SUPPORT}))
billing = Flow(name="billing", version="7", decide=welcome, numbers=frozenset({BILLING}))
frontdesk = Flow(name="frontdesk", version="1", decide=transfer, numbers=frozenset({DESK}))
