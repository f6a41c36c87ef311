"""What sessions that ended long ago cost: memory of each process, and processor time of a record.

    python -m bench.old_sessions [--sessions 10000 100000] [--portion 100000] [--calls 500]
        [--rate 50] [--partitions 1]

One installation with all roles has so many sessions in its life, each size on top of the one
before. Old sessions are appended as an import does it, four records each, and `offhook archive`
runs after each `--portion` of them, as if that many ended between two runs. The last portion of a
size ends with 200 calls that are up; the clock of its run is one for which only these are not
older than a day. Then `--calls` calls come in through ingress and end, and the table has a row for
that size:

    memory     each process' own and its share of what it shares with others (PSS), in MB: with the
               last portion in the log (`before`) and once nats-server has given back what it can
               (six and a half minutes); nats-server's heap in use, too, and PostgreSQL's buffers
    ms         processor time for each record of those calls
    complete   whether views, archive and log have exactly the sessions that they should

The server remembers ids of messages for a second here instead of ten minutes, as if old sessions
had been stored earlier than that. Go keeps a part of the most memory that a process ever took, and
PostgreSQL all of its buffers once they are used. So that every size has had the same, a portion is
in the log, and deleted, and a table as large as the buffers is in the database, before the roles
start.
"""

import argparse
import asyncio
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvloop
from nacl.signing import SigningKey
from nats.js import JetStreamContext
from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from bench.setting.carrier import StubCarrier, listening
from bench.setting.children import cpu_s_of, cpu_s_with_children, memory_mb_of, role
from bench.setting.load import SignedWebhook, at_rate, signed_webhook
from bench.setting.machine import describe
from bench.setting.old_calls import BEGAN, calls_at, chunks, send_calls
from bench.setting.profiled import ProfiledNatsServer
from offhook.cli.embedded.postgres_server import PostgresServer
from offhook.cli.embedded.prepare import prepare
from offhook.cli.history.archive.run import run_archive
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.stream import PROJECTOR, WORKER, streams_of
from offhook.projections.views.database.engine import open_database
from offhook.settings import Settings
from offhook.telnyx.signature import public_key_text

UP = 200
"""Calls that are up all the time."""

OLDER_THAN = timedelta(days=1)

SETTLE_S = 1_800.0
CONNECTIONS = 8
MEMORY_EVERY_S = 10.0
MEMORY_FOR_S = 390.0
"""Go looks for what it can free every two minutes, if nothing else makes it do so before. What was
pooled goes at the second time, what described it at the third."""

IN_USE, BUFFERS = "its heap", "its buffers"
PROCESSES = ("nats-server", IN_USE, "Postgres", BUFFERS, "projector", "worker", "ingress")
ARCHIVE = "archive"

console = Console(width=130)


@dataclass(frozen=True, kw_only=True)
class Installation:
    """The running processes by name, and what reaches the servers."""

    settings: Settings
    nats: ProfiledNatsServer
    pids: Mapping[str, int]
    js: JetStreamContext
    key: SigningKey
    ingress_port: int
    carrier: StubCarrier
    folder: Path

    def memory_mb(self) -> dict[str, float]:
        buffers_mb = memory_mb_of(self.pids["Postgres"], "Pss_Shmem")
        return {name: memory_mb_of(pid) for name, pid in self.pids.items()} | {BUFFERS: buffers_mb}

    def cpu_s(self) -> dict[str, float]:
        return {
            name: cpu_s_with_children(pid) if name == "Postgres" else cpu_s_of(pid)
            for name, pid in self.pids.items()
        }


@dataclass(frozen=True, kw_only=True)
class Row:
    sessions: int
    before_mb: Mapping[str, float]
    after_mb: Mapping[str, float]
    ms: Mapping[str, float]
    complete: bool


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sessions", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--portion", type=int, default=100_000)
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--partitions", type=int, default=1)
    chosen = parser.parse_args()
    console.print(describe("bench.old_sessions"), highlight=False)
    rows = uvloop.run(measure(chosen))
    console.print(_table(rows))


