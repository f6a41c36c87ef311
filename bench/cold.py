"""What a long call costs a worker that does not know it: `python -m bench.cold [--events 10000]`.

A session of so many records (half of them events, half the decisions on them) is in the log, and a
worker's cache reads it, as when its first delivery arrives. Another worker had it while it grew,
and stored its snapshots.

    from the log    from its first record, as without a snapshot
    snapshot        from its snapshot on, after which there are as many records as there can be
    known           once more, when the session is in the cache

`wait` is how long another task of the same process had to wait at most meanwhile, by the clock and
in processor time; `others` is what the read of a short session beside it took, at the 99th
percentile, and in the first row without anything beside it. Medians of the rounds; a state that
differs from a plain fold of the records prints WRONG.

Then calls at a worker, one every 10 ms: from the append of their first record to their command at
the carrier. Rounds of them take turns, alone and beside cold starts: each second one more record of
a session of 10,000 arrives, another one each time. WRONG if a call has not exactly one command, or
if a session was not read from its snapshot.
"""

import argparse
import asyncio
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import uvloop
from nats.aio.client import Client
from rich.console import Console
from rich.table import Table

from bench.fold import body_of, event_id_of, stored_of
from bench.setting.calls import CountingCarrier, calls_at_rate, in_turn
from bench.setting.carrier import listening
from bench.setting.children import role
from bench.setting.machine import describe, median, percentile
from offhook.cli.embedded.nats_server import NatsServer
from offhook.codec.facts import Encoded
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.partitions import partitions_of
from offhook.jetstream.provisioning.provision import provision
from offhook.jetstream.snapshots import JetStreamSnapshots
from offhook.jetstream.stream import WORKER, streams_of
from offhook.jetstream.subjects import Side
from offhook.session import Session, fold
from offhook.settings import Settings
from offhook.workers.metrics import WorkerMetrics
from offhook.workers.sessions.cache import SessionCache
from offhook.workers.sessions.fingerprint import fold_fingerprint
from offhook.workers.sessions.snapshots import Snapshots
from offhook.workers.sessions.state import SNAPSHOT_SHARE

SESSION = "long"
OTHER = "other"
TARGET_MS = 150.0
APPENDS_AT_ONCE = 64
ALONE_S = 0.5

CALLS_PER_S = 100
COLD_EVERY_S = 1.0
ROUND_S = 4.0
LONG = 10_000  # records


