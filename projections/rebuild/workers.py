"""The workers of the cold phase: processes of their own, but for one, which is their parent.

It need not start and import all of this again, so it has folded some chunks by the time the others
begin.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from offhook.errors import PassingFault
from offhook.projections.rebuild.worker import Task, work

ERROR_CHARS_MAX = 500


class WorkerEnded(PassingFault):
    """A worker process ended before its work was done; a new run does its last chunk again."""


def workers_default() -> int:
    """As many as there are cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@asynccontextmanager
async def working(task: Task, count: int) -> AsyncIterator["asyncio.Task[None]"]:
    """So many workers on the task, one of them in this process.

    The asyncio task ends with the work, or raises WorkerEnded, or what Postgres says. If the block
    is left before, they are ended.
    """
    processes = [await _start(task) for _ in range(count - 1)]
    watching = asyncio.create_task(_work(task, processes))
    try:
        yield watching
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await asyncio.gather(*(process.wait() for process in processes))


async def _start(task: Task) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "offhook.projections.rebuild.worker"),
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(task) + b"\n")
    return process


async def _work(task: Task, processes: list[asyncio.subprocess.Process]) -> None:
    async def ended(process: asyncio.subprocess.Process) -> None:
        # Standard input stays open: a worker that sees its end ends itself.
        assert process.stderr is not None
        said = (await process.stderr.read()).decode(errors="replace").strip()
        status = await process.wait()
        if status:
            reason = said.splitlines()[-1][:ERROR_CHARS_MAX] if said else "no message"
            raise WorkerEnded(f"a worker process of the rebuild ended with {status}: {reason}")

    async with asyncio.TaskGroup() as group:
        group.create_task(work(task))
        for process in processes:
            group.create_task(ended(process))
