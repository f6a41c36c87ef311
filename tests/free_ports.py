"""Loopback ports that are free when a test chooses them, and still are when it uses them."""

import os
import random
import socket
from itertools import cycle, islice

FREE_PORTS = range(8_100, 20_000)
"""Below those from which `offhook up --free-ports` and `offhook demo` choose: what they have chosen
is theirs some seconds later, once the role has started."""

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
    length = len(FREE_PORTS) // PROCESSES_MAX
    first = number % PROCESSES_MAX * length
    return FREE_PORTS[first : first + length]


# From anywhere on: another run on this machine would else begin with the same.
_PORTS = islice(cycle(_own()), random.randrange(len(FREE_PORTS)), None)
