"""Who answered: answering machine detection and deepfake detection, by the called number.

    mode                     events, if a human        if a machine
    detect                   detection.ended           detection.ended
    greeting_end, _words     detection.ended           detection.ended, greeting.ended
    detect_beep              detection.ended           detection.ended, greeting.ended at a beep
    premium…                 premium.detection.ended   …, premium.greeting.ended at a beep

All begin with `call.machine.`. Results come 2 s after the answer, the end of a greeting 3 s later.
"""

from offhook.simulator.call.legs import SimulatedLeg
from offhook.simulator.call.numbers import detection_result_of
from offhook.simulator.call.transition import Transition

DETECTED_AFTER_S = 2.0
GREETING_S = 3.0


def detect(transition: Transition, leg: SimulatedLeg, mode: str | None) -> None:
    """Start detection on a leg that has just been answered; None and "disabled" start none."""
    if mode is None or mode == "disabled":
        return
    found = detection_result_of(leg.to)
    greeted_after_s = DETECTED_AFTER_S + GREETING_S

    def schedule(after_s: float, event: str, result: str) -> None:
        transition.schedule_event(after_s, f"call.machine.{event}", leg, result=result)

    if mode.startswith("premium"):
        transition.emit("call.machine.premium.detection.started", leg)
        schedule(DETECTED_AFTER_S, "premium.detection.ended", found.premium_result)
        if found.beeps:
            schedule(greeted_after_s, "premium.greeting.ended", "beep_detected")
        return
    schedule(DETECTED_AFTER_S, "detection.ended", found.result)
    waits_for_greeting = mode in ("greeting_end", "detect_words") and found.result == "machine"
    if waits_for_greeting or (mode == "detect_beep" and found.beeps):
        schedule(greeted_after_s, "greeting.ended", "beep_detected" if found.beeps else "ended")


def detect_deepfake(transition: Transition, leg: SimulatedLeg) -> None:
    """Start deepfake detection, which always finds a person."""
    transition.schedule_event(
        DETECTED_AFTER_S,
        "call.deepfake_detection.result",
        leg,
        result="real",
        score=0.02,
        consistency=98.0,
    )
