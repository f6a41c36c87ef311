"""How long the views stand still when a projector is lost: `python -m bench.projectors`.

    python -m bench.projectors [--processes 2 4] [--kills 20] [--freezes 20] [--rate 100]

So many projector processes share out the partitions of a log that takes appends at a steady rate.
One of them is killed (SIGKILL) and replaced, or frozen (SIGSTOP) and continued once the others have
its partitions. A wait runs from that moment until the views have the first record that was appended
after it, in the partition that waits longest. Then every row of the views is compared with a cold
fold of the log: a difference prints WRONG.
"""

import argparse
import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import asyncpg
import uvloop
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.projection import are_right, shared_out
from bench.setting.machine import describe, percentile
from bench.setting.records import entries_of
from bench.setting.sender import Entry
from bench.setting.servers import running_log
from offhook.cli.embedded.postgres_server import PostgresServer
from offhook.cli.embedded.prepare import prepare
from offhook.jetstream.log import JetStreamLog
from offhook.position import partition_of
from offhook.projections.views.database.engine import open_database
from offhook.projections.views.progress.checkpoint import CHANNEL

PARTITIONS = 4
RATE = 100.0
LATE_S = 30.0
AFTER_WAKING_S = 2.0
"""Whatever a woken process does then must change nothing."""

console = Console(width=100)


@dataclass(kw_only=True)
class Fault:
    """One way to lose one of so many processes, and how long the views waited each time."""

    processes: int
    name: str
    number: signal.Signals
    times: int
    waits_s: list[float] = field(default_factory=list)
    wrong: bool = False


@dataclass(kw_only=True)
class Traffic:
    """Appends at a steady rate, and what the views have of them, by partition.

    `appended` has the last position of each partition, `reached` how far the views are.
    """

    log: JetStreamLog
    rate: float
    names: set[str] = field(default_factory=set)
    appended: dict[int, int] = field(default_factory=dict)
    reached: dict[int, int] = field(default_factory=dict)

    async def run(self) -> None:
        """Append until it is cancelled."""
        entries: Iterator[Entry] = entries_of()
        began_at = time.perf_counter()
        for number, entry in enumerate(entries):
            await asyncio.sleep(max(0.0, began_at + number / self.rate - time.perf_counter()))
            self.names.add(entry[0])
            seq = (await self.log.append(*entry)).seq
            self.appended[partition_of(seq)] = seq

    def saw(self, *sent: object) -> None:
        """Take a notification of the views."""
        seq = int(str(sent[3]).rpartition(":")[2])
        self.reached[partition_of(seq)] = max(seq, self.reached.get(partition_of(seq), 0))

    async def passes(self, before: dict[int, int]) -> None:
        """Wait until the views have a later record than this in each partition."""
        await _until(lambda: all(self.reached.get(key, 0) > seq for key, seq in before.items()))


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench.projectors")
    options.add_argument("--processes", type=int, nargs="*", default=[2, 4])
    options.add_argument("--kills", type=int, default=20)
    options.add_argument("--freezes", type=int, default=20)
    options.add_argument("--rate", type=float, default=RATE, help="records/s")
    chosen = options.parse_args()
    console.print(describe("bench.projectors"), highlight=False)
    faults = [
        Fault(processes=processes, name=name, number=number, times=times)
        for processes in chosen.processes
        for name, number, times in (
            ("kill -9", signal.SIGKILL, chosen.kills),
            ("frozen, woken", signal.SIGSTOP, chosen.freezes),
        )
        if times
    ]
    with PostgresServer() as postgres:
        for fault in faults:
            uvloop.run(measure(fault, chosen.rate, postgres))
    console.print(table_of(faults, chosen.rate))


async def measure(fault: Fault, rate: float, postgres: PostgresServer) -> None:
    """Lose a process again and again, on one log, and add to the fault's waits."""
    async with running_log(PARTITIONS) as servers:
        settings = servers.settings(
            postgres_url=postgres.create_database(f"{fault.number.name}_{fault.processes}".lower()),
            partitions=PARTITIONS,
            projector_port=0,
        )
        await asyncio.to_thread(prepare, settings)
        traffic = Traffic(log=servers.log, rate=rate)
        engine = open_database(settings.postgres_url)
        listening = await asyncpg.connect(settings.postgres_url.replace("+asyncpg", ""))
        await listening.add_listener(CHANNEL, traffic.saw)
        another = partial(servers.start, "projections", settings)
        running = [await another() for _ in range(fault.processes)]
        async with asyncio.TaskGroup() as group:
            appending = group.create_task(traffic.run())
            await _until(lambda: len(traffic.appended) == PARTITIONS)
            title = f"{fault.name}, {fault.processes} processes"
            for _ in track(range(fault.times), description=title, console=console, transient=True):
                await shared_out(engine, PARTITIONS, fault.processes)
                await traffic.passes(dict(traffic.appended))
                lost = running.pop(0)
                os.kill(lost.pid, fault.number)
                fault.waits_s.append(await _wait_s(traffic))
                if fault.number is signal.SIGSTOP:
                    os.kill(lost.pid, signal.SIGCONT)
                    await asyncio.sleep(AFTER_WAKING_S)
                    running.append(lost)
                else:
                    running.append(await another())
            appending.cancel()
        # The last append may be stored without having been answered.
        await _until(lambda: all(traffic.reached[key] >= s for key, s in traffic.appended.items()))
        fault.wrong = not await are_right(engine, traffic.log, traffic.names)
        await listening.close()
        await engine.dispose()


async def _wait_s(traffic: Traffic) -> float:
    """From now until each partition's first record after it is in the views."""
    lost_at, before = time.perf_counter(), dict(traffic.appended)
    await traffic.passes(before)
    return time.perf_counter() - lost_at


async def _until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(LATE_S):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def table_of(faults: list[Fault], rate: float) -> Table:
    table = Table(title=f"Views after a projector is lost, {PARTITIONS} partitions, {rate:g}/s")
    for heading in ("processes", "lost by", "times", "p50 s", "max s", "views"):
        table.add_column(heading, justify="left" if heading in ("lost by", "views") else "right")
    for each in faults:
        waits = [f"{percentile(each.waits_s, percent):.2f}" for percent in (50, 100)]
        row = str(each.processes), each.name, str(len(each.waits_s)), *waits
        table.add_row(*row, "WRONG" if each.wrong else "equal a cold fold")
    return table


if __name__ == "__main__":
    main()
