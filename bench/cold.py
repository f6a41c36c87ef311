"""What a long call costs a worker that does not know it: `python -m bench.cold [--events 10000]`.

A session of so many records (half of them events, half the decisions on them) is in the log, and a
worker's cache reads it from its first record, as when its first delivery arrives. `wait` is how
long another task of the same process had to wait at most meanwhile, by the clock and in processor
time. `known` is the same read once the session is in the cache. Medians of the rounds; a state that
differs from a plain fold of the records prints WRONG.
"""

import argparse
import asyncio
import time
from dataclasses import dataclass, field

import uvloop
from rich.console import Console
from rich.table import Table

from bench.fold import stored_of
from bench.setting.machine import describe, median
from offhook.cli.embedded.nats_server import NatsServer
from offhook.codec import Encoded
from offhook.jetstream.connection import close, connect
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.provisioning.provision import provision
from offhook.session import Session, fold
from offhook.workers.sessions.cache import SessionCache

SESSION = "long"
TARGET_MS = 150.0
APPENDS_AT_ONCE = 64


@dataclass(kw_only=True)
class Cost:
    """Of each round, in milliseconds."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    wait: list[float] = field(default_factory=list)
    wait_cpu: list[float] = field(default_factory=list)


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench.cold")
    options.add_argument("--events", default="100,1000,10000", help="records of the session")
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    console = Console(width=110)
    console.print(describe("bench.cold"), highlight=False)
    table = Table(title="A session that is read from its first record", title_justify="left")
    for heading in ("records", "", "wall ms", "target", "CPU ms", "wait ms", "of it CPU", "right"):
        table.add_column(heading, justify="right")
    for count in map(int, given.events.split(",")):
        with NatsServer() as nats_server:
            for row in uvloop.run(measure(nats_server, count, given.rounds)):
                table.add_row(f"{count:,}", *row)
    console.print(table)


async def measure(nats_server: NatsServer, count: int, rounds: int) -> list[list[str]]:
    """A row for the session when it is unknown, and one when it is known."""
    client = await connect(nats_server.url, "bench")
    await provision(client, [nats_server.monitor_url])
    log = JetStreamLog(client)
    await _append(log, count)
    wanted = fold(SESSION, await log.read(SESSION))
    cold, known, is_right = Cost(), Cost(), True
    for _ in range(rounds):
        cache = SessionCache(log, asyncio.sleep)
        is_right &= await _read(cache, cold) == wanted
        is_right &= await _read(cache, known) == wanted
    await close(client)
    return [
        [
            name,
            f"{median(cost.wall):.1f}",
            f"≤ {TARGET_MS:g}" if cost is cold and count == 10_000 else "",
            f"{median(cost.cpu):.1f}",
            f"{median(cost.wait):.1f}",
            f"{median(cost.wait_cpu):.1f}",
            "yes" if is_right else "WRONG",
        ]
        for name, cost in (("cold", cold), ("known", known))
    ]


async def _append(log: JetStreamLog, count: int) -> None:
    entries = stored_of(count // 2)
    for first in range(0, len(entries), APPENDS_AT_ONCE):
        some = entries[first : first + APPENDS_AT_ONCE]
        # Each side in order: a client sends in the order in which it was asked to.
        await asyncio.gather(
            *(
                log.append(
                    SESSION,
                    "in" if kind == "WebhookReceived" else "out",
                    Encoded(type=kind, version=1, fact_id=fact_id, body=body),
                )
                for _, kind, body, fact_id in some
            )
        )


async def _read(cache: SessionCache, cost: Cost) -> Session:
    longest, longest_cpu = 0.0, 0.0

    async def other() -> None:
        nonlocal longest, longest_cpu
        last, last_cpu = time.perf_counter(), time.process_time()
        while True:
            await asyncio.sleep(0)
            now, cpu = time.perf_counter(), time.process_time()
            longest, longest_cpu = max(longest, now - last), max(longest_cpu, cpu - last_cpu)
            last, last_cpu = now, cpu

    task = asyncio.create_task(other())
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
