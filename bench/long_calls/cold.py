"""What a long call costs a worker that does not know it.

    python -m bench.long_calls.cold [--events 100,1000,10000] [--rounds 5]

A session of so many records (half of them events, half the decisions on them) is in the log, and a
worker's cache reads it, as when its first delivery arrives. Another worker had it while it grew,
and stored a snapshot.

    from the log    from its first record, as without a snapshot
    snapshot        from its snapshot on, after which there are as many records as there can be
    known           once more, when the session is in the cache

`wait` is how long another task of the same process had to wait at most meanwhile, by the clock and
in processor time; `others` is what the read of a short session beside it took, at the 99th
percentile, and in the first row without anything beside it. Medians of the rounds; a state that
differs from a plain fold of the records prints WRONG.
What calls at a worker take beside such reads: `bench.long_calls.beside`.
"""

import argparse
import asyncio
import time
from dataclasses import dataclass, field

import uvloop
from rich.console import Console
from rich.table import Table

from bench.long_calls.sessions import append_event, append_long, snapshots_of
from bench.setting.machine import describe, median, percentile
from bench.setting.servers import running_log
from offhook.jetstream.log import JetStreamLog
from offhook.session import Session, fold
from offhook.workers.reading.cache import SessionCache

SESSION = "long"
OTHER = "other"
TARGET_MS = 150.0
ALONE_S = 0.5


@dataclass(kw_only=True)
class Cost:
    """Of each round, in milliseconds."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    wait: list[float] = field(default_factory=list)
    wait_cpu: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)  # of each read beside it


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench.long_calls.cold")
    options.add_argument("--events", default="100,1000,10000", help="records of the session")
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    console = Console(width=110)
    console.print(describe("bench.long_calls.cold"), highlight=False)
    table = Table(title="A session that the worker does not know", title_justify="left")
    for heading in (
        "records", "", "tail", "wall ms", "target", "CPU ms", "wait ms", "of it CPU", "others ms",
        "right",
    ):  # fmt: skip
        table.add_column(heading, justify="right")
    for count in map(int, given.events.split(",")):
        for row in uvloop.run(measure(count, given.rounds)):
            table.add_row(f"{count:,}", *row)
    console.print(table)


async def measure(count: int, rounds: int) -> list[list[str]]:
    """A row for each way to read the session, after one for nothing."""
    async with running_log() as servers:
        log, snapshots = servers.log, snapshots_of(servers.client)
        await append_long(log, SESSION, count, snapshots)
        await append_event(log, OTHER, 0)
        wanted = fold(SESSION, await log.read(SESSION))
        kept = await snapshots.read(SESSION)
        tail = count - len(kept.session.facts) - len(kept.session.decided) if kept else count
        from_log, from_snapshot, known, is_right = Cost(), Cost(), Cost(), True
        for _ in range(rounds):
            for cost, kept_in in ((from_log, None), (from_snapshot, snapshots)):
                cache = SessionCache(log, asyncio.sleep, snapshots=kept_in)
                is_right &= await _read(cache, cost) == wanted
                if kept_in is not None:
                    is_right &= await _read(cache, known) == wanted
                cache = SessionCache(log, asyncio.sleep, snapshots=kept_in)
                cost.others += await _others_beside(cache, log)
        alone = await _alone(log)
    rows = (
        ("from the log", count, from_log),
        ("snapshot", tail, from_snapshot),
        ("known", 0, known),
    )
    return [
        ["nothing", "", "", "", "", "", "", f"{percentile(alone, 99):.1f}", ""],
        *(
            [
                name,
                f"{read:,}",
                f"{median(cost.wall):.1f}",
                f"≤ {TARGET_MS:g}" if cost is from_snapshot and count == 10_000 else "",
                f"{median(cost.cpu):.1f}",
                f"{median(cost.wait):.1f}",
                f"{median(cost.wait_cpu):.1f}",
                f"{percentile(cost.others, 99):.1f}" if cost.others else "",
                "yes" if is_right else "WRONG",
            ]
            for name, read, cost in rows
        ),
    ]


async def _alone(log: JetStreamLog) -> list[float]:
    """What reads of the short session take while nothing else goes on, in milliseconds."""
    took: list[float] = []
    until = time.perf_counter() + ALONE_S
    while time.perf_counter() < until:
        took.append(await _other_read(log))
    return took


async def _others_beside(cache: SessionCache, log: JetStreamLog) -> list[float]:
    """What reads of the short session take while the cache reads the long one."""
    took: list[float] = []

    async def read() -> None:
        while True:
            took.append(await _other_read(log))

    task = asyncio.create_task(read())
    state = await cache.read(SESSION)
    await state.next_cause()
    task.cancel()
    return took


async def _other_read(log: JetStreamLog) -> float:
    began = time.perf_counter()
    await log.read(OTHER)
    return (time.perf_counter() - began) * 1000


async def _read(cache: SessionCache, cost: Cost) -> Session:
    """Read it beside a task that only waits."""
    longest, longest_cpu = 0.0, 0.0

    async def wait() -> None:
        nonlocal longest, longest_cpu
        last, last_cpu = time.perf_counter(), time.process_time()
        while True:
            await asyncio.sleep(0)
            now, cpu = time.perf_counter(), time.process_time()
            longest, longest_cpu = max(longest, now - last), max(longest_cpu, cpu - last_cpu)
            last, last_cpu = now, cpu

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    began_at, began_cpu = time.perf_counter(), time.process_time()
    state = await cache.read(SESSION)
    await state.next_cause()
    cost.wall.append((time.perf_counter() - began_at) * 1000)
    cost.cpu.append((time.process_time() - began_cpu) * 1000)
    await asyncio.sleep(0)
    task.cancel()
    cost.wait.append(longest * 1000)
    cost.wait_cpu.append(longest_cpu * 1000)
    return state.latest()


if __name__ == "__main__":
    main()
