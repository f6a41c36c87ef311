"""What the end of a call costs that was silent while others had records.

    python -m bench.long_calls.silence [--rounds 1] [--records 150000]

A call of 20 records, then 150,000 records of other calls in the same partition (more than 20 blocks
of nats-server), a wait of 130 s in which nats-server drops the index of these blocks, and the
call's hangup, for which a worker's cache reads the session:

    recent            its other records were appended just before
    known             the worker has read all of it, as it does when the session rests
    unrested          the worker has not read the last decision, which is its own
    unknown           another worker has had it
    searched known    known, and unknown, as without `Silences`: the read begins where what is
    searched unknown  known ends

`took` is that read, `nats-server` its processor time meanwhile, with the appends beside it, of
which there is one at a time; `append` is the slowest of these. Each kind has a session in a block
of its own. Medians of the rounds; WRONG if the session is not the fold of all of its records.
"""

import argparse
import asyncio
import itertools
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import uvloop
from rich.console import Console
from rich.table import Table

from bench.long_calls.sessions import BEGAN, append_decided, append_event
from bench.setting.machine import describe, median
from bench.setting.servers import Servers, running_log
from offhook.codec.facts import encoded_webhook
from offhook.codec.webhooks import wire_body
from offhook.events import CallHangup
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.log import JetStreamLog
from offhook.session import fold
from offhook.workers.reading.cache import SessionCache
from offhook.workers.reading.silence import Silences
from offhook.workers.reading.state import SessionState

EVENTS = 10
BLOCK = 7_000  # records, a little more than are in one
AT_ONCE = 200
INDEXED_S = 130.0
ALONE_S = 0.2
RECENT = "recent"
SEARCHED = "searched "
OLD = ("known", "unrested", "unknown", "searched known", "searched unknown")


@dataclass(kw_only=True)
class Row:
    took_ms: list[float] = field(default_factory=list)  # of each round, as all below
    nats_ms: list[float] = field(default_factory=list)
    append_ms: list[float] = field(default_factory=list)
    wrong: str = ""


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench.long_calls.silence")
    options.add_argument("--rounds", type=int, default=1)
    options.add_argument("--records", type=int, default=150_000, help="of other calls")
    given = options.parse_args()
    console = Console(width=110)
    console.print(describe("bench.long_calls.silence"), highlight=False)
    console.print(uvloop.run(measure(given.rounds, given.records)))


async def measure(rounds: int, records: int) -> Table:
    """A row for each kind of session."""
    rows = {kind: Row() for kind in (RECENT, *OLD)}
    async with running_log() as servers:
        clients = [await connect(servers.nats_server.url, "bench") for _ in range(2)]
        reads, appends = map(JetStreamLog, clients)
        bench = _Bench(servers=servers, reads=reads, appends=appends)
        caches: dict[tuple[int, str], SessionCache] = {}
        for number, kind in itertools.product(range(rounds), OLD):
            caches[number, kind] = await bench.call(kind, number)
            await bench.others(BLOCK)
        await bench.others(records)
        for number in range(rounds):
            await asyncio.sleep(INDEXED_S)
            cache = await bench.call(RECENT, number)
            states = {RECENT: await bench.hangup(RECENT, number, cache, rows[RECENT])}
            for kind in OLD:
                if kind == OLD[-1]:
                    await asyncio.sleep(INDEXED_S)  # the search before it has left an index
                states[kind] = await bench.hangup(kind, number, caches[number, kind], rows[kind])
            for kind, state in states.items():  # last, for this is a search too
                session_id = _session_id(kind, number)
                if state.latest() != fold(session_id, await servers.log.read(session_id)):
                    rows[kind].wrong = "not the fold of its records"
        for client in clients:
            await close(client)
    return _table(rows)


@dataclass(frozen=True, kw_only=True)
class _Bench:
    """Calls, and what a worker does for them over a connection of its own."""

    servers: Servers
    reads: JetStreamLog
    appends: JetStreamLog
    numbers: Iterator[int] = field(default_factory=itertools.count)

    async def call(self, kind: str, number: int) -> SessionCache:
        """Append a call, and return the cache of a worker that knows so much of it."""
        session_id, log = _session_id(kind, number), self.servers.log
        silent = timedelta.max if kind.startswith(SEARCHED) else timedelta(0)
        cache = SessionCache(
            self.reads, asyncio.sleep, silences=Silences(self.reads, silent=silent)
        )
        await append_decided(log, session_id, range(EVENTS - 1))
        if kind == "unrested":
            await append_event(log, session_id, EVENTS)
            await cache.read(session_id)
        await append_decided(log, session_id, range(EVENTS - 1, EVENTS))
        if not kind.endswith("unknown") and kind != "unrested":
            await cache.read(session_id)
        return cache

    async def others(self, records: int) -> None:
        """Append records of other calls."""
        waiting = asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> None:
            async with waiting:
                await append_event(self.servers.log, f"other-{number // 8}", number)

        for _ in range(0, records, 5 * AT_ONCE):
            await asyncio.gather(*(one(next(self.numbers)) for _ in range(5 * AT_ONCE)))

    async def hangup(self, kind: str, number: int, cache: SessionCache, row: Row) -> SessionState:
        """Append the end of a call, and read it as the worker does to which that is delivered."""
        session_id, nats_pid = _session_id(kind, number), self.servers.nats_server.pid
        event = CallHangup(
            event_id=f"{session_id}-hangup", call_control_id="v3:leg", start_time=BEGAN
        )
        encoded = encoded_webhook(wire_body(event), event.event_id)
        seq = (await self.servers.log.append(session_id, "in", encoded)).seq
        record = await self.servers.log.record_at(session_id, seq)
        assert record is not None
        took_s: list[float] = []
        is_read = asyncio.Event()
        beside = asyncio.create_task(self._append_until(is_read, took_s))
        await asyncio.sleep(ALONE_S)
        took_s.clear()
        used_ms, began_at = _cpu_ms(nats_pid), time.perf_counter()
        state = await cache.read(
            session_id, seq, arrived=lambda: [record], woken_at=record.stored_at
        )
        row.took_ms.append((time.perf_counter() - began_at) * 1000)
        row.nats_ms.append(_cpu_ms(nats_pid) - used_ms)
        is_read.set()
        await beside
        row.append_ms.append(max(took_s) * 1000)
        return state

    async def _append_until(self, is_read: asyncio.Event, took_s: list[float]) -> None:
        """One after another; what each takes."""
        while not is_read.is_set():
            began_at = time.perf_counter()
            number = next(self.numbers)
            await append_event(self.appends, f"beside-{number}", number)
            took_s.append(time.perf_counter() - began_at)


def _session_id(kind: str, number: int) -> str:
    return f"{kind.replace(' ', '-')}-{number}"


def _cpu_ms(pid: int) -> float:
    """Processor time of all threads of a process; the kernel counts it in nanoseconds."""
    used_ns = 0
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            used_ns += int(path.read_text().split()[0])
    return used_ns / 1e6


def _table(rows: dict[str, Row]) -> Table:
    table = Table(title="The end of a call that was silent", title_justify="left")
    for heading in ("the worker's session", "took ms", "nats-server ms", "append ms", "right"):
        table.add_column(heading, justify="right")
    for kind, row in rows.items():
        figures = [f"{median(each):.1f}" for each in (row.took_ms, row.nats_ms, row.append_ms)]
        table.add_row(kind, *figures, f"WRONG: {row.wrong}" if row.wrong else "yes")
    return table


if __name__ == "__main__":
    main()
