"""The three sample flows side by side, as the workers of `test_samples` run them.

Timers run by the log's clock, which no simulator speeds up: the reception's and the wait for a
greeting are short here. Time decides nothing else: a detection result always comes, so the wait for
it never ends early, and a customer who is to be left ringing rings for as long as the carrier
allows. What is changed is changed in copies: tests of the samples themselves may run in the same
process.
"""

import dataclasses
from importlib.util import find_spec, module_from_spec
from typing import Any

CLICKS = "2811212257810187801"
NOTICES = "2811212257810187802"
LONG_RINGS = "2811212257810187803"


def _copy_of(name: str) -> Any:
    """The module once more, which nobody else imports."""
    spec = find_spec(name)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


receptions = _copy_of("examples.reception")
clicks = _copy_of("examples.click_to_call")
long_rings = _copy_of("examples.click_to_call")
notifications = _copy_of("examples.notification")

receptions.MESSAGE_S = 1.0
notifications.GREETING_S = 1.0
clicks.DETECTION_S = long_rings.DETECTION_S = notifications.DETECTION_S = 3600.0
receptions.DESKS = {"1": "+12025550180", "2": "+12025550188"}  # talks for 5 s; never answers
long_rings.RING_S = 600

reception = receptions.reception
click_to_call = dataclasses.replace(clicks.click_to_call, connection_ids=frozenset({CLICKS}))
long_ring = dataclasses.replace(
    long_rings.click_to_call, name="long-ring", connection_ids=frozenset({LONG_RINGS})
)
notification = dataclasses.replace(notifications.notification, connection_ids=frozenset({NOTICES}))
