"""Time for a NATS server on a busy machine: tests that are about a limit set their own."""

from collections.abc import Iterator

import pytest

from offhook.jetstream import archived, lookup, reads, snapshots
from offhook.jetstream.client import connection

PATIENCE_S = 60.0


@pytest.fixture(scope="module", autouse=True)
def patient_connections() -> Iterator[None]:
    """What connects from the process of the tests may take long."""
    with pytest.MonkeyPatch.context() as patched:
        for limit in ("FIRST_CONNECTION_S", "CONNECT_TIMEOUT_S"):
            patched.setattr(connection, limit, PATIENCE_S)
        yield


@pytest.fixture(scope="module", autouse=True)
def patient_answers() -> Iterator[None]:
    """What is read in the process of the tests may take long.

    Not where a server ends while it is asked: it never answers then.
    """
    with pytest.MonkeyPatch.context() as patched:
        for module, limit in (
            (archived, "TIMEOUT_S"),
            (lookup, "TIMEOUT_S"),
            (reads, "READ_TIMEOUT_S"),
            (snapshots, "READ_TIMEOUT_S"),
        ):
            patched.setattr(module, limit, PATIENCE_S)
        yield
