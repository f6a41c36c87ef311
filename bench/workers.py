"""What a second and a fourth worker add: `python -m bench.workers`.

A burst of calls waits in the log; 1, 2 and 4 worker processes (flow `setting.flows:ANSWERING`)
answer them at a carrier that takes 200 ms for each. With 16 slots the limit of one worker is 80
commands a second; with `--answer-ms 0` the processor is the limit. `lean` is the same number of
`bench.rivals.lean_worker` processes, with the same number of slots, on rows in PostgreSQL. Rounds
take turns; a figure is the median of its rounds.
"""

import argparse
import asyncio
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

import asyncpg
import uvloop
from rich.console import Console
from rich.table import Table

from bench.rivals.lean_worker import INSERT, TABLE
from bench.setting.calls import append_call, call_initiated
from bench.setting.carrier import StubCarrier, listening
from bench.setting.children import Child, child
from bench.setting.machine import describe, median
from bench.setting.servers import Servers, running_log
from offhook.cli.embedded.postgres_server import PostgresServer
from offhook.codec.webhooks import wire_body

WORKERS = (1, 2, 4)
TARGETS = {2: 1.7, 4: 2.8}
SLOTS = 16
ANSWER_S = 0.2
CALLS = 1200
ROUNDS = 3
WARM_UP = 64
APPENDS_AT_ONCE = 64
ROWS_AT_ONCE = 16  # connections to PostgreSQL
TIMEOUT_S = 60.0
SETTLED_POLL_S = 0.02
OPEN_ROWS = "select count(*) from events where outcome is null"


@dataclass(kw_only=True)
class SlowCarrier(StubCarrier):
    """`arrivals` counts requests, by command id."""

    answer_s: float = ANSWER_S
    expected: int = 0
    arrivals: Counter[str] = field(default_factory=Counter)
    answers: int = 0
    all_answered: asyncio.Event = field(default_factory=asyncio.Event)
    last_at: float = 0.0  # when the last response was sent, by `perf_counter`

    def expect(self, commands: int) -> None:
        """Restart the count."""
        self.expected = commands
        self.arrivals.clear()
        self.answers = 0
        self.all_answered.clear()

    def arrived(self, call_control_id: str, command_id: str) -> None:
        self.arrivals[command_id] += 1

    def answered(self) -> None:
        self.answers += 1
        self.last_at = time.perf_counter()
        if len(self.arrivals) == self.expected and self.answers >= self.arrivals.total():
            self.all_answered.set()


@dataclass(kw_only=True)
class Crew:
    """A number of workers of one kind, and the commands a second of each round."""

    name: str
    workers: int
    answer_s: float
    per_s: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)  # of the workers, for each command
    repeated: int = 0  # requests whose command id had already arrived

    @property
    def limit_per_s(self) -> float:
        """The limit set by the slots; infinite if the carrier responds at once."""
        return self.workers * SLOTS / self.answer_s if self.answer_s else math.inf


Append = Callable[[str], Awaitable[object]]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Where the workers' calls are appended, and the carrier they send commands to."""

    carrier: SlowCarrier
    servers: Servers
    database_url: str
    rows: "asyncpg.Pool[asyncpg.Record]"

    def append_to(self, name: str) -> Append:
        return self._append_row if name == "lean" else partial(append_call, self.servers.log)

    async def _append_row(self, name: str) -> None:
        event = call_initiated(name)
        await self.rows.execute(INSERT, event.event_id, wire_body(event).decode())

    async def rows_settled(self) -> None:
        """Wait until every outcome is committed; stopping a worker earlier leaves a row open."""
        for _ in range(int(TIMEOUT_S / SETTLED_POLL_S)):
            if not await self.rows.fetchval(OPEN_ROWS):
                return
            await asyncio.sleep(SETTLED_POLL_S)
        raise TimeoutError(f"rows are open after {TIMEOUT_S:g} s")


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench.workers")
    options.add_argument("--calls", type=int, default=CALLS, help="in a burst")
    options.add_argument("--rounds", type=int, default=ROUNDS)
    options.add_argument("--answer-ms", type=float, default=ANSWER_S * 1000, help="of the carrier")
    given = options.parse_args()
    console = Console(width=110)
    console.print(describe("bench.workers"), highlight=False)
    crews = uvloop.run(measure(given.calls, given.rounds, given.answer_ms / 1000))
    console.print(table_of(crews, given.calls))


