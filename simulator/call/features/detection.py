"""Who answered: answering machine detection and deepfake detection, by the called number.

    mode                     events, if a human        if a machine
    detect                   detection.ended           detection.ended
    greeting_end, _words     detection.ended           detection.ended, greeting.ended
    detect_beep              detection.ended           detection.ended, greeting.ended at a beep
    premium…                 premium.detection.ended   …, premium.greeting.ended at a beep

All begin with `call.machine.`. Results come 2 s after the answer, a greeting's end 3 s after that.
"""

from offhook.simulator.call.legs import Leg
from offhook.simulator.call.numbers import hearer_of
from offhook.simulator.call.steps import EventDue
from offhook.simulator.call.transition import Turn

DETECTED_AFTER_S = 2.0
GREETING_S = 3.0


def detect(turn: Turn, leg: Leg, mode: str | None) -> None:
    """Start detection on a leg that has just been answered."""
    if mode is None or mode == "disabled":
        return
    hearer = hearer_of(leg.to)
    if mode.startswith("premium"):
        turn.tell("call.machine.premium.detection.started", leg)
        _due(turn, leg, DETECTED_AFTER_S, "premium.detection.ended", hearer.premium_result)
        if hearer.beeps:
            after_s = DETECTED_AFTER_S + GREETING_S
            _due(turn, leg, after_s, "premium.greeting.ended", "beep_detected")
        return
    _due(turn, leg, DETECTED_AFTER_S, "detection.ended", hearer.result)
    listens = mode in ("greeting_end", "detect_words") and hearer.result == "machine"
    if listens or (mode == "detect_beep" and hearer.beeps):
        result = "beep_detected" if hearer.beeps else "ended"
        _due(turn, leg, DETECTED_AFTER_S + GREETING_S, "greeting.ended", result)


def detect_deepfake(turn: Turn, leg: Leg, asked: bool) -> None:
    """A person, always."""
    if asked:
        more = {"result": "real", "score": 0.02, "consistency": 98.0}
        due = EventDue(
            call_control_id=leg.call_control_id,
            event_type="call.deepfake_detection.result",
            more=more,
        )
        turn.later(DETECTED_AFTER_S, due)


def _due(turn: Turn, leg: Leg, after_s: float, event: str, result: str) -> None:
    due = EventDue(
        call_control_id=leg.call_control_id,
        event_type=f"call.machine.{event}",
        more={"result": result},
    )
    turn.later(after_s, due)
