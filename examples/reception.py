"""Reception: a menu, a transfer to the chosen desk, and a mailbox if nobody answers."""

from offhook import (
    Answer,
    CallGatherEnded,
    CallSpeakEnded,
    CommandFailed,
    Event,
    Flow,
    GatherUsingSpeak,
    Hangup,
    Order,
    Session,
    SetTimer,
    Speak,
    StartRecording,
    TimerFired,
    Transfer,
    hung_up_after_unbridge,
)

DESKS = {"1": "+12025550121", "2": "+12025550122"}
RING_S = 20
CHOICE_MS = 5000  # after the menu; the carrier's default is 60 s of silence
MESSAGE_S = 60.0
VOICE = "AWS.Polly.Joanna"
MENU = "Welcome. Press 1 for sales, 2 for support, or wait to leave a message."
MAILBOX = "Nobody can take your call. Please leave a message."


def decide(event: Event, session: Session) -> list[Order]:
    caller, asked = session.caller, session.was_asked
    if caller is None or caller.state == "ended":
        return []
    leg, keys = caller.call_control_id, caller.gathered
    match event:
        case CallSpeakEnded() if asked("speak") and not asked("record_start"):
            tape = StartRecording(call_control_id=leg, channels="single", format="mp3")
            return [tape, SetTimer(name="message", after_s=MESSAGE_S)]
        case TimerFired() if not asked("hangup"):
            return [Hangup(call_control_id=leg)]
        case CommandFailed(operation=operation) if operation != "transfer":
            return [] if asked("hangup") else [Hangup(call_control_id=leg)]
    if caller.state == "initiated":
        return [] if asked("answer") else [Answer(call_control_id=leg)]
    if not asked("gather_using_speak"):
        return [_menu(leg)]
    if not isinstance(keys, CallGatherEnded) or keys.status == "call_hangup" or asked("speak"):
        return []
    desk = DESKS.get(keys.digits or "")
    if desk is not None and not asked("transfer"):
        transfer = Transfer(call_control_id=leg, to=desk, timeout_secs=RING_S)
        return [hung_up_after_unbridge(transfer)]
    if desk is None or isinstance(event, CommandFailed) or _nobody_answered(session):
        return [Speak(call_control_id=leg, payload=MAILBOX, voice=VOICE)]
    return []


def _menu(leg: str) -> Order:
    return GatherUsingSpeak(
        call_control_id=leg,
        payload=MENU,
        voice=VOICE,
        valid_digits="12",
        maximum_digits=1,
        maximum_tries=1,
        timeout_millis=CHOICE_MS,
    )


def _nobody_answered(session: Session) -> bool:
    desks = [leg for leg in session.legs.values() if leg.direction == "outgoing"]
    return any(leg.hangup_cause not in (None, "normal_clearing") for leg in desks)


reception = Flow(name="reception", version="1", decide=decide)
