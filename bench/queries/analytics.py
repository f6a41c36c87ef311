"""What analytics take over many calls, and what the roll-ups cost the projector.

    python -m bench.queries.analytics [--legs 100000 10000000] [--rounds 40] [--records 16000]
        [--keep DIR]

Legs are made inside Postgres, over a year: eight connections, 40 number prefixes, two flows, ten
outcomes; with a command for each, and a visit to a queue for each fourth. Each query runs once to
warm up, then `--rounds` times, with the sizes in turns. With `--keep` Postgres is in that folder,
and what it has from another run is migrated and measured again: ten million legs take long to make.
The cost is the processor time of this process and of its connection's server process, of batches of
100 records, with the triggers of the roll-ups and without them, in turns.
"""

import argparse
import asyncio
import gc
import itertools
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bench.queries.filling import fill_table, has_database
from bench.setting.children import cpu_s_of
from bench.setting.machine import describe, median, percentile
from bench.setting.records import BATCH, STARTED_AT, entries_of, stored
from offhook.cli.embedded.postgres_server import PostgresServer
from offhook.cli.embedded.prepare import MIGRATIONS
from offhook.jetstream.stream import PROJECTOR
from offhook.projections.projector.batch import Projection
from offhook.projections.projector.checkpoint import Fence, begin
from offhook.projections.views.analytics.grouping.wanted import GroupsWanted
from offhook.projections.views.analytics.groups import read_groups
from offhook.projections.views.analytics.hourly.kept import HOURLY_TABLES, make_everything
from offhook.projections.views.analytics.load.load import read_load
from offhook.projections.views.analytics.rollups.changes import FILL_CHANGES
from offhook.projections.views.analytics.rollups.filling import fill_rollups
from offhook.projections.views.analytics.rollups.tables import ROLLUPS
from offhook.projections.views.analytics.subject_figures import read_figures
from offhook.projections.views.analytics.subjects.commands import COMMANDS
from offhook.projections.views.analytics.subjects.subject import Subject
from offhook.projections.views.analytics.subjects.visits import VISITS
from offhook.projections.views.database.engine import driver_of, open_database
from offhook.projections.views.database.transactions import begun
from offhook.projections.views.schema.migrate import migrate

END = datetime(2026, 11, 27, tzinfo=UTC)
YEAR = timedelta(days=365)
ROUNDS_OF_COST = 4

console = Console(width=110)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--legs", type=int, nargs="*", default=[100_000, 10_000_000])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--records", type=int, default=16_000)
    parser.add_argument("--keep", type=Path)
    chosen = parser.parse_args()
    console.print(describe("bench.queries.analytics"), highlight=False)
    with (
        tempfile.TemporaryDirectory(prefix="offhook-bench-") as folder,
        PostgresServer(chosen.keep or Path(folder) / "postgres") as postgres,
    ):
        if chosen.records:
            show_cost(postgres, chosen.records)
        if chosen.legs:
            show_queries(postgres, chosen.legs, chosen.rounds)


def show_queries(postgres: PostgresServer, sizes: Sequence[int], rounds: int) -> None:
    urls = []
    for size in sizes:
        name = f"legs_{size}"
        is_kept = has_database(postgres, name)
        url = postgres.url_of(name) if is_kept else postgres.create_database(name)
        asyncio.run(migrate(url, MIGRATIONS))
        made = {} if is_kept else asyncio.run(fill(url, size))
        for part, value in made.items():
            console.print(f"{size:,} legs: {part} {value}", highlight=False)
        urls.append(url)
    found = asyncio.run(measure(urls, rounds))
    table = Table(title="GET /analytics/…, without HTTP, ms", title_justify="left")
    table.add_column("query")
    columns = (column for size in sizes for column in (f"{size:,} legs: p50", "p99"))
    for column in (*columns, "ratio p50", "p99"):
        table.add_column(column, justify="right")
    for query, by_size in found.items():
        medians, worst = (
            [percentile(times, percent) * 1000 for times in by_size] for percent in (50, 99)
        )
        figures = (f"{each:.1f}" for pair in zip(medians, worst, strict=True) for each in pair)
        ratios = (f"{each[-1] / each[0]:.2f}" for each in (medians, worst))
        table.add_row(query, *figures, *ratios)
    console.print(table)


