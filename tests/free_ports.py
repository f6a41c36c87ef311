"""Loopback ports that are free when a test chooses them, and still are when it uses them."""

import os
import random
import socket
from itertools import cycle, islice

FIRST, COUNT = 20_000, 12_000
"""Below those that systems give out by themselves (Linux from 32,768, others from 49,152): there a
client's connection could take a port between its choice and its use."""

PROCESSES_MAX = 12


def free_port() -> int:
    """One that neither this nor another process of this run of the tests has had."""
    while True:
        port = next(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue  # somebody else's
        return port


def _own() -> range:
    """A part for each process that pytest-xdist starts; they are called gw0, gw1 ..."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    length = COUNT // PROCESSES_MAX
    first = FIRST + number % PROCESSES_MAX * length
    return range(first, first + length)


# From anywhere on: another run on this machine would else begin with the same.
_PORTS = islice(cycle(_own()), random.randrange(COUNT), None)
