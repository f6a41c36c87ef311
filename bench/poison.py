"""What 1 % poison costs the other calls: `python -m bench.poison [--rates 200 500] [--rounds 5]`.

    raises      the flow of 1 % of the calls raises always; 2 workers, their policy hangs up.
                Latency: append of a call's first record → its command at the carrier
    unreadable  1 % of the sessions have a record of an unknown type, and 7 more after it
    refused     1 % of the sessions have a value that Postgres refuses
                Latency: append → commit of the views, by notification; one projector

Rounds without and with poison take turns, on the same servers and processes, with appends in an
open loop. Figures are of the healthy calls only: medians of the rounds' percentiles. `ratio` is the
median of p99 with poison over p99 without, of rounds next to each other. Each healthy call must get
exactly one command, and each poisoned one exactly one hangup; the views of healthy calls must have
all their records, those of poisoned ones must be parked. Otherwise a row prints WRONG.
"""

import argparse
import asyncio
import bisect
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import asyncpg
import uvloop
from rich.console import Console
from rich.table import Table

from bench.setting.calls import (
    LATE_S,
    POLL_S,
    CountingCarrier,
    at_rate,
    calls_at_rate,
    in_turn,
)
from bench.setting.carrier import listening
from bench.setting.children import Child
from bench.setting.machine import describe, median, percentile
from bench.setting.records import RECORDS_OF_A_CALL, call_records
from bench.setting.servers import running_log
from offhook.cli.embedded.postgres_server import PostgresServer
from offhook.cli.embedded.prepare import prepare
from offhook.codec.facts import Encoded, encoded_webhook
from offhook.codec.webhooks import wire_body
from offhook.events import CallInitiated
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.subjects import Side
from offhook.projections.views.progress.checkpoint import CHANNEL

POISONED_OF = 100
"""One in so many is poisoned."""

ROUNDS = 5
SECONDS = 4.0
TARGET = 1.10
WARM_UP_S = 2.0
INDEXED_BYTES = 8_000  # more than a b-tree index takes, and random: it cannot be compressed


@dataclass(kw_only=True)
class Kind:
    """One kind of poison at one rate; figures of each round without and with it."""

    name: str
    rate: float
    p50_ms: tuple[list[float], list[float]] = field(default_factory=lambda: ([], []))
    p99_ms: tuple[list[float], list[float]] = field(default_factory=lambda: ([], []))
    cpu_ms: tuple[list[float], list[float]] = field(default_factory=lambda: ([], []))
    behind: bool = False  # appends could not keep the rate
    wrong: str = ""

    def add(self, is_poisoned: bool, latencies_s: Sequence[float], cpu_s: float, sent: int) -> None:
        self.p50_ms[is_poisoned].append(percentile(latencies_s, 50) * 1000)
        self.p99_ms[is_poisoned].append(percentile(latencies_s, 99) * 1000)
        self.cpu_ms[is_poisoned].append(cpu_s * 1000 / sent)


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench.poison")
    options.add_argument("--rates", type=float, nargs="*", default=[200.0, 500.0], help="events/s")
    options.add_argument(
        "--rounds", type=int, default=ROUNDS, help="of each kind, with and without"
    )
    options.add_argument("--seconds", type=float, default=SECONDS, help="of a round")
    options.add_argument("--only", default="raises,unreadable,refused")
    given = options.parse_args()
    console = Console(width=110)
    console.print(describe("bench.poison"), highlight=False)
    names = given.only.split(",")
    kinds: list[Kind] = []
    for rate in given.rates:
        if "raises" in names:
            kinds.append(uvloop.run(in_workers(rate, given.rounds, given.seconds)))
        for name in ("unreadable", "refused"):
            if name in names:
                kinds.append(uvloop.run(in_projector(name, rate, given.rounds, given.seconds)))
    console.print(table_of(kinds))


async def in_workers(rate: float, rounds: int, seconds: float) -> Kind:
    """Two workers with a flow that raises in some calls."""
    kind = Kind(name="raises", rate=rate)
    async with listening(CountingCarrier()) as carrier, running_log() as servers:
        settings = servers.worker_settings(carrier, "POISONED")
        workers = [await servers.start("workers", settings) for _ in range(2)]
        calls = partial(calls_at_rate, servers.log, carrier)
        await calls(int(rate * WARM_UP_S), rate, label="warm", poisoned_of=POISONED_OF)
        for number in range(rounds):
            for is_poisoned in in_turn(number):
                cpu_s = _cpu_s(workers)
                done = await calls(
                    int(rate * seconds),
                    rate,
                    label=f"{rate:.0f}-{number}-{is_poisoned:d}",
                    poisoned_of=POISONED_OF if is_poisoned else 0,
                )
                for name in (*done.healthy, *done.poisoned):
                    if not carrier.is_once(name):
                        kind.wrong = f"{name}: {dict(carrier.times[f'v3:{name}'])}"
                latencies = done.latencies_s(carrier)
                kind.behind |= done.took_s > seconds * 1.05
                kind.add(is_poisoned, latencies, _cpu_s(workers) - cpu_s, int(rate * seconds))
    return kind


