"""What `offhook demo` does: place calls, show live numbers, and print a verdict at the end."""

import asyncio
import signal
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from nats.aio.client import Client
from rich.console import Console
from rich.live import Live
from rich.table import Table

from offhook.cli.counted import counted
from offhook.cli.demo.traffic import Traffic
from offhook.cli.demo.verdict import EXAMPLES_MAX, Verdict, verdict
from offhook.cli.embedded.stack import Stack, with_free_ports
from offhook.cli.embedded.supervisor import Supervisor
from offhook.cli.listing import print_timed
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.lookup import StreamLookup
from offhook.jetstream.partitions import partitions_of
from offhook.jetstream.stream import PROJECTOR, WORKER, streams_of
from offhook.projections.views.database.engine import Engine, open_database
from offhook.projections.views.progress.checkpoint import reached, read_checkpoints
from offhook.settings import Settings

SPEED = 10.0
QUIET_TIMEOUT_S = 90.0
REFRESH_S = 0.25


def run_demo(
    console: Console, *, calls: int, rate_s: float, workers: int, faults: float, seed: int
) -> bool:
    """Place calls, wait until they have ended, compare. True if nothing was lost or doubled."""
    settings = with_free_ports(
        Settings(
            flows=("offhook.cli.demo.flow:demo",),
            simulator_speed=SPEED,
            simulator_seed=seed,
            simulator_duplicates=faults,
            simulator_disorder=faults,
        )
    )
    with tempfile.TemporaryDirectory(prefix="offhook-demo-") as name:
        with Stack(
            Path(name), settings, workers=workers, say=partial(print_timed, console)
        ) as stack:
            traffic = Traffic(
                simulator_url=stack.addresses["simulator"],
                api_url=stack.addresses["api"],
                token=stack.token,
                calls=calls,
                rate_s=rate_s,
                seed=seed,
            )
            found = asyncio.run(_Demo(console, stack, traffic).run())
        _print_verdict(console, found, faults=faults, seed=seed)
        return found.is_clean


class _Demo:
    """One run on a started stack."""

    def __init__(self, console: Console, stack: Stack, traffic: Traffic) -> None:
        self._console = console
        self._stack = stack
        self._traffic = traffic
        self._stopping = False
        # The verdict needs the simulator's record of effects, which does not survive it.
        self._supervisor = Supervisor(stack, partial(print_timed, console), vital=("simulator",))
        self._started = time.monotonic()

    async def run(self) -> Verdict:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._stop)
        print_timed(
            self._console,
            f"placing {self._traffic.calls} calls at {self._traffic.rate_s:g} per second; "
            "Ctrl-C places no more and waits for the others",
        )
        async with httpx.AsyncClient(timeout=10) as http:
            with Live(self._table({}), console=self._console, refresh_per_second=8) as live:
                placing = asyncio.create_task(self._traffic.run(lambda: not self._stopping))
                while not placing.done():
                    await asyncio.sleep(REFRESH_S)
                    live.update(self._table(await self._report(http)))
                await placing
                report = await self._quiet(http, live)
        engine = open_database(self._stack.settings.postgres_url)
        try:
            await self._at_rest(engine)
            return await verdict(engine, report)
        finally:
            await engine.dispose()

    def _stop(self) -> None:
        self._stopping = True

    async def _report(self, http: httpx.AsyncClient) -> dict[str, Any]:
        self._supervisor.check()
        answer = await http.get(f"{self._stack.addresses['simulator']}/simulator/effects")
        report: dict[str, Any] = answer.raise_for_status().json()
        return report

    async def _quiet(self, http: httpx.AsyncClient, live: Live) -> dict[str, Any]:
        """The report once every leg has ended and every webhook was delivered."""
        deadline = time.monotonic() + QUIET_TIMEOUT_S
        while True:
            report = await self._report(http)
            live.update(self._table(report))
            busy = [leg for leg in report["legs"] if leg["state"] != "ended"]
            if not busy and not report["webhooks"]["pending"]:
                return report
            if time.monotonic() > deadline:
                print_timed(
                    self._console,
                    f"{counted(len(busy), 'leg')} still up after {QUIET_TIMEOUT_S:.0f} s",
                )
                return report
            await asyncio.sleep(REFRESH_S)

    async def _at_rest(self, engine: Engine) -> None:
        """Wait until the workers have nothing left to do and the views have the whole log."""
        client = await connect(self._stack.nats.url, "demo")
        try:
            deadline = time.monotonic() + QUIET_TIMEOUT_S
            while time.monotonic() < deadline:
                if await _is_at_rest(client, engine):
                    return
                await asyncio.sleep(REFRESH_S)
        finally:
            await close(client)

    def _table(self, report: dict[str, Any]) -> Table:
        table = Table(title="simulated calls", title_justify="left")
        for column in ("placed", "legs up", "ended", "webhooks", "repeated", "late", "performed"):
            table.add_column(column, justify="right")
        legs = report.get("legs", [])
        ended = sum(leg["state"] == "ended" for leg in legs)
        webhooks = report.get("webhooks", {})
        table.add_row(
            str(self._traffic.placed),
            str(len(legs) - ended),
            str(ended),
            str(webhooks.get("events", 0)),
            str(webhooks.get("duplicates", 0)),
            str(webhooks.get("held_back", 0)),
            str(sum(report.get("totals", {}).values())),
        )
        return table


async def _is_at_rest(client: Client, engine: Engine) -> bool:
    js = client.jetstream()
    streams = streams_of(await partitions_of(client))
    workers = [await js.consumer_info(stream, WORKER) for stream in streams]
    last = await StreamLookup(client, partitions=len(streams)).last_positions()
    async with engine.connect() as connection:
        checkpoints = await read_checkpoints(connection, PROJECTOR)
    idle = not any(worker.num_pending or worker.num_ack_pending for worker in workers)
    return idle and all(reached(checkpoints, number) >= seq for number, seq in enumerate(last))


def _print_verdict(console: Console, found: Verdict, *, faults: float, seed: int) -> None:
    table = Table(title="verdict: the simulator's effects against the views", title_justify="left")
    table.add_column("what")
    table.add_column("count", justify="right")
    p50, p99 = found.percentile_ms(50), found.percentile_ms(99)
    rows = {
        "calls": str(found.calls),
        "legs": str(found.legs),
        "events": str(found.events),
        "  sent again on purpose": str(found.copies),
        "  held back on purpose": str(found.held_back),
        "commands": str(found.commands),
        "webhook → command, p50": "–" if p50 is None else f"{p50:.1f} ms",
        "webhook → command, p99": "–" if p99 is None else f"{p99:.1f} ms",
        "lost": str(len(found.lost)),
        "doubled": str(len(found.doubled)),
    }
    for what, count in rows.items():
        table.add_row(what, count)
    console.print()
    console.print(table)
    for problem in [*found.lost[:EXAMPLES_MAX], *found.doubled[:EXAMPLES_MAX]]:
        console.print(f"  {problem}", style="red")
    style = "bold green" if found.is_clean else "bold red"
    console.print(f"{len(found.lost)} lost, {len(found.doubled)} doubled", style=style)
    console.print(f"faults {faults:g}, seed {seed}: run it again with --seed {seed}", style="dim")