async def measure(chosen: argparse.Namespace) -> list[Row]:
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="offhook-bench-") as name:
        async with _installation(Path(name), chosen.partitions, chosen.portion) as running:
            ever = 0
            for count in chosen.sessions:
                latest = count - chosen.calls - UP
                while latest - ever > chosen.portion:
                    await _append_old(running, ever, ever + chosen.portion)
                    ever += chosen.portion
                    await _archive(running, datetime.now(UTC))
                await _append_old(running, ever, latest)
                now = datetime.now(UTC)
                await send_calls(running.settings.nats_url, range(latest, latest + UP), (0, 4), now)
                await _settled(running)
                before_mb = running.memory_mb()
                archive_mb = await _archive(running, now)
                after_mb = {
                    **await _at_rest(running),
                    IN_USE: await asyncio.to_thread(running.nats.in_use_mb),
                    ARCHIVE: archive_mb,
                }
                ms = await _calls_come(running, count, chosen.calls, chosen.rate)
                complete = await _is_complete(running, count, chosen.calls)
                rows.append(
                    Row(
                        sessions=count,
                        before_mb=before_mb,
                        after_mb=after_mb,
                        ms=ms,
                        complete=complete,
                    )
                )
                ever = count
                console.print(_table(rows))
    return rows


@asynccontextmanager
async def _installation(  # type: ignore[no-untyped-def]
    folder: Path, partitions: int, portion: int
):
    key = SigningKey.generate()
    stack = ExitStack()
    async with listening(StubCarrier()) as carrier:
        try:
            nats = stack.enter_context(ProfiledNatsServer(folder / "nats"))
            postgres = stack.enter_context(PostgresServer(folder / "postgres"))
            settings = Settings(
                nats_url=nats.url,
                nats_monitor_urls=(nats.monitor_url,),
                postgres_url=postgres.create_database("old"),
                partitions=partitions,
                ingress_port=0,
                projector_port=0,
                worker_port=0,
                carrier_url=carrier.url,
                carrier_key="bench",
                public_keys=(public_key_text(key),),
                flows=("bench.setting.flows:ANSWERING",),
            )
            client = await connect(nats.url, "bench")
            js = client.jetstream()
            await _take_as_much_as_a_portion(js, nats.url, partitions, portion)
            await asyncio.to_thread(prepare, settings)
            await _use_all_buffers(settings.postgres_url)
            for stream in streams_of(partitions):
                config = (await js.stream_info(stream)).config
                await js.update_stream(config.evolve(duplicate_window=1))
            children = {}
            for name, package in (
                ("projector", "projections"), ("worker", "workers"), ("ingress", "ingress"),
            ):  # fmt: skip
                children[name] = await asyncio.to_thread(
                    stack.enter_context, role(package, settings, folder / f"{package}.log")
                )
            yield Installation(
                settings=settings,
                nats=nats,
                pids={
                    "nats-server": nats.pid,
                    "Postgres": postgres.pid,
                    **{name: each.pid for name, each in children.items()},
                },
                js=js,
                key=key,
                ingress_port=children["ingress"].port,
                carrier=carrier,
                folder=folder,
            )
            await close(client)
        finally:
            await asyncio.to_thread(stack.close)


async def _take_as_much_as_a_portion(
    js: JetStreamContext, url: str, partitions: int, portion: int
) -> None:
    """Have a portion in a log that is deleted at once."""
    stream = streams_of(partitions)[0]
    await js.add_stream(name=stream, subjects=["calls.>"])
    for numbers in chunks(0, portion):
        await send_calls(url, numbers, (0, 4, 5, 6), BEGAN)
    await js.delete_stream(stream)


async def _use_all_buffers(url: str) -> None:
    """Of PostgreSQL, which has 128 MB by default; a row takes a page of 8 kB.

    A page counts once a process that goes on has used it: the checkpointer.
    """
    engine = open_database(url)
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        for statement in (
            "create table filling (content text storage plain)",
            "insert into filling select repeat('x', 8000) from generate_series(1, 20000)",
            "checkpoint",
            "drop table filling",
        ):
            await connection.execute(text(statement))
    await engine.dispose()


async def _append_old(running: Installation, first: int, until: int) -> None:
    for numbers in chunks(first, until):
        await send_calls(running.settings.nats_url, numbers, (0, 4, 5, 6), BEGAN)
        console.print(f"{numbers.stop:,} of {until:,} old sessions appended", highlight=False)
    await _settled(running)


