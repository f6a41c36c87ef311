"""The three sample flows side by side, as the workers of `test_samples` run them.

Timers run by the log's clock, which no simulator speeds up: the reception's and the wait for a
greeting are short here. What is changed is changed in copies: tests of the samples themselves may
run in the same process.
"""

import dataclasses
from importlib.util import find_spec, module_from_spec
from typing import Any

CLICKS = "2811212257810187801"
NOTICES = "2811212257810187802"


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
notifications = _copy_of("examples.notification")

receptions.MESSAGE_S = 1.0
notifications.GREETING_S = 1.0
clicks.DETECTION_S = notifications.DETECTION_S = 20.0  # on a busy machine results take seconds
receptions.DESKS = {"1": "+12025550180", "2": "+12025550188"}  # talks for 5 s; never answers
clicks.RING_S = 320  # longer than an agent who leaves waits

reception = receptions.reception
click_to_call = dataclasses.replace(clicks.click_to_call, connection_ids=frozenset({CLICKS}))
notification = dataclasses.replace(notifications.notification, connection_ids=frozenset({NOTICES}))
