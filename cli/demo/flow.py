"""The demo's flow: answers, connects the caller, and hangs up when that fails.

Webhooks arrive in any order, so it decides by the state of the call and not by which event arrived
when. Numbers that end in an odd digit are transferred, even ones are dialled and bridged.
"""

from collections.abc import Sequence

from offhook.commands import Answer, Bridge, Command, Dial, Hangup, Reject, Transfer
from offhook.events import CallAnswered, CallHangup, CallInitiated, CommandFailed, Event
from offhook.flow import Flow
from offhook.session import Leg, Session

BLOCKED_CALLER = "+12025550166"
STAFF = {
    "+12025550101": "+12025550121",
    "+12025550102": "+12025550122",
    "+12025550103": "+12025550186",  # busy
    "+12025550104": "+12025550188",  # never answers
}
RING_S = 20


def decide(event: Event, session: Session) -> Sequence[Command]:
    """The commands for the caller, or for a call that the API placed."""
    caller = session.caller
    if caller is None:
        return _after_outbound(event)
    if caller.state == "ended":
        return [Hangup(call_control_id=each) for each in _left_alone(session)]
    match event:
        case CallInitiated() | CallAnswered() if event.call_control_id == caller.call_control_id:
            return _receive(caller, session)
        case CallAnswered() if caller.state == "answered" and not session.was_asked("transfer"):
            staff = event.call_control_id
            return [
                Bridge(call_control_id=caller.call_control_id, call_control_id_to_bridge_with=staff)
            ]
        case CallHangup() | CommandFailed() if caller.state == "answered" and not session.was_asked(
            "hangup"
        ):
            # The far end is busy, does not answer, or hung up before the two were connected.
            return [Hangup(call_control_id=caller.call_control_id)]
        case _:
            return []


def _receive(caller: Leg, session: Session) -> Sequence[Command]:
    match caller.state:
        case "initiated" if caller.from_ == BLOCKED_CALLER:
            return [Reject(cause="USER_BUSY")]
        case "initiated" if not session.was_asked("answer"):
            return [Answer()]
        case "answered" if not (session.was_asked("transfer") or session.was_asked("dial")):
            return [_connect(caller)]
        case _:
            return []


def _connect(caller: Leg) -> Command:
    number = caller.to or ""
    staff = STAFF.get(number, "+12025550121")
    if number[-1:] in "13579":
        return Transfer(to=staff, timeout_secs=RING_S)
    return Dial(
        to=staff,
        from_=number,
        connection_id=caller.connection_id or "",
        link_to=caller.call_control_id,
        timeout_secs=RING_S,
    )


def _after_outbound(event: Event) -> Sequence[Command]:
    """Hang up a call that an application placed once it is answered."""
    return [Hangup()] if isinstance(event, CallAnswered) else []


def _left_alone(session: Session) -> list[str]:
    """Legs that were dialled for a caller who has hung up; bridged ones end by themselves."""
    return [
        leg.call_control_id
        for leg in session.legs.values()
        if leg.direction != "incoming" and leg.state in ("initiated", "answered")
    ]


demo = Flow(name="demo", version="2026-11-22", decide=decide)