def queries() -> Mapping[str, GroupsWanted]:
    def of(days: int, **more: Any) -> GroupsWanted:
        return GroupsWanted(start=END - timedelta(days=days), end=END, **more)

    return {
        "day, total": of(1),
        "day, by hour": of(1, unit="hour"),
        "day, by hour and connection": of(1, unit="hour", by=["connection_id"]),
        "day, by cause, source and SIP": of(
            1, by=["hangup_cause", "hangup_source", "sip_hangup_cause"]
        ),
        "week, by prefix": of(7, by=["number_prefix"], top=20),
        "month, by day in Berlin": of(30, unit="day", tz="Europe/Berlin"),
        "month, by day and direction": of(30, unit="day", by=["direction"]),
        "month, by flow and version": of(30, by=["flow", "flow_version"]),
        "month, of one connection, by cause": of(
            30, by=["hangup_cause"], filters={"connection_id": "connection-3"}
        ),
        "year, total": of(365),
        "year, by month": of(365, unit="month"),
        "year, by cause": of(365, by=["hangup_cause"]),
    }


def load_queries() -> Mapping[str, GroupsWanted]:
    def of(days: int, **more: Any) -> GroupsWanted:
        return GroupsWanted(start=END - timedelta(days=days), end=END, **more)

    return {
        "load, day by hour": of(1, unit="hour"),
        "load, week": of(7),
        "load, week by day and connection": of(7, unit="day", by=["connection_id"]),
        "load, month": of(30),
        "load, month by day": of(30, unit="day"),
        "load, month by direction": of(30, by=["direction"]),
    }


def figure_queries() -> Mapping[str, tuple[Subject, GroupsWanted, Mapping[str, float]]]:
    def of(days: int, **more: Any) -> GroupsWanted:
        return GroupsWanted(start=END - timedelta(days=days), end=END, **more)

    policy = {"service_level_s": 20.0, "short_abandon_s": 5.0}
    return {
        "commands, day by hour": (COMMANDS, of(1, unit="hour"), {}),
        "commands, month": (COMMANDS, of(30), {}),
        "commands, month by operation": (COMMANDS, of(30, by=["operation"]), {}),
        "commands, month by outcome": (COMMANDS, of(30, by=["status", "reason"]), {}),
        "queues, day by hour": (VISITS, of(1, unit="hour"), policy),
        "queues, month by queue": (VISITS, of(30, by=["queue"]), policy),
        "queues, month by day and queue": (VISITS, of(30, unit="day", by=["queue"]), policy),
    }


async def measure(urls: Sequence[str], rounds: int) -> dict[str, list[list[float]]]:
    """Seconds of each round, by query and database; the databases take turns.

    Before them, what was imported is put aside as by a role that starts (`offhook.process.serve`):
    a full collection would walk over it, in 50 ms.
    """
    gc.collect()
    gc.freeze()
    engines = [open_database(url) for url in urls]
    found: dict[str, list[list[float]]] = {}
    async with AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(engine.connect()) for engine in engines]
        for name, count in reads().items():
            for connection in connections:
                assert await count(connection) > 0
            found[name] = [[] for _ in connections]
            for _ in range(rounds):
                for times, connection in zip(found[name], connections, strict=True):
                    began_at = time.perf_counter()
                    await count(connection)
                    times.append(time.perf_counter() - began_at)
    for engine in engines:
        await engine.dispose()
    return found


def reads() -> Mapping[str, Callable[[AsyncConnection], Awaitable[int]]]:
    """The queries, each as a function that says how much it has counted."""

    def groups(wanted: GroupsWanted) -> Callable[[AsyncConnection], Awaitable[int]]:
        async def count(connection: AsyncConnection) -> int:
            return sum(
                group.counts["calls"] for group in await read_groups(connection, wanted, END)
            )

        return count

    def load(wanted: GroupsWanted) -> Callable[[AsyncConnection], Awaitable[int]]:
        async def count(connection: AsyncConnection) -> int:
            return sum(each.calls for each in await read_load(connection, wanted, END))

        return count

    def figures(
        subject: Subject, wanted: GroupsWanted, policy: Mapping[str, float]
    ) -> Callable[[AsyncConnection], Awaitable[int]]:
        async def count(connection: AsyncConnection) -> int:
            found = await read_figures(connection, subject, wanted, policy)
            return sum(each.counts[subject.size] for each in found)

        return count

    return {
        **{name: groups(wanted) for name, wanted in queries().items()},
        **{name: load(wanted) for name, wanted in load_queries().items()},
        **{name: figures(*asked) for name, asked in figure_queries().items()},
    }


