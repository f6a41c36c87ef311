"""README's first flow, the one of docs/flows.md and each example: every number, every way to leave.

Nobody is left up, nobody listens to silence for more than SILENT_MAX_S, no machine is connected
with a person, and no fax is spoken to, whoever is called, whoever leaves when, and however late
webhooks are. Who sits at a desk is the user's own affair: the machine there may be their mailbox.
"""

import itertools
import re
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import pytest

from examples import click_to_call as clicks
from examples import notification as notices
from examples import reception as receptions
from offhook.flow import Flow
from offhook.flow.typed_client_state import client_state
from offhook.simulator.call.numbers import _DETECTION_RESULTS, _FAR_ENDS, _FAULTS, CommandFault
from tests.examples.scene import Scene

ROOT = Path(__file__).parents[2]
SILENT_MAX_S = 5.5
PERSON = "+12025550110"
FAX = "+12025550174"
NUMBERS = sorted({PERSON, "+12025550178", *_FAR_ENDS, *_DETECTION_RESULTS, *_FAULTS})
LASTING = (
    CommandFault.UNAVAILABLE,
    CommandFault.FORBIDDEN,
    CommandFault.INACTIVE,
    CommandFault.NO_CHANNEL,
)
DIALLED = [number for number in NUMBERS if _FAULTS.get(number) not in LASTING]
"""The others never become a call that a flow is asked about."""

LEAVES_AFTER_S = (0.01, 0.6, 1.2, 2.2, 3.1, 4.5, 8.0, 30.0, 100.0)
WHILE_CLICKING_S = (0.01, 1.2, 3.1, 4.5, 8.0, 100.0)
LATE = [None, 0]
"""None: every webhook at once. Otherwise the seed of how late each is."""


def written(page: str, name: str) -> ModuleType:
    """The flow that a page shows, as it stands there."""
    for code in re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL):
        if code.startswith(f"# {name}.py\n"):
            module = ModuleType(name)
            exec(compile(code, page, "exec"), module.__dict__)
            return module
    raise AssertionError(f"{page} shows no {name}.py")


frontdesk, hotline = written("README.md", "frontdesk"), written("docs/flows.md", "hotline")


def scene(flow: Flow, late: int | None) -> Scene:
    return Scene(flow=flow, dice=None if late is None else Random(late))


def check(played: Scene, *, heard_by: set[str]) -> None:
    """`heard_by`: the numbers where somebody listens."""
    assert played.up == [], "these legs stay up"
    silent = {played.calls.legs[leg].to: long_s for leg, long_s in played.silent_s.items()}
    assert {to: s for to, s in silent.items() if to in heard_by and s > SILENT_MAX_S} == {}


def calls_in(flow: Flow, leaves_after_s: float, late: int | None, **more: Any) -> None:
    """Somebody calls, and leaves so long after the answer."""
    played = scene(flow, late)
    leg = played.calls.ring(hangup_after_s=leaves_after_s, patience_s=30, **more)
    check(played.play(), heard_by={played.calls.legs[leg].to})
    assert FAX not in played.spoken_to


@pytest.mark.parametrize("desk", NUMBERS)
@pytest.mark.parametrize("module", [frontdesk, hotline], ids=["README", "docs/flows.md"])
def test_whoever_answers_at_the_desk(
    module: ModuleType, desk: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "DESK" in module.__dict__
    monkeypatch.setitem(module.__dict__, "DESK", desk)
    flow = module.__dict__[module.__name__]
    for after_s, late in itertools.product(LEAVES_AFTER_S, LATE):
        calls_in(flow, after_s, late)


@pytest.mark.parametrize("desk", NUMBERS)
@pytest.mark.parametrize("keys", [("1",), ("9",), ()])
def test_whatever_a_caller_of_the_reception_presses(
    desk: str, keys: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receptions, "DESKS", {"1": desk})
    for after_s, late in itertools.product(LEAVES_AFTER_S, LATE):
        calls_in(receptions.reception, after_s, late, keys=keys)


@pytest.mark.parametrize("patience_s", [0.01, 0.2, 1.0])
@pytest.mark.parametrize(
    "flow", [frontdesk.frontdesk, hotline.hotline, receptions.reception], ids=lambda one: one.name
)
def test_a_caller_who_gives_up_while_it_rings(flow: Flow, patience_s: float) -> None:
    for late in LATE:
        played = scene(flow, late)
        played.calls.ring(patience_s=patience_s)
        if late is None:  # before anybody knows the call
            played.calls.wait(patience_s)
        assert played.play().up == []


@pytest.mark.parametrize("number", DIALLED)
@pytest.mark.parametrize("detection", ["premium", "greeting_end", None])
def test_whoever_is_notified(number: str, detection: str | None) -> None:
    state = client_state(notices.Notification(text="Your parcel is here."))
    for after_s, late in itertools.product((*LEAVES_AFTER_S, None), LATE):
        played = scene(notices.notification, late)
        played.calls.dial(
            number, client_state=state, answering_machine_detection=detection, timeout_secs=30
        )
        if after_s is not None:
            played.leave(1.0 + after_s, 0)
        # A machine hears nothing while its greeting is waited for.
        check(played.play(), heard_by=set(NUMBERS) - {*_DETECTION_RESULTS})
        if detection == "premium":
            assert FAX not in played.spoken_to


PAIRS = [(PERSON, other) for other in NUMBERS] + [(other, PERSON) for other in DIALLED]


@pytest.mark.parametrize(("agent", "customer"), PAIRS)
def test_whoever_clicks_and_whoever_is_called(agent: str, customer: str) -> None:
    state = client_state(clicks.ClickToCall(customer=customer))
    people = set(NUMBERS) - {*_DETECTION_RESULTS}
    for after_s, who, late in itertools.product(WHILE_CLICKING_S, ((0,), (1,), (0, 1)), LATE):
        played = scene(clicks.click_to_call, late)
        played.calls.dial(
            agent, client_state=state, answering_machine_detection="premium", timeout_secs=30
        )
        played.leave(1.0 + after_s, *who)
        played.leave(200.0, 0, 1)
        check(played.play(), heard_by=people)
        assert played.machines_connected == []
        assert FAX not in played.spoken_to
