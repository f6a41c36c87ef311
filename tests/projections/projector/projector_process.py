"""A projector in a process of its own, which a test may kill or freeze."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from offhook.cli.embedded.nats_server import NatsServer
from offhook.projections.projector.batch import PLAIN_IN_A_ROW_MIN
from tests.forked import Forked
from tests.projections.projector.run_projector import run


@contextmanager
def process(
    server: NatsServer, database_url: str, plain_in_a_row_min: int = PLAIN_IN_A_ROW_MIN
) -> Iterator[Forked]:
    """The process, killed at the end whatever state it is in."""
    started = Forked(
        run, [server.url, database_url, str(plain_in_a_row_min)], os.environ, Path(os.devnull)
    )
    try:
        yield started
    finally:
        started.kill()
        started.wait()