async def in_projector(name: str, rate: float, rounds: int, seconds: float) -> Kind:
    """One projector, with records that it cannot fold or whose rows it cannot write."""
    kind = Kind(name=name, rate=rate)
    async with running_log() as servers:
        postgres = await servers.enter(PostgresServer())
        settings = servers.settings(
            postgres_url=postgres.create_database("poison"), partitions=1, projector_port=0
        )
        await asyncio.to_thread(prepare, settings)
        projector = await servers.start("projections", settings)
        database = await asyncpg.connect(
            settings.postgres_url.replace("postgresql+asyncpg", "postgresql")
        )
        views = Views(servers.log, database)
        await database.add_listener(CHANNEL, views.committed)
        await views.records(name, int(rate * WARM_UP_S), rate, is_poisoned=True)
        for number in range(rounds):
            for is_poisoned in in_turn(number):
                cpu_s = _cpu_s([projector])
                latencies, took_s = await views.records(
                    name, int(rate * seconds), rate, is_poisoned=is_poisoned
                )
                kind.behind |= took_s > seconds * 1.05
                kind.add(is_poisoned, latencies, _cpu_s([projector]) - cpu_s, int(rate * seconds))
        kind.wrong = await views.wrong()
        await database.close()
    return kind


class Views:
    """Appends the records of calls, and sees when they are in the views."""

    def __init__(self, log: JetStreamLog, database: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._log = log
        self._database = database
        self._calls = 0
        self._healthy: dict[str, int] = {}  # records by session
        self._poisoned: set[str] = set()
        self._seqs: list[int] = []  # of the commits, ascending
        self._times: list[float] = []  # when each was notified

    def committed(self, *sent: object) -> None:
        """A notification: "projector:position"."""
        self._seqs.append(int(str(sent[3]).rpartition(":")[2]))
        self._times.append(time.perf_counter())

    async def records(
        self, kind: str, count: int, rate: float, *, is_poisoned: bool
    ) -> tuple[list[float], float]:
        """Latencies of the healthy records in seconds, and how long the appends took."""
        entries: list[tuple[str, Side, Encoded]] = []
        while len(entries) < count:
            entries += self._hundred_calls(kind if is_poisoned else "")
        sent: dict[int, tuple[str, float]] = {}

        async def append(number: int) -> None:
            entry, began_at = entries[number], time.perf_counter()
            sent[(await self._log.append(*entry)).seq] = entry[0], began_at

        took_s = await at_rate(count, rate, append)
        async with asyncio.timeout(LATE_S):
            while not self._seqs or self._seqs[-1] < max(sent):  # noqa: ASYNC110
                await asyncio.sleep(POLL_S)
        for session_id, _ in sent.values():
            if session_id not in self._poisoned:
                self._healthy[session_id] = self._healthy.get(session_id, 0) + 1
        return [
            self._times[bisect.bisect_left(self._seqs, seq)] - began_at
            for seq, (session_id, began_at) in sent.items()
            if session_id not in self._poisoned
        ], took_s

    def _hundred_calls(self, kind: str) -> list[tuple[str, Side, Encoded]]:
        calls = [call_records(self._calls + each) for each in range(POISONED_OF)]
        self._calls += POISONED_OF
        if kind:
            poisoned = calls[POISONED_OF // 2]
            poisoned[0] = (*poisoned[0][:2], _spoilt(poisoned[0], kind))
            self._poisoned.add(poisoned[0][0])
        return [each[ordinal] for ordinal in range(RECORDS_OF_A_CALL) for each in calls]

    async def wrong(self) -> str:
        """What is not as it has to be; empty if nothing."""
        found = await self._database.fetch("select session_id from parked_sessions")
        sent = self._poisoned & {
            row["session_id"]
            for row in await self._database.fetch("select session_id from event_log")
        }
        if (parked := {row["session_id"] for row in found}) != sent:
            return f"{len(parked)} sessions are parked; expected {len(sent)}"
        rows = await self._database.fetch(
            "select session_id, count(*) as records from event_log group by session_id"
        )
        records = {row["session_id"]: row["records"] for row in rows}
        for session_id, count in self._healthy.items():
            if records.get(session_id) != count:
                return f"{session_id}: {records.get(session_id)} records; expected {count}"
        missing = await self._database.fetchval(
            "select count(*) from unnest($1::text[]) as id"
            " left join sessions on session_id = id where session_id is null",
            list(self._healthy),
        )
        return f"{missing} sessions are not in the views" if missing else ""


def _spoilt(entry: tuple[str, Side, Encoded], kind: str) -> Encoded:
    """The first record of a call, as poison."""
    session_id, _, first = entry
    if kind == "unreadable":
        return Encoded(type="Unheard", version=1, fact_id=first.fact_id, body=b"{}")
    event = CallInitiated(
        event_id=first.fact_id,
        call_control_id=f"v3:{session_id}",
        call_session_id=session_id,
        connection_id=secrets.token_hex(INDEXED_BYTES),
        direction="incoming",
        from_="+12025550101",
        to="+12025550102",
    )
    return encoded_webhook(wire_body(event), event.event_id)


def _cpu_s(children: Sequence[Child]) -> float:
    return sum(each.cpu_s() for each in children)


def table_of(kinds: Sequence[Kind]) -> Table:
    table = Table(title="Healthy calls, without → with 1 % poison", title_justify="left")
    for heading in ("poison", "events/s", "p50 ms", "p99 ms", "p99 ratio", "target", "CPU ms each"):
        table.add_column(heading, justify="left" if heading == "poison" else "right")
    table.add_column("right")
    for each in kinds:
        ratios = [poison / clean for clean, poison in zip(*each.p99_ms, strict=True)]
        shown = [
            f"{median(without):.1f} → {median(with_):.1f}"
            for without, with_ in (each.p50_ms, each.p99_ms)
        ]
        without, with_ = each.cpu_ms
        table.add_row(
            each.name,
            f"{each.rate:g}" + (" (behind)" if each.behind else ""),
            *shown,
            f"{median(ratios):.2f} ×",
            f"≤ {TARGET:.2f} ×",
            f"{median(without):.2f} → {median(with_):.2f}",
            f"WRONG: {each.wrong}" if each.wrong else "yes",
        )
    return table


if __name__ == "__main__":
    main()
