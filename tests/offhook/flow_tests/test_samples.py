"""Simulated calls of the sample flows, copied as tests."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from examples.click_to_call import ClickToCall, click_to_call
from examples.notification import Notification, notification
from examples.reception import reception
from offhook.events import (
    Decided,
)
from offhook.flow import Flow
from offhook.flow.typed_client_state import client_state
from tests.examples.scene import Scene
from tests.offhook.flow_tests.copying import (
    PERSON,
    REFUSED,
    SILENT,
    copied,
    functions_in,
    require_fails,
)


def reception_rings(keys: tuple[str, ...]) -> Callable[[Scene], None]:
    def place(played: Scene) -> None:
        played.calls.ring(hangup_after_s=60.0, patience_s=30, keys=keys)

    return place


def notifies(number: str) -> Callable[[Scene], None]:
    state = client_state(Notification(text="Your parcel is here."))

    def place(played: Scene) -> None:
        played.calls.dial(
            number, client_state=state, answering_machine_detection="premium", timeout_secs=30
        )

    return place


def clicks(customer: str) -> Callable[[Scene], None]:
    def place(played: Scene) -> None:
        state = client_state(ClickToCall(customer=customer))
        played.calls.dial(
            PERSON, client_state=state, answering_machine_detection="premium", timeout_secs=30
        )
        played.leave(30.0, 0, 1)

    return place


CALLS = {
    "reception, transferred": (reception, reception_rings(("1",))),
    "reception, a message": (reception, reception_rings(())),
    "notification": (notification, notifies(PERSON)),
    "notification, a machine": (notification, notifies("+12025550171")),
    "notification, a machine without a beep": (notification, notifies("+12025550172")),
    "click to call": (click_to_call, clicks("+12025550111")),
    "click to call, nobody answers": (click_to_call, clicks(SILENT)),
    "click to call, refused": (click_to_call, clicks(REFUSED)),
}


@pytest.mark.parametrize("late", [None, 1])
@pytest.mark.parametrize(("flow", "place"), CALLS.values(), ids=CALLS)
def test_the_code_of_a_call_passes_and_fails_for_another_flow(
    flow: Flow,
    place: Callable[[Scene], None],
    late: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    played = Scene(flow=flow, dice=None if late is None else Random(late))
    place(played)
    played.play()
    code = copied(played.records)
    tests = functions_in(code, flow, monkeypatch)
    assert len(tests) == sum(isinstance(each.fact, Decided) for each in played.records)
    for test in tests.values():
        test()
    require_fails(code, replace(flow, decide=lambda event, session: []), monkeypatch)
