"""Does a second worker do a second worker's work? `python -m bench.workers`.

A burst of calls waits in the log; 1, 2 and 4 worker processes (flow `bench.flows:ANSWERING`) answer
them at a carrier that takes 200 ms for each. With 16 lanes the limit of one worker is
80 commands a second. Rounds in turn; a number is the median of its rounds.
"""

import argparse
import asyncio
import re
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import uvloop
from rich.console import Console
from rich.table import Table

from bench.carrier import Carrier, listening
from bench.children import Child, role
from bench.machine import describe, median
from cli.servers import NatsServer
from offhook.codec import encoded_webhook
from offhook.events import CallInitiated
from offhook.jetstream.connection import close, connect
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.stream import provision
from offhook.settings import Settings
from offhook.webhooks import wire_body

WORKERS = (1, 2, 4)
TARGETS = {2: 1.7, 4: 2.8}
LANES = 16
ANSWER_S = 0.2
CALLS = 1200
ROUNDS = 3
WARM_UP = 64
APPENDS_AT_ONCE = 64
TIMEOUT_S = 60.0


@dataclass(kw_only=True)
class SlowCarrier(Carrier):
    """`arrivals` counts requests, by command id."""

    answer_s: float = ANSWER_S
    expected: int = 0
    arrivals: Counter[str] = field(default_factory=Counter)
    answers: int = 0
    all_answered: asyncio.Event = field(default_factory=asyncio.Event)
    last_at: float = 0.0  # by `perf_counter`, of the last answer

    def expect(self, commands: int) -> None:
        """Begin to count anew."""
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
    """So many workers, and the commands a second of each round."""

    workers: int
    per_s: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)  # of the workers, for each command
    repeated: int = 0  # requests with a command id that had come before

    @property
    def limit_per_s(self) -> float:
        return self.workers * LANES / ANSWER_S


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench.workers")
    options.add_argument("--calls", type=int, default=CALLS, help="in a burst")
    options.add_argument("--rounds", type=int, default=ROUNDS)
    given = options.parse_args()
    console = Console(width=100)
    console.print(describe("bench.workers"), highlight=False)
    console.print(table_of(uvloop.run(measure(given.calls, given.rounds)), given.calls))


async def measure(calls: int, rounds: int) -> Sequence[Crew]:
    """Every crew in turn, so that what else the machine does meets all of them."""
    crews = [Crew(workers=workers) for workers in WORKERS]
    async with listening(SlowCarrier()) as carrier:
        with ExitStack() as stack:
            nats_server = stack.enter_context(NatsServer())
            client = await connect(nats_server.url, "bench")
            await provision(client, [nats_server.monitor_url])
            log = JetStreamLog(client)
            for _ in range(rounds):
                for crew in crews:
                    await _round(crew, nats_server, log, carrier, calls)
            await close(client)
    return crews


async def _round(
    crew: Crew, nats_server: NatsServer, log: JetStreamLog, carrier: SlowCarrier, calls: int
) -> None:
    settings = Settings(
        nats_url=nats_server.url,
        nats_monitor_urls=(nats_server.monitor_url,),
        carrier_url=carrier.url,
        carrier_key="bench",
        flows=("bench.flows:ANSWERING",),
        lanes_max=LANES,
    )
    with tempfile.TemporaryDirectory(prefix="offhook-bench-") as name, ExitStack() as stack:
        children: list[Child] = []
        for number in range(crew.workers):
            running = role("workers", settings, Path(name) / f"worker-{number}.log")
            # In a thread: meanwhile the carrier must be able to answer.
            children.append(await asyncio.to_thread(stack.enter_context, running))
        await _burst(log, carrier, WARM_UP)
        cpu_s = sum(each.cpu_s() for each in children)
        began = await _burst(log, carrier, calls)
        crew.cpu_ms.append((sum(each.cpu_s() for each in children) - cpu_s) * 1000 / calls)
        crew.per_s.append(calls / (carrier.last_at - began))
        crew.repeated += carrier.arrivals.total() - calls
        await asyncio.to_thread(stack.close)


async def _burst(log: JetStreamLog, carrier: SlowCarrier, calls: int) -> float:
    """Append so many calls as fast as the log takes them; return when every command is answered.

    When the first was appended, by `perf_counter`.
    """
    carrier.expect(calls)
    free = asyncio.Semaphore(APPENDS_AT_ONCE)

    async def append(name: str) -> None:
        async with free:
            await append_call(log, name)

    began = time.perf_counter()
    async with asyncio.timeout(TIMEOUT_S):
        await asyncio.gather(*(append(f"{began}-{each}") for each in range(calls)))
        await carrier.all_answered.wait()
    return began


async def append_call(log: JetStreamLog, name: str) -> str:
    """Append `call.initiated` of leg v3:NAME in session-NAME; the name as it is in both."""
    name = re.sub("[^A-Za-z0-9-]", "-", name)
    event = CallInitiated(
        event_id=f"event-{name}",
        call_control_id=f"v3:{name}",
        call_session_id=f"session-{name}",
        direction="incoming",
        from_="+12025550101",
        to="+12025550102",
    )
    encoded = encoded_webhook(wire_body(event), event.event_id)
    await log.append(f"session-{name}", "in", encoded)
    return name


def table_of(crews: Sequence[Crew], calls: int) -> Table:
    title = f"{calls} calls at once, {LANES} lanes a worker, {ANSWER_S * 1000:g} ms a command"
    table = Table(title=title)
    for heading in ("workers", "commands/s", "rounds", "of the limit", "× one worker"):
        table.add_column(heading, justify="right")
    table.add_column("target", justify="right")
    table.add_column("CPU ms each", justify="right")
    table.add_column("sent twice", justify="right")
    one = median(crews[0].per_s)
    for crew in crews:
        per_s = median(crew.per_s)
        target = TARGETS.get(crew.workers)
        table.add_row(
            str(crew.workers),
            f"{per_s:.0f}",
            f"{min(crew.per_s):.0f}–{max(crew.per_s):.0f}",
            f"{per_s / crew.limit_per_s:.0%} of {crew.limit_per_s:.0f}",
            f"{per_s / one:.2f} ×",
            f"≥ {target:g} ×" if target else "",
            f"{median(crew.cpu_ms):.1f}",
            str(crew.repeated),
        )
    return table


if __name__ == "__main__":
    main()
