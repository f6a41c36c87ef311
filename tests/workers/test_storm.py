"""Random storms over several workers: kills, freezes, drains, a lagging log, a busy carrier.

STORMS is how many there are, one a second or faster; STORM_SEED is the seed of the first one:

    STORM_SEED=5000 STORMS=1000 pytest tests/workers/test_storm.py
"""

import logging
import os

import pytest

from tests.workers.storm.storm import storm

FIRST = int(os.environ.get("STORM_SEED", "1"))
STORMS = int(os.environ.get("STORMS", "12"))


@pytest.fixture(autouse=True)
def _no_tracebacks(caplog: pytest.LogCaptureFixture) -> None:
    """A storm logs hundreds of them, which takes longer than the storm."""
    caplog.set_level(logging.CRITICAL, logger="offhook")


@pytest.mark.parametrize("seed", range(FIRST, FIRST + STORMS))
def test_a_storm_loses_and_doubles_nothing(seed: int) -> None:
    errors, one = storm(seed)
    assert errors == [], one
    assert one.carrier.performed, "nothing was performed"


@pytest.mark.parametrize("seed", range(FIRST, FIRST + STORMS, 3))
def test_a_storm_with_snapshots_does_not_either(seed: int) -> None:
    errors, one = storm(seed, with_snapshots=True)
    assert errors == [], one
    assert one.snapshots is not None
    assert one.snapshots.used, "no session was read from a snapshot"
