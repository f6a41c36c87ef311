"""A projector in a process of its own, which a test may kill or freeze."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from offhook.cli.embedded.nats_server import NatsServer

RUNNER = Path(__file__).with_name("run_projector.py")
ROOT = Path(__file__).parents[3]


@contextmanager
def process(server: NatsServer, database_url: str) -> Iterator["subprocess.Popen[bytes]"]:
    """The process, killed at the end whatever state it is in."""
    started = subprocess.Popen(
        [sys.executable, str(RUNNER), server.url, database_url],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    )
    try:
        yield started
    finally:
        started.kill()
        started.wait()
