"""Simulator and receiver share one process here, which a busy machine may stop for a while."""

from collections.abc import Iterator

import pytest

from tests.simulator.stand import DEADLINE_S


@pytest.fixture(scope="package", autouse=True)
def _patience_with_receivers() -> Iterator[None]:
    """Else an answer that is late by that alone makes a webhook go once more."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("offhook.simulator.webhooks.sender.TIMEOUT_S", DEADLINE_S)
        yield
