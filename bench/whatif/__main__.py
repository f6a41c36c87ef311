"""What-if against Temporal's Replayer: the same calls, in as many processes as there are cores.

    python -m bench.whatif [--calls 4000] [--rounds 5] [--log-calls 20000]

`temporalio` is installed into a temporary folder. Its histories are objects in memory before the
clock starts; Offhook's are stored bytes, and are decoded while it runs. Both replay the flow that
decided the calls; then one with planted changes, whose count has to be exact: else the line is
WRONG. The Replayer reports other commands, and does not compare their parameters.

On a busy machine compare the processor time. `log` is the whole command, with its start, on calls
in PostgreSQL.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.setting.machine import describe
from bench.whatif.calls import plan, planted, rows_of
from offhook.cli.embedded.postgres_server import PostgresServer
from offhook.cli.embedded.prepare import MIGRATIONS
from offhook.projections.views.database.engine import open_database
from offhook.projections.views.schema.migrate import migrate
from offhook.projections.views.stored.event_log import event_log

TEMPORAL_SHARE = 10
"""The Replayer gets one in this many of the calls: it needs as long for them."""

_ROOT = Path(__file__).parents[2]

Calls = Sequence[tuple[str, str]]


@dataclass(kw_only=True)
class Contender:
    name: str
    module: str
    argument: str = ""
    path: str = ""
    rates: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)  # of a call
    wrong: list[str] = field(default_factory=list)

    def run(self, calls: Calls, which: str) -> tuple[float, dict[str, int]]:
        """Calls per second, and what was found; each process has its share of the calls."""
        count = os.cpu_count() or 1
        started = []
        for number in range(count):
            share = json.dumps(calls[number::count])
            started.append(
                subprocess.Popen(
                    [sys.executable, "-m", self.module, share, which, self.argument],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,  # the Replayer's warnings
                    env={**os.environ, "PYTHONPATH": self.path},
                    cwd=_ROOT,
                    text=True,
                )
            )
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("ready"), self.name
        for process in started:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        answers = [json.loads(process.communicate()[0].splitlines()[-1]) for process in started]
        found: dict[str, int] = {}
        for answer in answers:
            for kind, number in answer["found"].items():
                found[kind] = found.get(kind, 0) + number
        self.cpu_ms.append(1e3 * sum(answer["cpu_s"] for answer in answers) / len(calls))
        return len(calls) / max(answer["took_s"] for answer in answers), found

    def measure(self, calls: Calls) -> None:
        rate, found = self.run(calls, "same")
        self.rates.append(rate)
        if found:
            self.wrong.append(f"same: {found}")

    def judge(self, calls: Calls, wanted: Mapping[str, int]) -> None:
        _, found = self.run(calls, "changed")
        if found != wanted:
            self.wrong.append(f"changed: {found}, expected {wanted}")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.whatif", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--calls", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--log-calls", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=7)
    chosen = parser.parse_args()
    console = Console()
    calls = plan(chosen.calls, chosen.seed)
    with tempfile.TemporaryDirectory(prefix="offhook-bench-") as folder:
        temporal = f"{folder}/temporal"
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "-qq", "--target", temporal, "temporalio"],
            check=True,
            stderr=subprocess.DEVNULL,
        )
        (version,) = Path(temporal).glob("temporalio-*.dist-info")
        contenders = [Contender(name="offhook", module="bench.whatif.calls", path=str(_ROOT))]
        for runner in ("unsandboxed", "sandboxed"):
            contenders.append(
                Contender(
                    name=f"temporal, {runner}",
                    module="bench.rivals.whatif_temporal",
                    argument=runner,
                    path=f"{temporal}:{_ROOT}",
                )
            )
        for _ in range(chosen.rounds):
            for each in contenders:
                each.measure(calls if each is contenders[0] else calls[::TEMPORAL_SHARE])
        for each in contenders:
            share = calls if each is contenders[0] else calls[::TEMPORAL_SHARE]
            wanted = planted(share)
            if each is not contenders[0]:
                wanted = {"failed": wanted["extra"] + wanted["missing"]}
            each.judge(share, wanted)
        log_rates, log_wrong = asyncio.run(whole_command(folder, chosen))
    console.print(describe("bench.whatif"), highlight=False)
    console.print(f"{version.name.removesuffix('.dist-info')}, {os.cpu_count()} processes each")
    console.print(_table(contenders, log_rates, log_wrong))


def _table(contenders: Sequence[Contender], log: Sequence[float], log_wrong: str) -> Table:
    table = Table(title="Recorded calls replayed through the flow that decided them, per second")
    for name in (
        "",
        "calls/s",
        "rounds",
        "CPU ms each",
        "offhook is",
        "by CPU",
        "target",
        "oracle",
    ):
        table.add_column(name, justify="left" if name in ("", "oracle") else "right")
    own = statistics.median(contenders[0].rates)
    own_ms = statistics.median(contenders[0].cpu_ms)
    for each in contenders:
        is_own = each is contenders[0]
        rate = statistics.median(each.rates)
        table.add_row(
            each.name,
            f"{rate:,.0f}",
            f"{min(each.rates):,.0f}–{max(each.rates):,.0f}",
            f"{statistics.median(each.cpu_ms):.2f}",
            "" if is_own else f"{own / rate:.1f} ×",
            "" if is_own else f"{statistics.median(each.cpu_ms) / own_ms:.1f} ×",
            "≥ 2,000" if is_own else "≥ 12 ×",
            f"WRONG: {'; '.join(each.wrong)}" if each.wrong else "right",
        )
    table.add_row(
        "log",
        f"{statistics.median(log):,.0f}",
        f"{min(log):,.0f}–{max(log):,.0f}",
        "",
        "",
        "",
        "≥ 2,000",
        f"WRONG: {log_wrong}" if log_wrong else "right",
    )
    return table


async def whole_command(folder: str, chosen: argparse.Namespace) -> tuple[list[float], str]:
    """Sessions per second of `offhook whatif` on PostgreSQL, and what it found wrongly."""
    calls = plan(chosen.log_calls, chosen.seed + 1)
    rates = []
    wrong = ""
    with PostgresServer(Path(folder) / "postgres") as postgres:
        url = postgres.create_database("bench")
        await migrate(url, MIGRATIONS)
        await _fill(url, calls)
        for number in range(chosen.rounds + 1):
            which = "changed" if number == 0 else "same"
            ran = await asyncio.to_thread(
                subprocess.run,
                [
                    *(sys.executable, "-m", "offhook", "whatif"),
                    *(f"bench.whatif.flows:{which}", "--json"),
                ],
                env={**os.environ, "OFFHOOK_POSTGRES_URL": url},
                cwd=_ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                check=True,
            )
            report = json.loads(ran.stdout)
            found = {kind: count for kind, count in report["kinds"].items() if count}
            wanted = planted(calls) if which == "changed" else {}
            if found != wanted or report["sessions"]["compared"] != len(calls):
                wrong = f"{which}: {found}, expected {wanted}"
            if which == "same":
                rates.append(len(calls) / report["took_s"])
    return rates, wrong


async def _fill(url: str, calls: Calls) -> None:
    engine = open_database(url)
    try:
        rows = []
        seq = 1
        for session, caller in calls:
            records = rows_of(session, caller, seq)
            seq += len(records)
            for side, (position, type_name, version, at, body) in records:
                rows.append(
                    {
                        "seq": position, "session_id": session, "side": side, "type": type_name,
                        "version": version, "stored_at": at, "body": body,
                    }
                )  # fmt: skip
            if len(rows) > 5_000:
                async with engine.begin() as connection:
                    await connection.execute(event_log.insert(), rows)
                rows = []
        if rows:
            async with engine.begin() as connection:
                await connection.execute(event_log.insert(), rows)
    finally:
        await engine.dispose()


if __name__ == "__main__":
    main()