async def fill(url: str, size: int) -> dict[str, str]:
    """Make the legs and their roll-ups; what there is then."""
    engine = open_database(url, statement_timeout_s=None)
    began_at = time.perf_counter()
    async with engine.begin() as connection:
        for table, rows in (("legs", _LEGS), ("commands", _COMMANDS), ("queue_visits", _VISITS)):
            values = {"size": size, "end": END, "year": YEAR}
            await fill_table(connection, table, rows, values)
    legs_s = time.perf_counter() - began_at
    began_at = time.perf_counter()
    async with engine.begin() as connection:
        await fill_rollups(connection)
    rollups_s = time.perf_counter() - began_at
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("vacuum analyze legs, commands, queue_visits"))
    began_at = time.perf_counter()
    async with engine.begin() as connection:
        for statement in FILL_CHANGES.values():
            await connection.execute(text(statement))
        await connection.execute(text("analyze hour_changes"))
        await make_everything(connection)
    hours_s = time.perf_counter() - began_at
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        tables = ", ".join(
            [
                "legs",
                "commands",
                "queue_visits",
                *(table.name for table in (*ROLLUPS, *HOURLY_TABLES)),
            ]
        )
        await connection.execute(text(f"vacuum analyze {tables}"))
        found = await connection.execute(text("select count(*) from leg_sums"))
        rows = found.scalar_one()
    await engine.dispose()
    return {
        "made in": f"{legs_s:.0f} s",
        "rolled up in": f"{rollups_s:.0f} s, {rows:,} rows",
        "hours made in": f"{hours_s:.0f} s",
    }


def show_cost(postgres: PostgresServer, records: int) -> None:
    found: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for number in range(ROUNDS_OF_COST * 2):
        is_kept = bool(number % 2)
        url = _migrated(postgres, f"cost_{number}")
        found[is_kept].append(asyncio.run(cost(url, records, is_kept=is_kept)))
    table = Table(title="processor time of a record, ms (median)", title_justify="left")
    for column in ("roll-ups", "projector", "Postgres", "both"):
        table.add_column(column, justify="right")
    both = {}
    for is_kept, figures in found.items():
        ours, theirs = (median([each[at] for each in figures]) for at in (0, 1))
        both[is_kept] = median([sum(each) for each in figures])
        row = (ours, theirs, both[is_kept])
        table.add_row("kept" if is_kept else "none", *(f"{each:.3f}" for each in row))
    console.print(table)
    console.print(f"roll-ups cost {both[True] / both[False] - 1:+.1%} of both")


