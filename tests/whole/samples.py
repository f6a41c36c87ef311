"""The three sample flows side by side, as the workers of `test_samples` run them.

Timers run by the log's clock, which no simulator speeds up: so the reception's is short here.
"""

import dataclasses

from examples import click_to_call as clicks
from examples import notification as notifications
from examples import reception as receptions

CLICKS = "2811212257810187801"
NOTICES = "2811212257810187802"

receptions.MESSAGE_S = 1.0
receptions.DESKS = {"1": "+12025550180", "2": "+12025550188"}  # talks for 5 s; never answers
clicks.RING_S = 240  # longer than an agent who leaves waits

reception = receptions.reception
click_to_call = dataclasses.replace(clicks.click_to_call, connection_ids=frozenset({CLICKS}))
notification = dataclasses.replace(notifications.notification, connection_ids=frozenset({NOTICES}))
