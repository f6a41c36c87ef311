"""A worker process of the cold phase: python -m offhook.projections.rebuild.worker

Its task comes as JSON on standard input, since a command line is seen by everybody. It ends with
its parent: then standard input ends.
"""

import asyncio
import os
import signal
import threading
from dataclasses import dataclass

import msgspec
import uvloop

from offhook.projections.rebuild.cold import ColdWorker
from offhook.projections.views.database.engine import open_database


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a worker has to know."""

    postgres_url: str
    live: str
    aside: str
    owner: str


async def work(task: Task) -> None:
    """Fold chunks until none is left."""
    engine = open_database(task.postgres_url, "offhook-rebuild", statement_timeout_s=None)
    try:
        async with engine.connect() as connection:
            worker = await ColdWorker.of(
                connection, live=task.live, aside=task.aside, owner=task.owner
            )
            await worker.run()
            await connection.invalidate()
    finally:
        await engine.dispose()


def _line_from(descriptor: int) -> bytes:
    line = b""
    while not line.endswith(b"\n") and (more := os.read(descriptor, 65_536)):
        line += more
    return line


def _end_with_parent() -> None:
    # Not by sys.stdin: Python aborts if a thread holds its lock at the end of the process.
    if not os.read(0, 1):
        os._exit(1)


def main() -> None:
    """Read the task, do it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all; the parent decides
    task = msgspec.json.decode(_line_from(0), type=Task)

    threading.Thread(target=_end_with_parent, daemon=True).start()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work(task))


if __name__ == "__main__":
    main()
