"""Worker processes that wait for their task: they load while the command that starts them does.

Nothing else is imported here, so that they can be started before the rest is.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

Process = subprocess.Popen[bytes]


def workers_default() -> int:
    """As many as there are cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def start_worker() -> Process:
    """A worker that waits for a task on its standard input, and ends when that ends."""
    return subprocess.Popen(
        [sys.executable, "-m", "offhook.projections.rebuild.worker"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def end_worker(process: Process) -> None:
    """End it, whatever it is doing. What it has committed stays."""
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stderr):
        if pipe is not None:
            pipe.close()


@contextmanager
def standing_by(count: int) -> Iterator[list[Process]]:
    """So many workers; those that still run at the end of the block are ended."""
    processes = [start_worker() for _ in range(count)]
    try:
        yield processes
    finally:
        for process in processes:
            end_worker(process)
