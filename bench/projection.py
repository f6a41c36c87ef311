"""From an event to the views: latency and processor time at given rates, and what a record costs.

    python -m bench.projection [--rates 100 1000 2000] [--rounds 1] [--seconds 10] [--partitions 4]
        [--projectors 1] [--sessions 10000 100000] [--events 10 10000 100000]

Rates: appends in an open loop over a bare connection, and so many projector processes, which share
the partitions; latency is from the append to the commit, by Postgres' notification. Beside it is
the processor time of all that take part, the load included. Then every row of the views is compared
with a cold fold of the log: a difference prints WRONG instead of figures. The rates take turns in
each round; figures are medians of the rounds, and `p99 of rounds` has the least and the most.
`--sessions`: what a record costs in processor time with so many sessions in the views; `--events`:
with so many records of one session. These two apply batches in this process, without a log, and
count its processor time and PostgreSQL's.
"""

import argparse
import asyncio
import itertools
import random
import resource
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import uvloop
from rich.console import Console
from rich.table import Table
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from bench.setting.children import Child, cpu_s_of, cpu_s_with_children, role
from bench.setting.machine import describe, hold_collections, median, percentile
from bench.setting.records import BATCH, STARTED_AT, call_records, entries_of, stored
from bench.setting.sender import Appends, Entry
from offhook.cli.embedded.nats_server import NatsServer
from offhook.cli.embedded.postgres_server import PostgresServer
from offhook.cli.embedded.prepare import MIGRATIONS, prepare
from offhook.codec.facts import Encoded
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.stream import PROJECTOR
from offhook.position import partition_of
from offhook.projections.projector.batch import Projection
from offhook.projections.projector.checkpoint import Fence, begin
from offhook.projections.views.database.engine import driver_of, open_database
from offhook.projections.views.database.transactions import begun
from offhook.projections.views.fold import folded_from
from offhook.projections.views.progress.checkpoint import CHANNEL
from offhook.projections.views.registry import VIEWS, rows_of
from offhook.projections.views.schema.migrate import migrate
from offhook.projections.views.view import columns_of
from offhook.settings import Settings

MEASURED = 5_000
CATCH_UP_S = 120.0
PROCESSES = ("projector", "Postgres", "NATS", "load")
"""Whose processor time is counted. `load` is this process, with what receives the notifications."""

Cost = tuple[str, str, str]
"""Milliseconds of this process and of PostgreSQL for a record, and megabytes of this process."""

PERCENTILES = (50, 99, 100)

