"""How long the calls of a lost worker wait: `python -m bench.takeover`.

Two workers (flow `setting.flows:ANSWERING`) answer calls at a steady rate at a carrier that takes
300 ms for each. One of them is killed (SIGKILL), or frozen (SIGSTOP) and later continued, while
it processes calls; another is started. A call's wait runs from that moment until the carrier
receives its command from the worker that took over. `doubled` are calls with two commands, `lost`
those with none.
"""

import argparse
import asyncio
import os
import signal
import time
from dataclasses import dataclass, field

import uvloop
from rich.console import Console
from rich.table import Table

from bench.setting.calls import CountingCarrier, append_call
from bench.setting.carrier import listening
from bench.setting.children import Child
from bench.setting.machine import describe, percentile
from bench.setting.servers import running_log
from offhook.events import Decided
from offhook.jetstream.log import JetStreamLog

KILLS = 30
FREEZES = 10
RATE = 40.0
ANSWER_S = 0.3
BEFORE_S = 1.5
AFTER_S = 0.5
LATE_S = 20.0
POLL_S = 0.02


@dataclass(kw_only=True)
class Fault:
    """One way to lose a worker, and what it did to the calls."""

    name: str
    number: signal.Signals
    times: int = 0
    calls: int = 0
    waits_s: list[float] = field(default_factory=list)  # of the calls it left behind
    doubled: int = 0
    lost: int = 0


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench.takeover")
    options.add_argument("--kills", type=int, default=KILLS)
    options.add_argument("--freezes", type=int, default=FREEZES)
    options.add_argument("--rate", type=float, default=RATE, help="calls/s")
    given = options.parse_args()
    console = Console(width=100)
    console.print(describe("bench.takeover"), highlight=False)
    faults = uvloop.run(measure(given.kills, given.freezes, given.rate))
    console.print(table_of(faults, given.rate))


async def measure(kills: int, freezes: int, rate: float) -> list[Fault]:
    """Run all kills, then all freezes, on one log."""
    killed = Fault(name="kill -9", number=signal.SIGKILL)
    frozen = Fault(name="frozen", number=signal.SIGSTOP)
    async with listening(CountingCarrier(answer_s=ANSWER_S)) as carrier, running_log() as servers:
        settings = servers.worker_settings(carrier)
        workers = [await servers.start("workers", settings) for _ in range(2)]
        for fault, times in ((killed, kills), (frozen, freezes)):
            for _ in range(times):
                await _once(fault, workers.pop(0), servers.log, carrier, rate)
                workers.append(await servers.start("workers", settings))
    return [killed, frozen]


async def _once(
    fault: Fault, worker: Child, log: JetStreamLog, carrier: CountingCarrier, rate: float
) -> None:
    """Append calls at the rate throughout, and lose the worker in between."""
    calls: dict[str, float] = {}  # when each was appended, by its name
    lost_at = 0.0
    started = time.perf_counter()
    for number in range(int((BEFORE_S + AFTER_S) * rate)):
        await asyncio.sleep(max(0.0, started + number / rate - time.perf_counter()))
        if not lost_at and time.perf_counter() - started > BEFORE_S:
            os.kill(worker.pid, fault.number)
            lost_at = time.perf_counter()
        name = await append_call(log, f"{fault.name[:4]}-{worker.pid}-{number}")
        calls[name] = time.perf_counter()
    deadline = time.perf_counter() + LATE_S
    while time.perf_counter() < deadline and not await _all_settled(list(calls), log):  # noqa: ASYNC110
        await asyncio.sleep(POLL_S)
    if fault.number is signal.SIGSTOP:
        os.kill(worker.pid, signal.SIGCONT)
        await asyncio.sleep(2.0)  # whatever it does now must change nothing
    fault.times += 1
    fault.calls += len(calls)
    for name, appended_at in calls.items():
        commands = carrier.times.get(f"v3:{name}", {})
        fault.lost += not commands
        fault.doubled += len(commands) > 1
        since = max(appended_at, lost_at)
        arrived = [at - since for each in commands.values() for at in each if at > since]
        if arrived and await _was_left(worker.pid, name, min(arrived), log):
            fault.waits_s.append(min(arrived))


async def _all_settled(calls: list[str], log: JetStreamLog) -> bool:
    """Whether each call has its outcome; its records are webhook, decision, attempts, outcome."""
    for name in reversed(calls):
        records = await log.read(f"session-{name}")
        if not records or not type(records[-1].fact).__name__.startswith("CommandSucc"):
            return False
    return True


async def _was_left(pid: int, name: str, wait_s: float, log: JetStreamLog) -> bool:
    """Whether the lost worker had the call: it had decided and another worker took over, or it had
    not decided yet, so that the call waited longer than a normal one."""
    records = await log.read(f"session-{name}")
    decided = next(each.fact for each in records if isinstance(each.fact, Decided))
    if f"-{pid}-" in decided.worker:
        return any(getattr(each.fact, "because", "") == "taken over" for each in records)
    return wait_s > ANSWER_S


def table_of(faults: list[Fault], rate: float) -> Table:
    table = Table(title=f"Calls whose worker is lost, {rate:g} calls/s, 2 workers")
    for heading in ("", "times", "calls", "left", "p50 s", "p99 s", "max s"):
        table.add_column(heading, justify="right" if heading else "left")
    table.add_column("doubled", justify="right")
    table.add_column("lost", justify="right")
    for each in faults:
        waits = [f"{percentile(each.waits_s, percent):.2f}" for percent in (50, 99, 100)]
        table.add_row(
            each.name,
            str(each.times),
            str(each.calls),
            str(len(each.waits_s)),
            *waits,
            str(each.doubled),
            str(each.lost),
        )
    return table


if __name__ == "__main__":
    main()