async def cost(url: str, records: int, *, is_kept: bool) -> tuple[float, float]:
    """Milliseconds of this process and of the server's for each record."""
    engine = open_database(url)
    if not is_kept:
        async with engine.begin() as connection:
            for table in ("legs", "commands", "queue_visits"):
                await connection.execute(text(f"alter table {table} disable trigger user"))
    entries = itertools.islice(entries_of(), records * 5 // 4)
    projection, seq, count = Projection(PROJECTOR), 0, 0
    ours_s = theirs_s = 0.0
    async with engine.connect() as connection:
        async with connection.begin():
            await begin(connection, PROJECTOR, STARTED_AT)
        driver = await driver_of(connection)
        await driver.execute("set plan_cache_mode = force_generic_plan")
        pid = await driver.fetchval("select pg_backend_pid()")
        while several := list(itertools.islice(entries, BATCH)):
            if count == 0 and seq >= records // 4:
                ours_s, theirs_s = -time.process_time(), -cpu_s_of(pid)
            batch = [stored(seq + n, *entry) for n, entry in enumerate(several, start=1)]
            async with begun(connection):
                applied = await projection.apply(connection, batch, {0: Fence(seq=seq)})
            projection.keep(applied)
            seq = batch[-1].seq
            count += len(batch) if ours_s else 0
        ours_s += time.process_time()
        theirs_s += cpu_s_of(pid)
    await engine.dispose()
    return ours_s / count * 1000, theirs_s / count * 1000


def _migrated(postgres: PostgresServer, name: str) -> str:
    url = postgres.create_database(name)
    asyncio.run(migrate(url, MIGRATIONS))
    return url


# A call of three is not answered; nine of ten incoming SIP codes are not known.
_LEGS = """
insert into legs (
    call_control_id, session_id, connection_id, direction, from_number, to_number, state,
    started_at, answered_at, ended_at, hangup_cause, hangup_source, sip_hangup_cause, talk_s,
    quality, cost, currency, number_prefix, flow, flow_version, last_seq
)
select 'v3:' || md5(n::text), md5(n::text || 's'), 'connection-' || n % 8, direction,
    '+12025550100', '+1' || lpad((hash % 1000000)::text, 10, '0'), 'ended', started_at,
    started_at + delay, started_at + coalesce(delay, interval '20 s') + talk,
    (array['normal_clearing', 'user_busy', 'no_answer', 'call_rejected', 'originator_cancel'])
        [case when delay is null then 2 + hash % 4 else 1 end],
    (array['caller', 'callee'])[1 + hash % 2],
    case when direction = 'outgoing' then
        (array['200', '486', '480', '603', '487'])
            [case when delay is null then 2 + hash % 4 else 1 end]
    end,
    extract(epoch from talk),
    case when delay is not null then
        '{"inbound": {"mos": "4.5", "packet_count": "900", "skip_packet_count": "3"}}'::jsonb end,
    case when delay is not null then 0.0075 end, case when delay is not null then 'USD' end,
    '+1' || 200 + hash % 40, 'flow-' || n % 2, '1', n
from (
    select n, hash, case when hash % 2 = 0 then 'incoming' else 'outgoing' end as direction,
        cast(:end as timestamptz) - cast(:year as interval) * (n::float / :size) as started_at,
        case when hash % 3 > 0 then make_interval(secs => 1 + hash % 300 / 10.0) end as delay,
        make_interval(secs => case when hash % 3 > 0 then hash % 6000 / 10.0 else 0 end) as talk
    from (select n, hashint8(n)::bigint & 1073741823 as hash from generate_series(1, :size) as n)
) as made
"""

# A command for each leg. One of five is a transfer, one of 20 fails.
_COMMANDS = """
insert into commands (
    session_id, command_id, operation, call_control_id, status, reason, http_status, attempts,
    flow, flow_version, ordinal, decided_at, caused_at, settled_at, last_seq
)
select md5(n::text || 's'), md5(n::text || 'c'),
    (array['answer', 'speak', 'gather', 'hangup', 'transfer'])[1 + hash % 5], 'v3:' || md5(n::text),
    case when hash % 20 = 0 then 'failed' else 'succeeded' end,
    case when hash % 20 = 0 then (array['refused', 'deadline'])[1 + hash % 2] end,
    case when hash % 20 = 0 then 422 else 200 end, 1 + (hash % 50 = 0)::int,
    'flow-' || n % 2, '1', 0, at, at - make_interval(secs => hash % 200 / 1000.0),
    at + make_interval(secs => hash % 900 / 1000.0), n
from (
    select n, hash, cast(:end as timestamptz) - cast(:year as interval) * (n::float / :size) as at
    from (select n, hashint8(n)::bigint & 1073741823 as hash from generate_series(1, :size) as n)
) as made
"""

# A visit for each fourth leg, to one of five queues.
_VISITS = """
insert into queue_visits (
    session_id, call_control_id, number, queue, enqueued_at, dequeued_at, wait_s, reason,
    first_seq, first_stored_at, last_seq
)
select md5(n::text || 's'), 'v3:' || md5(n::text), 1, 'queue-' || hash % 5, at,
    at + make_interval(secs => hash % 120), hash % 120,
    (array['bridged', 'bridged', 'bridged', 'hangup', 'leave'])[1 + hash % 5], n, at, n
from (
    select n, hash, cast(:end as timestamptz) - cast(:year as interval) * (n::float / :size) as at
    from (
        select n, hashint8(n)::bigint & 1073741823 as hash
        from generate_series(1, :size, 4) as n
    ) as each
) as made
"""


if __name__ == "__main__":
    main()
