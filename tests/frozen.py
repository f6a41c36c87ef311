"""A server that hangs: it takes connections and data, and does nothing."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TIMEOUT_S = 60.0


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Every thread of the process is stopped in the block: one that runs is so a moment later."""
    os.kill(pid, signal.SIGSTOP)
    try:
        give_up_at = time.monotonic() + TIMEOUT_S
        while not _is_stopped(pid):
            assert time.monotonic() < give_up_at, f"{pid} does not stop"
            time.sleep(0.001)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _is_stopped(pid: int) -> bool:
    # The state is behind the name, which is in parentheses and may have any characters.
    states = [
        (thread / "stat").read_text().rpartition(")")[2].split()[0]
        for thread in Path(f"/proc/{pid}/task").iterdir()
    ]
    return set(states) == {"T"}