async def measure(calls: int, rounds: int, answer_s: float) -> Sequence[Crew]:
    """Run the crews in turn, so that other load on the machine affects all of them."""
    crews = [
        Crew(name=name, workers=workers, answer_s=answer_s)
        for workers in WORKERS
        for name in ("offhook", "lean")
    ]
    async with listening(SlowCarrier(answer_s=answer_s)) as carrier, running_log() as servers:
        database_url = (await servers.enter(PostgresServer())).libpq_url
        async with asyncpg.create_pool(database_url, max_size=ROWS_AT_ONCE) as rows:
            await rows.execute(TABLE)
            stage = Stage(carrier=carrier, servers=servers, database_url=database_url, rows=rows)
            for _ in range(rounds):
                for crew in crews:
                    await _round(crew, stage, calls)
    return crews


async def _round(crew: Crew, stage: Stage, calls: int) -> None:
    carrier, servers = stage.carrier, stage.servers
    hand_made = ["-m", "bench.rivals.lean_worker", stage.database_url, carrier.url, str(SLOTS)]
    settings = servers.worker_settings(carrier, lanes_max=SLOTS)
    with ExitStack() as stack:
        children: list[Child] = []
        for number in range(crew.workers):
            running = (
                child(hand_made, {}, servers.directory / f"lean-{number}.log")
                if crew.name == "lean"
                else servers.role("workers", settings)
            )
            # In a thread, so that the carrier can answer meanwhile.
            children.append(await asyncio.to_thread(stack.enter_context, running))
        append = stage.append_to(crew.name)
        await _burst(append, carrier, WARM_UP)
        await stage.rows_settled()
        cpu_s = sum(each.cpu_s() for each in children)
        began = await _burst(append, carrier, calls)
        crew.cpu_ms.append((sum(each.cpu_s() for each in children) - cpu_s) * 1000 / calls)
        crew.per_s.append(calls / (carrier.last_at - began))
        crew.repeated += carrier.arrivals.total() - calls
        await stage.rows_settled()
        await asyncio.to_thread(stack.close)


async def _burst(append_one: Append, carrier: SlowCarrier, calls: int) -> float:
    """Append the calls as fast as the log accepts them, and wait until every command is answered.

    Returns when the first was appended, by `perf_counter`.
    """
    carrier.expect(calls)
    free = asyncio.Semaphore(APPENDS_AT_ONCE)

    async def append(name: str) -> None:
        async with free:
            await append_one(name)

    began = time.perf_counter()
    async with asyncio.timeout(TIMEOUT_S):
        await asyncio.gather(*(append(f"{began}-{each}") for each in range(calls)))
        await carrier.all_answered.wait()
    return began


def table_of(crews: Sequence[Crew], calls: int) -> Table:
    title = (
        f"{calls} calls at once, {SLOTS} slots a worker, {crews[0].answer_s * 1000:g} ms a command"
    )
    table = Table(title=title)
    table.add_column("")
    for heading in ("workers", "commands/s", "rounds", "of the limit", "× one worker"):
        table.add_column(heading, justify="right")
    table.add_column("target", justify="right")
    table.add_column("CPU ms each", justify="right")
    table.add_column("sent twice", justify="right")
    one = {crew.name: median(crew.per_s) for crew in crews if crew.workers == WORKERS[0]}
    for crew in crews:
        per_s = median(crew.per_s)
        target = TARGETS.get(crew.workers) if crew.name == "offhook" and crew.answer_s else None
        limit = f"{per_s / crew.limit_per_s:.0%} of {crew.limit_per_s:.0f}" if crew.answer_s else ""
        table.add_row(
            crew.name,
            str(crew.workers),
            f"{per_s:.0f}",
            f"{min(crew.per_s):.0f}–{max(crew.per_s):.0f}",
            limit,
            f"{per_s / one[crew.name]:.2f} ×",
            f"≥ {target:g} ×" if target else "",
            f"{median(crew.cpu_ms):.1f}",
            str(crew.repeated),
        )
    return table


if __name__ == "__main__":
    main()
