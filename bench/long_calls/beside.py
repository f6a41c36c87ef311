"""What calls at a worker take beside long work of it: `python -m bench.long_calls.beside`.

One call every 10 ms: from the append of its first record to its command at the carrier. Rounds take
turns, beside

    nothing                alone
    cold starts            each second one more record of a session of 10,000, another one each
                           time, that has rested: the worker that knew it has stored all of it
    their rests            the worker stores these sessions, after a rest of REST_S
    without a rest         cold starts with as many records after the snapshot as there can be,
                           long ago: that worker was killed less than REST_S after them
    cold reads elsewhere   sessions like these, read in the same way by another process: what of
                           the difference is the machine's, which has few cores
    one catching up        a session with 2,000 records that nobody has decided on
    many catching up       16 sessions of 125 such records, all at once

`ratio` is of the 99th percentiles of each round and the one beside nothing next to it, at the
median. `took` is from the append of the one more record to the last decision, by the log's clock;
elsewhere, what the read took. Processor time is the worker's in a round. WRONG if a call has not
exactly one command, if a session was not read from its snapshot, or if its records have not exactly
one decision each, in their order.
"""

import argparse
import asyncio
import itertools
import re
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import httpx
import uvloop
from nats.aio.client import Client
from rich.console import Console
from rich.table import Table

from bench.long_calls.sessions import append_event, append_long, snapshots_of
from bench.setting.calls import CountingCarrier, calls_at_rate
from bench.setting.carrier import listening
from bench.setting.children import Child
from bench.setting.machine import describe, median, percentile
from bench.setting.servers import running_log
from offhook.events import Decided
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.partitions import partitions_of
from offhook.jetstream.stream import WORKER, streams_of
from offhook.workers.reading.resting import REST_S

CALLS_PER_S = 100
ROUND_S = 4.0
COLD_EVERY_S = 1.0
COLD = {"cold": "complete", "unrested": "used"}  # what becomes of the snapshots
RESTS = "rests"
LONG = 10_000  # records
BACKLOG = 2_000
MANY = 16
LATE_S = 60.0
POLL_S = 0.05
KINDS = {
    "cold": "cold starts",
    "unrested": "without a rest",
    "elsewhere": "cold reads elsewhere",
    "one": "one catching up",
    "many": "many catching up",
}


@dataclass(kw_only=True)
class Row:
    p50: list[float] = field(default_factory=list)  # of each round, as all below
    p99: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    took_ms: list[float] = field(default_factory=list)
    wrong: str = ""


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """Sessions that the worker does not know, each with its last position that is decided on."""

    records: int  # undecided in each
    ends: dict[str, int]
    every_s: float  # from one to the next


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench.long_calls.beside")
    options.add_argument("--rounds", type=int, default=4)
    options.add_argument("--only", default=",".join(KINDS), help="kinds: " + ", ".join(KINDS))
    options.add_argument("--partitions", type=int, default=4)
    given = options.parse_args()
    console = Console(width=110)
    console.print(describe("bench.long_calls.beside"), highlight=False)
    console.print(uvloop.run(measure(given.rounds, given.only.split(","), given.partitions)))


async def measure(rounds: int, kinds: list[str], partitions: int) -> Table:
    """A row for each kind of work beside the calls."""
    async with listening(CountingCarrier()) as carrier, running_log(partitions) as servers:
        client, log = servers.client, servers.log
        backlogs = {
            (kind, each): await _backlog(client, log, kind, each)
            for kind in kinds
            for each in range(rounds)
        }
        await _skip(client)
        worker = await servers.start("workers", servers.worker_settings(carrier))
        reader = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.long_calls.reader", servers.nats_server.url,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        bench = _Calls(log=log, carrier=carrier, worker=worker, reader=reader)
        await bench.round("warm", Row(), None)
        rows = {kind: Row() for kind in ("nothing", *kinds)}
        for number in range(rounds):
            for kind in kinds:
                began_at: dict[str, float] = {}
                for each in ("nothing", kind) if number % 2 == 0 else (kind, "nothing"):
                    began_at[each] = time.perf_counter()
                    await bench.round(each, rows[each], backlogs.get((each, number)))
                alone = rows["nothing"].p99[-1]
                rows[kind].ratios.append(rows[kind].p99[-1] / alone)
                if kind in COLD:
                    await asyncio.sleep(began_at[kind] + REST_S - time.perf_counter())
                    rests = rows.setdefault(RESTS, Row()) if kind == "cold" else Row()
                    await bench.round(RESTS, rests, None)
                    rests.ratios.append(rests.p99[-1] / alone)
        counted = await _snapshots_of(worker)
        cold = rounds * int(ROUND_S / COLD_EVERY_S)
        for kind in COLD.keys() & rows.keys():
            if counted.get(COLD[kind]) != cold:
                rows[kind].wrong = rows[kind].wrong or "not every session was read as it should be"
        if RESTS in rows and counted.get("stored", 0) < cold:
            rows[RESTS].wrong = "not every session was stored"
        assert reader.stdin is not None
        reader.stdin.close()
        await reader.wait()
    return _table(rows)