async def _settled(running: Installation) -> None:
    """Wait until workers and projector have acknowledged every record."""
    async with asyncio.timeout(SETTLE_S):
        for stream in streams_of(running.settings.partitions):
            for consumer in (WORKER, PROJECTOR):
                while True:
                    found = await running.js.consumer_info(stream, consumer)
                    if not found.num_pending and not found.num_ack_pending:
                        break
                    await asyncio.sleep(0.2)


async def _at_rest(running: Installation) -> dict[str, float]:
    """The memory of each process, once nats-server's does not fall any more."""
    least, since = running.memory_mb()["nats-server"], time.monotonic()
    while time.monotonic() - since < MEMORY_FOR_S:
        await asyncio.sleep(MEMORY_EVERY_S)
        now = running.memory_mb()["nats-server"]
        if now < 0.98 * least:
            least, since = now, time.monotonic()
    return running.memory_mb()


async def _archive(running: Installation, old_until: datetime) -> float:
    """Archive what was stored by then; the memory of the process that did, at most."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return await asyncio.get_running_loop().run_in_executor(
            process,
            archive_later,
            running.settings,
            str(running.folder / "archive"),
            old_until + OLDER_THAN,
        )


def archive_later(settings: Settings, root: str, now: datetime) -> float:
    """Archive with that clock; the memory of this process at most, in MB."""
    asyncio.run(run_archive(Console(width=130), settings, root, OLDER_THAN, now))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def _calls_come(
    running: Installation, ever: int, calls: int, rate: float
) -> dict[str, float]:
    """Calls that come in and end: what each record cost each process, in milliseconds."""
    numbers = range(ever - calls, ever)
    before_s, before = running.cpu_s(), await _records(running)
    for which in (0, 5):
        now = time.time()
        work: list[SignedWebhook] = [
            signed_webhook(encoded.body, running.key, now, session_id)
            for session_id, _, encoded in calls_at(numbers, (which,), datetime.now(UTC))
        ]
        measured = await at_rate(running.ingress_port, work, per_s=rate, connections=CONNECTIONS)
        assert measured.taken == calls, measured
        await asyncio.sleep(1.0)
        await _settled(running)
    appended = await _records(running) - before
    return {
        name: (used_s - before_s[name]) / appended * 1000
        for name, used_s in running.cpu_s().items()
    }


async def _records(running: Installation) -> int:
    """How many records the log has had."""
    streams = streams_of(running.settings.partitions)
    return sum([(await running.js.stream_info(each)).state.last_seq for each in streams])


async def _is_complete(running: Installation, ever: int, latest: int) -> bool:
    """Whether everything is where it belongs: the latest calls, and those up, are in the log."""
    streams = streams_of(running.settings.partitions)
    states = [(await running.js.stream_info(each)).state for each in streams]
    in_log = 2 * UP + 5 * latest
    wanted = (ever, ever, ever - UP - latest, in_log, in_log)
    engine = open_database(running.settings.postgres_url)
    async with engine.connect() as connection:
        found = (await connection.execute(_COUNTS)).one()
    await engine.dispose()
    is_right = (*found, sum(each.messages for each in states)) == wanted
    if not is_right:
        console.print(f"found {(*found, *(each.messages for each in states))}, not {wanted}")
    return is_right


def _table(rows: Sequence[Row]) -> Table:
    table = Table(title="before and after an archive run, and the calls behind it")
    table.add_column("process")
    for column in ("sessions ever", "MB before", "MB after", "ms a record", "complete"):
        table.add_column(column, justify="right")
    for name in (*PROCESSES, ARCHIVE, "all"):
        for row in rows:
            mb = [
                f"{each[name]:.{1 if name == IN_USE else 0}f}" if name in each else ""
                for each in (row.before_mb, row.after_mb)
            ]
            ms = sum(row.ms.values()) if name == "all" else row.ms.get(name)
            table.add_row(
                name,
                f"{row.sessions:,}",
                *mb,
                f"{ms:.2f}" if ms is not None else "",
                ("yes" if row.complete else "WRONG") if name == "all" else "",
            )
    return table


_COUNTS = text(
    "select (select count(*) from sessions), (select count(*) from legs),"
    " (select count(*) from archived_sessions where left_log_at is not null),"
    " (select count(*) from event_log)"
)


if __name__ == "__main__":
    main()
