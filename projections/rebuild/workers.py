"""The workers of the cold phase: processes of their own, but for one, which is their parent.

It need not import all of this again, so it begins before workers that were not standing by.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec

from offhook.errors import PassingFault
from offhook.projections.rebuild.worker import Task, work
from offhook.projections.standby import Process, end_worker, start_worker

ERROR_CHARS_MAX = 500


class WorkerEnded(PassingFault):
    """A worker process ended before its work was done; a new run does its last chunk again."""


@asynccontextmanager
async def working(
    task: Task, count: int, ready: Sequence[Process]
) -> AsyncIterator["asyncio.Task[None]"]:
    """So many workers on the task, one of them in this process, others of those that are ready.

    The asyncio task ends with the work, or raises WorkerEnded, or what Postgres says. If the block
    is left before, they are ended.
    """
    processes = [*ready[: count - 1]]
    processes += [start_worker() for _ in range(count - 1 - len(processes))]
    for process in processes:
        _give(process, task)
    watching = asyncio.create_task(_work(task, processes))
    try:
        yield watching
    finally:
        for process in processes:
            process.kill()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        for process in processes:
            end_worker(process)


def _give(process: Process, task: Task) -> None:
    assert process.stdin is not None
    # One that has ended already says so later.
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(msgspec.json.encode(task) + b"\n")
        process.stdin.flush()


async def _work(task: Task, processes: Sequence[Process]) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(work(task))
        for process in processes:
            group.create_task(_ended(process))


async def _ended(process: Process) -> None:
    # Standard input stays open: a worker that sees its end ends itself.
    said = (await _all_of(process)).decode(errors="replace").strip()
    if status := await asyncio.to_thread(process.wait):
        reason = said.splitlines()[-1][:ERROR_CHARS_MAX] if said else "no message"
        raise WorkerEnded(f"a worker process of the rebuild ended with {status}: {reason}")


async def _all_of(process: Process) -> bytes:
    """What it writes to standard error until it ends."""
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), process.stderr
    )
    try:
        return await reader.read()
    finally:
        transport.close()