console = Console(width=130)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Of one round."""

    latency_ms: Mapping[int, float]  # by percentile
    used_ms: Sequence[float]  # for each record, in the order of PROCESSES
    batch: float  # records


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rates", type=int, nargs="*", default=[100, 1_000, 2_000])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--projectors", type=int, nargs="*", default=[1])
    parser.add_argument("--sessions", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--events", type=int, nargs="*", default=[10, 10_000, 100_000])
    chosen = parser.parse_args()
    console.print(describe("bench.projection"), highlight=False)
    with tempfile.TemporaryDirectory(prefix="offhook-bench-") as name:
        folder = Path(name)
        with PostgresServer(folder / "postgres") as postgres:
            measure_rates(chosen, folder, postgres)
            costs = Table(title="processor time of a record", title_justify="left")
            for column in ("with", "ms each", "PostgreSQL ms each", "process at most, MB"):
                costs.add_column(column, justify="right")
            for count in chosen.sessions:
                url = _database(postgres, "sessions", count)
                found = asyncio.run(cost_with_sessions(url, count))
                for which, cost in zip(("of the latest", "of any"), found, strict=True):
                    costs.add_row(f"{count:,} sessions, {which}", *cost)
            for count in chosen.events:
                url = _database(postgres, "events", count)
                for cost in asyncio.run(cost_at_length(url, count)):
                    costs.add_row(f"{count:,} records of it", *cost)
            console.print(costs)


def measure_rates(chosen: argparse.Namespace, folder: Path, postgres: PostgresServer) -> None:
    kinds = [*itertools.product(chosen.rates, chosen.projectors)]
    rounds: dict[tuple[int, int], list[Figures | None]] = {kind: [] for kind in kinds}
    for number, (rate, count) in itertools.product(range(chosen.rounds), kinds):
        name = f"rate_{rate}_{count}_{number}"
        with NatsServer(folder / name) as nats, ExitStack() as stack:
            settings = Settings(
                nats_url=nats.url,
                nats_monitor_urls=(nats.monitor_url,),
                postgres_url=postgres.create_database(name),
                partitions=chosen.partitions,
                projector_port=0,
            )
            prepare(settings)
            projectors = [
                stack.enter_context(role("projections", settings, folder / f"{name}-{each}.log"))
                for each in range(count)
            ]
            servers = (postgres.pid, nats.pid)
            rounds[rate, count].append(
                uvloop.run(at_rate(settings, rate, chosen.seconds, projectors, servers))
            )
    console.print(_rates_table(rounds))


def _rates_table(rounds: Mapping[tuple[int, int], Sequence[Figures | None]]) -> Table:
    table = Table(
        title="append → views; processor time in ms for each record", title_justify="left"
    )
    latencies = ("p50 ms", "p99 ms", "p99 of rounds", "max ms")
    for column in ("per s", "processes", *latencies, *PROCESSES, "a batch", "views"):
        table.add_column(column, justify="right")
    for (rate, count), found in rounds.items():
        right = [each for each in found if each is not None]
        if len(right) < len(found):
            table.add_row(f"{rate:,}", str(count), *["WRONG"] * (len(PROCESSES) + 6))
            continue
        p50, p99, most = ([each.latency_ms[percent] for each in right] for percent in PERCENTILES)
        used_ms = zip(*(each.used_ms for each in right), strict=True)
        table.add_row(
            *(f"{rate:,}", str(count), f"{median(p50):.1f}", f"{median(p99):.1f}"),
            *(f"{min(p99):.0f}–{max(p99):.0f}", f"{median(most):.1f}"),
            *(f"{median(each):.3f}" for each in used_ms),
            *(f"{median([each.batch for each in right]):.1f}", "equal"),
        )
    return table


async def shared_out(engine: AsyncEngine, partitions: int, processes: int) -> None:
    """Wait until each projector process has its share of the partitions."""
    async with asyncio.timeout(CATCH_UP_S):
        while True:
            async with engine.connect() as connection:
                held = [*(await connection.execute(_HELD)).scalars()]
            if held == [partitions // processes] * processes:
                return
            await asyncio.sleep(0.05)


_HELD = text(
    "select count(*) from projector_leases join projectors on projector_id = holder"
    " where expires_at > clock_timestamp() group by holder"
)


async def at_rate(
    settings: Settings,
    rate: int,
    seconds: float,
    projectors: Sequence[Child],
    servers: tuple[int, int],
) -> Figures | None:
    """Latencies and processor time; None if the views are not right.

    `servers` are the processes of Postgres and nats-server.
    """
    seen: list[tuple[float, int]] = []
    url = settings.postgres_url.replace("postgresql+asyncpg", "postgresql")
    listening = await asyncpg.connect(url)
    await listening.add_listener(
        CHANNEL,
        lambda *sent: seen.append((time.perf_counter(), int(str(sent[3]).rpartition(":")[2]))),
    )
    client = await connect(settings.nats_url, "bench")
    log = JetStreamLog(client)
    engine = open_database(settings.postgres_url)
    await shared_out(engine, settings.partitions, len(projectors))
    names: set[str] = set()
    # Encoded beforehand: what sends is not what is measured.
    entries = itertools.islice(entries_of(), rate + int(rate * seconds))
    warming, sent = [*itertools.islice(entries, rate)], [*entries]
    for entry in warming:  # connections, caches and statements
        names.add(entry[0])
        await log.append(*entry)
    names |= {entry[0] for entry in sent}
    appends = Appends(sent)
    await asyncio.sleep(2)
    seen.clear()
    hold_collections()
    cpu_before = _cpu_s(projectors, *servers)
    appended = await asyncio.to_thread(appends.send, settings.nats_url, rate)
    ends: dict[int, int] = {}
    for seq in appended:
        ends[partition_of(seq)] = max(seq, ends.get(partition_of(seq), 0))
    async with asyncio.timeout(CATCH_UP_S):
        while not all(any(at >= end for _, at in seen) for end in ends.values()):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    used = [
        after - before
        for after, before in zip(_cpu_s(projectors, *servers), cpu_before, strict=True)
    ]
    is_right = await are_right(engine, log, names)
    batches = await _batches_of(engine, appended)
    await engine.dispose()
    await close(client)
    await listening.close()
    if not is_right:
        return None
    latencies = _latencies(appended, seen)
    return Figures(
        latency_ms={each: percentile(latencies, each) * 1000 for each in PERCENTILES},
        used_ms=[used_s / len(appended) * 1000 for used_s in used],
        batch=len(appended) / batches,
    )


def _cpu_s(projectors: Sequence[Child], postgres: int, nats: int) -> list[float]:
    """Processor time by now, in the order of PROCESSES."""
    return [
        sum(each.cpu_s() for each in projectors),
        cpu_s_with_children(postgres),
        cpu_s_of(nats),
        time.process_time(),
    ]


def _latencies(appended: Mapping[int, float], seen: Sequence[tuple[float, int]]) -> list[float]:
    """By partition: the first notification at or above a position is when the views had it."""
    found = []
    moves: dict[int, list[tuple[float, int]]] = {}
    for at, seq in seen:
        moves.setdefault(partition_of(seq), []).append((at, seq))
    waiting: dict[int, Iterator[tuple[float, int]]] = {
        key: iter(each) for key, each in moves.items()
    }
    reached: dict[int, tuple[float, int]] = {}
    for seq, began_at in sorted(appended.items()):
        partition = partition_of(seq)
        at, until = reached.get(partition, (0.0, -1))
        while until < seq:
            at, until = reached[partition] = next(waiting[partition])
        found.append(at - began_at)
    return found


async def _batches_of(engine: AsyncEngine, positions: Iterable[int]) -> int:
    """The transactions that copied these records. One notifies once for each of its partitions."""
    async with engine.connect() as connection:
        found = await connection.execute(
            text(
                "select count(distinct cast(xmin as text)) from event_log"
                " where seq = any(cast(:positions as bigint[]))"
            ),
            {"positions": list(positions)},
        )
        return int(found.scalar_one())


async def are_right(engine: AsyncEngine, log: JetStreamLog, names: set[str]) -> bool:
    """Whether the views have the rows of a cold fold of each session, and no others."""
    wanted: dict[str, set[str]] = {view.name: set() for view in VIEWS}
    for name in names:
        rows = rows_of(folded_from(name, await log.read(name)))
        for view in VIEWS:
            wanted[view.name] |= {repr(columns_of(view.table, row)) for row in rows[view.name]}
    async with engine.connect() as connection:
        for view in VIEWS:
            found = await connection.execute(select(view.table))
            if {repr(dict(row._mapping)) for row in found} != wanted[view.name]:
                return False
    return True


async def cost_with_sessions(url: str, count: int) -> list[Cost]:
    """Of a record of the latest of so many sessions, and of any: those are not in memory."""
    projection, calls = Projection(PROJECTOR), map(call_records, range(count))
    await _apply(url, projection, (records[0] for records in calls))
    latest = (call_records(number)[3] for number in range(count - MEASURED, count))
    some = random.Random(1).sample(range(count - MEASURED), min(count - MEASURED, MEASURED))
    any_of_them = (call_records(number)[3] for number in some)
    found = [await _apply(url, projection, latest, after_seq=count)]
    projection.forget()  # or a few sessions would all be in memory, and many not
    return [*found, await _apply(url, projection, any_of_them, after_seq=count + MEASURED)]


async def cost_at_length(url: str, count: int) -> list[Cost]:
    """Of a record of one session that has so many."""
    one = [call_records(0)[0]]
    dtmf = call_records(0)[-1]
    more = ((dtmf[0], dtmf[1], _renamed(dtmf[2], number)) for number in range(count - 1))
    last = ((dtmf[0], dtmf[1], _renamed(dtmf[2], count + each)) for each in range(MEASURED // 5))
    projection = Projection(PROJECTOR)
    await _apply(url, projection, itertools.chain(one, more))
    return [await _apply(url, projection, last, after_seq=count)]


def _renamed(encoded: Encoded, number: int) -> Encoded:
    """The same webhook with another event id."""
    old = encoded.fact_id.encode()
    new = f"{encoded.fact_id}-{number}".encode()
    return Encoded(
        type=encoded.type,
        version=encoded.version,
        fact_id=new.decode(),
        body=encoded.body.replace(old, new),
    )


async def _apply(
    url: str, projection: Projection, entries: Iterator[Entry], *, after_seq: int = 0
) -> Cost:
    """Apply the records in batches, after those up to `after_seq`: what each of them cost.

    The processor time is of this process, and of its connection's server process.
    """
    engine = open_database(url)
    seq, ours_s = after_seq, 0.0
    async with engine.connect() as connection:
        async with connection.begin():
            await begin(connection, PROJECTOR, STARTED_AT)
        driver = await driver_of(connection)
        await driver.execute("set plan_cache_mode = force_generic_plan")
        server = await driver.fetchval("select pg_backend_pid()")
        theirs_s = -cpu_s_of(server)
        while several := list(itertools.islice(entries, BATCH)):
            ours_s -= time.process_time()
            records = [stored(seq + n, *entry) for n, entry in enumerate(several, start=1)]
            async with begun(connection):
                applied = await projection.apply(connection, records, {0: Fence(seq=seq)})
            projection.keep(applied)
            seq = records[-1].seq
            ours_s += time.process_time()
        theirs_s += cpu_s_of(server)
    await engine.dispose()
    count = seq - after_seq
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return f"{ours_s / count * 1000:.3f}", f"{theirs_s / count * 1000:.3f}", f"{memory:.0f}"


def _database(postgres: PostgresServer, kind: str, count: int) -> str:
    url = postgres.create_database(f"{kind}_{count}")
    asyncio.run(migrate(url, MIGRATIONS))
    return url


if __name__ == "__main__":
    main()
