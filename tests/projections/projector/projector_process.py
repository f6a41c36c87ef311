"""A projector in a process of its own, which a test may kill or freeze."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from offhook.cli.embedded.nats_server import NatsServer
from tests.forked import Forked
from tests.projections.projector.run_projector import run


@contextmanager
def process(server: NatsServer, database_url: str) -> Iterator[Forked]:
    """The process, killed at the end whatever state it is in."""
    started = Forked(run, [server.url, database_url], os.environ, Path(os.devnull))
    try:
        yield started
    finally:
        started.kill()
        started.wait()