@dataclass(kw_only=True)
class Cost:
    """Of each round, in milliseconds."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    wait: list[float] = field(default_factory=list)
    wait_cpu: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)  # of each read beside it


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench.cold")
    options.add_argument("--events", default="100,1000,10000", help="records of the session")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--only", choices=["reads", "calls"])
    given = options.parse_args()
    console = Console(width=110)
    console.print(describe("bench.cold"), highlight=False)
    table = Table(title="A session that the worker does not know", title_justify="left")
    for heading in (
        "records", "", "tail", "wall ms", "target", "CPU ms", "wait ms", "of it CPU", "others ms",
        "right",
    ):  # fmt: skip
        table.add_column(heading, justify="right")
    if given.only != "calls":
        for count in map(int, given.events.split(",")):
            with NatsServer() as nats_server:
                for row in uvloop.run(measure(nats_server, count, given.rounds)):
                    table.add_row(f"{count:,}", *row)
        console.print(table)
    if given.only != "reads":
        console.print(uvloop.run(calls_beside(given.rounds)))


async def measure(nats_server: NatsServer, count: int, rounds: int) -> list[list[str]]:
    """A row for each way to read the session, after one for nothing."""
    client = await connect(nats_server.url, "bench")
    await provision(client, [nats_server.monitor_url])
    log = JetStreamLog(client)
    snapshots = Snapshots(
        JetStreamSnapshots(client), fold_fingerprint(), metrics=WorkerMetrics(), sleep=_at_once
    )
    await _append(log, count, snapshots)
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
    await close(client)
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


async def _at_once(seconds: float) -> None:
    await asyncio.sleep(0)


async def calls_beside(rounds: int) -> Table:
    """What calls take, alone and beside cold starts."""
    ms: tuple[list[list[float]], list[list[float]]] = ([], [])  # of each round
    wrong = ""
    per_round = round(ROUND_S / COLD_EVERY_S)
    with ExitStack() as stack:
        nats_server = stack.enter_context(NatsServer())
        client = await connect(nats_server.url, "bench")
        await provision(client, [nats_server.monitor_url])
        log = JetStreamLog(client)
        snapshots = Snapshots(
            JetStreamSnapshots(client), fold_fingerprint(), metrics=WorkerMetrics(), sleep=_at_once
        )
        sessions = [f"long-{number}" for number in range(rounds * per_round)]
        for session_id in sessions:
            await _append_long(log, session_id, snapshots)
        await _skip(client)
        async with listening(CountingCarrier()) as carrier:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory("-offhook-bench")))
            settings = Settings(
                nats_url=nats_server.url,
                nats_monitor_urls=(nats_server.monitor_url,),
                carrier_url=carrier.url,
                carrier_key="bench",
                flows=("bench.setting.flows:ANSWERING",),
            )
            started = role("workers", settings, directory / "worker.log")
            worker = await asyncio.to_thread(stack.enter_context, started)
            count = int(CALLS_PER_S * ROUND_S)
            await calls_at_rate(log, carrier, count, CALLS_PER_S, label="warm")
            waiting = iter(sessions)
            for number in range(rounds):
                for is_beside in in_turn(number):
                    cold = [next(waiting) for _ in range(per_round * is_beside)]
                    waking = asyncio.create_task(_wake(log, cold))
                    done = await calls_at_rate(
                        log, carrier, count, CALLS_PER_S, label=f"{number}-{is_beside:d}"
                    )
                    await waking
                    ms[is_beside].append([each * 1000 for each in done.latencies_s(carrier)])
                    if not all(map(carrier.is_once, done.healthy)):
                        wrong = "a call has not exactly one command"
            async with httpx.AsyncClient() as http:
                metrics = (await http.get(f"http://127.0.0.1:{worker.port}/metrics")).text
            if f'offhook_snapshots_total{{outcome="used"}} {len(sessions)}.0' not in metrics:
                wrong = wrong or "not every session was read from its snapshot"
            await close(client)
            await asyncio.to_thread(stack.close)
    table = Table(title=f"Calls at a worker, {CALLS_PER_S}/s", title_justify="left")
    for heading in ("beside", "p50 ms", "p99 ms", "p99, ratio of rounds", "right"):
        table.add_column(heading, justify="right")
    alone, beside = ([percentile(each, 99) for each in some] for some in ms)
    ratios = [after / before for before, after in zip(alone, beside, strict=True)]
    for name, some, p99, ratio in (
        ("nothing", ms[0], alone, ""),
        ("a cold start each second", ms[1], beside, f"{median(ratios):.2f} ×"),
    ):
        p50 = median([percentile(each, 50) for each in some])
        right = f"WRONG: {wrong}" if wrong else "yes"
        table.add_row(name, f"{p50:.1f}", f"{median(p99):.1f}", ratio, right)
    return table


async def _append_long(log: JetStreamLog, session_id: str, snapshots: Snapshots) -> None:
    """A long session, with a snapshot as old as one can be."""
    entries = stored_of(LONG // 2, session_id)
    tail = LONG // (SNAPSHOT_SHARE + 1)
    for some in (entries[:-tail], entries[-tail:]):
        for first in range(0, len(some), APPENDS_AT_ONCE):
            at_once = some[first : first + APPENDS_AT_ONCE]
            await asyncio.gather(*(_append_one(log, session_id, each) for each in at_once))
        if some[0] is not entries[0]:
            continue
        state = await SessionCache(log, asyncio.sleep).read(session_id)
        await state.next_cause()
        snapshot = state.due_snapshot(snapshots.every)
        assert snapshot is not None, "it is folded to its end"
        snapshots.offer(snapshot)
        await snapshots.store_offered()


async def _skip(client: Client) -> None:
    """Workers begin with what comes from now on, as if others had settled the rest."""
    js = client.jetstream()
    for stream in streams_of(await partitions_of(client)):
        last_seq = (await js.stream_info(stream)).state.last_seq
        await js.reset_consumer(stream, WORKER, seq=last_seq + 1)


async def _wake(log: JetStreamLog, sessions: list[str]) -> None:
    """Append one more record to each, one after another."""
    for session_id in sessions:
        await asyncio.sleep(COLD_EVERY_S / 2)
        body, event_id = body_of(LONG, session_id), event_id_of(LONG, session_id)
        await _append_one(log, session_id, (0, "WebhookReceived", body, event_id))
        await asyncio.sleep(COLD_EVERY_S / 2)


async def _append(log: JetStreamLog, count: int, snapshots: Snapshots) -> None:
    """Append the records, beside a worker that has the session; and one to the short session."""
    cache = SessionCache(log, asyncio.sleep)
    tail = max(snapshots.every, count // (SNAPSHOT_SHARE + 1))  # before another one is due
    entries = stored_of(count // 2)
    for first in range(0, len(entries), APPENDS_AT_ONCE):
        some = entries[first : first + APPENDS_AT_ONCE]
        # Each side in order: a client sends in the order in which it was asked to.
        await asyncio.gather(*(_append_one(log, SESSION, each) for each in some))
        state = await cache.read(SESSION)
        await state.next_cause()
        if first + len(some) > count - tail:
            continue
        if (snapshot := state.due_snapshot(snapshots.every)) is not None:
            snapshots.offer(snapshot)
            await snapshots.store_offered()
    _, kind, body, _ = entries[0]
    await _append_one(log, OTHER, (0, kind, body, "other-event"))


async def _append_one(
    log: JetStreamLog, session_id: str, entry: tuple[int, str, bytes, str]
) -> None:
    _, kind, body, fact_id = entry
    side: Side = "in" if kind == "WebhookReceived" else "out"
    await log.append(session_id, side, Encoded(type=kind, version=1, fact_id=fact_id, body=body))


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
