"""Answering machine and deepfake detection."""

from typing import Any

import pytest

from offhook.commands import (
    Transfer,
)
from tests.simulator.calls import FRIEND, Calls

MACHINE_BEEPS, MACHINE, UNSURE, FAX, QUIET = (f"+1202555017{last}" for last in "12345")
PERSON, KEYS_IN_3, NO_RECORDING = FRIEND, "+12025550163", "+12025550178"


@pytest.mark.parametrize(
    ("number", "mode", "expected"),
    [
        (PERSON, "detect", [("detection.ended", "human")]),
        (PERSON, "greeting_end", [("detection.ended", "human")]),
        (MACHINE, "detect", [("detection.ended", "machine")]),
        (MACHINE, "greeting_end", [("detection.ended", "machine"), ("greeting.ended", "ended")]),
        (MACHINE, "detect_beep", [("detection.ended", "machine")]),
        (
            MACHINE_BEEPS,
            "detect_beep",
            [("detection.ended", "machine"), ("greeting.ended", "beep_detected")],
        ),
        (UNSURE, "detect", [("detection.ended", "not_sure")]),
        (FAX, "premium", [("premium.detection.ended", "fax_detected")]),
        (QUIET, "premium", [("premium.detection.ended", "silence")]),
        (
            MACHINE_BEEPS,
            "premium",
            [("premium.detection.ended", "machine"), ("premium.greeting.ended", "beep_detected")],
        ),
        (MACHINE, "disabled", []),
    ],
)
def test_detection_finds_what_the_number_is(
    number: str, mode: Any, expected: list[tuple[str, str]]
) -> None:
    calls = Calls()
    leg = calls.dial(number, answering_machine_detection=mode)
    calls.wait(10)
    told = [
        (hook.event_type.removeprefix("call.machine."), hook.payload["result"])
        for hook in calls.webhooks
        if hook.call_control_id == leg and "result" in hook.payload
    ]
    assert told == expected


def test_a_transfer_detects_on_the_leg_it_places() -> None:
    calls = Calls()
    leg = calls.up()
    calls.do(Transfer(to=MACHINE, answering_machine_detection="detect"), leg)
    calls.wait(5)
    new = calls.transfer_leg(leg)
    assert calls.payload(new, "call.machine.detection.ended")["result"] == "machine"


def test_a_deepfake_detection_finds_a_person() -> None:
    calls = Calls()
    leg = calls.dial(deepfake_detection={"enabled": True})
    calls.wait(5)
    assert calls.payload(leg, "call.deepfake_detection.result")["result"] == "real"