@dataclass(frozen=True, kw_only=True)
class _Calls:
    """Runs rounds of calls at the worker."""

    log: JetStreamLog
    carrier: CountingCarrier
    worker: Child
    reader: asyncio.subprocess.Process
    labels: Iterator[int] = field(default_factory=itertools.count)

    async def round(self, kind: str, row: Row, backlog: Backlog | None) -> None:
        """Calls for ROUND_S, beside what the backlog's sessions need."""
        cpu_s = self.worker.cpu_s()
        label = f"{kind}-{next(self.labels)}"
        count = int(CALLS_PER_S * ROUND_S)
        calling = calls_at_rate(self.log, self.carrier, count, CALLS_PER_S, label=label)
        done, _ = await asyncio.gather(calling, self._beside(kind, row, backlog))
        if backlog is not None and kind != "elsewhere":
            await self._until_decided(row, backlog)
        row.cpu_s.append(self.worker.cpu_s() - cpu_s)
        if not all(map(self.carrier.is_once, done.healthy)):
            row.wrong = "a call has not exactly one command"
        latencies_ms = [each * 1000 for each in done.latencies_s(self.carrier)]
        row.p50.append(percentile(latencies_ms, 50))
        row.p99.append(percentile(latencies_ms, 99))

    async def _beside(self, kind: str, row: Row, backlog: Backlog | None) -> None:
        """Append one more record to each of the sessions, or have them read elsewhere."""
        if backlog is None:
            return
        for session_id in backlog.ends:
            await asyncio.sleep(backlog.every_s / 2)
            if kind == "elsewhere":
                await self._read_elsewhere(session_id, row)
            else:
                await append_event(self.log, session_id, LONG)
            await asyncio.sleep(backlog.every_s / 2)

    async def _read_elsewhere(self, session_id: str, row: Row) -> None:
        assert self.reader.stdin is not None
        assert self.reader.stdout is not None
        began_at = time.perf_counter()
        self.reader.stdin.write(f"{session_id}\n".encode())
        await self.reader.stdout.readline()
        row.took_ms.append((time.perf_counter() - began_at) * 1000)

    async def _until_decided(self, row: Row, backlog: Backlog) -> None:
        """Wait until everything is decided, and check it."""
        deadline = time.perf_counter() + LATE_S
        took_s: list[float] = []
        for session_id, end in backlog.ends.items():
            while True:
                new = await self.log.read(session_id, in_after=end, out_after=end)
                causes = [each.seq for each in new if each.side == "in"]
                decided = [each.fact for each in new if isinstance(each.fact, Decided)]
                if len(decided) >= len(causes) or time.perf_counter() > deadline:
                    break
                await asyncio.sleep(POLL_S)
            if [each.cause_seq for each in decided] != causes:
                row.wrong = "a record has not exactly one decision, in their order"
                continue
            woken_at = max(each.stored_at for each in new if each.side == "in")
            took_s.append((new[-1].stored_at - woken_at).total_seconds())
        if took_s:
            row.took_ms.append((max(took_s) if backlog.records else median(took_s)) * 1000)


async def _backlog(client: Client, log: JetStreamLog, kind: str, number: int) -> Backlog:
    if kind in ("cold", "unrested", "elsewhere"):
        snapshots = snapshots_of(client)
        names = [f"{kind}-{number}-{each}" for each in range(int(ROUND_S / COLD_EVERY_S))]
        ends = {
            each: await append_long(log, each, LONG, snapshots, has_rested=kind != "unrested")
            for each in names
        }
        return Backlog(records=0, ends=ends, every_s=COLD_EVERY_S)
    count = 1 if kind == "one" else MANY
    names = [f"{kind}-{number}-{each}" for each in range(count)]
    for session_id in names:
        await asyncio.gather(
            *(append_event(log, session_id, each) for each in range(BACKLOG // count))
        )
    return Backlog(records=BACKLOG // count, ends=dict.fromkeys(names, 0), every_s=0.0)


async def _skip(client: Client) -> None:
    """Workers begin with what comes from now on, as if others had settled the rest."""
    js = client.jetstream()
    for stream in streams_of(await partitions_of(client)):
        last_seq = (await js.stream_info(stream)).state.last_seq
        await js.reset_consumer(stream, WORKER, seq=last_seq + 1)


async def _snapshots_of(worker: Child) -> Mapping[str, float]:
    """How many it has stored, and used, by what became of them."""
    async with httpx.AsyncClient() as http:
        metrics = (await http.get(f"http://127.0.0.1:{worker.port}/metrics")).text
    found = re.findall(r'offhook_snapshots_total\{outcome="(\w+)"\} (\S+)', metrics)
    return {outcome: float(count) for outcome, count in found}


def _table(rows: dict[str, Row]) -> Table:
    table = Table(title=f"Calls at a worker, {CALLS_PER_S}/s", title_justify="left")
    headings = ("beside", "p50 ms", "p99 ms", "ratio of p99", "took ms", "worker CPU s", "right")
    for heading in headings:
        table.add_column(heading, justify="right")
    for kind, row in rows.items():
        table.add_row(
            {**KINDS, RESTS: "their rests"}.get(kind, kind),
            f"{median(row.p50):.1f}",
            f"{median(row.p99):.1f}",
            f"{median(row.ratios):.2f} ×" if row.ratios else "",
            f"{median(row.took_ms):,.0f}" if row.took_ms else "",
            f"{median(row.cpu_s):.2f}",
            f"WRONG: {row.wrong}" if row.wrong else "yes",
        )
    return table


if __name__ == "__main__":
    main()
