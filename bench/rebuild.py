"""How fast all views are rebuilt: Offhook, and two libraries with the same file and the same views.

    python -m bench.rebuild [--events 100000] [--rounds 3] [--workers 2] [--only offhook]

One seeded file (`setting/history_file.py`) is loaded by every contestant into a database of its own
in one Postgres; loading is not timed. Timed is the rebuild, from its start to the last row. Each
result is compared with the oracle's: one that differs prints WRONG. Rounds are interleaved. The two
libraries (`bench/rivals/`) are installed into a temporary directory at the start; emmett needs
Node.js. All three are timed once their programs are loaded. Offhook makes all of its views where
the two make one row for each session; hours are summed from the rows for all three.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine

from bench.setting.history_file import (
    Expected,
    SessionRow,
    add_to_hours,
    expected_of,
    read_history,
    write_history,
)
from bench.setting.machine import describe, median
from offhook.cli.embedded.postgres_server import PostgresServer
from offhook.cli.embedded.prepare import MIGRATIONS
from offhook.jetstream.stream import PROJECTOR
from offhook.projections.views.database.engine import open_database
from offhook.projections.views.schema.migrate import migrate
from offhook.projections.views.stored.event_log import event_log, read_stored
from offhook.settings import Settings, environment_from

TARGET_RATE = 20_000
TARGET_RATIO = 10
EMMETT_PROGRESS = ("emt_processors", "emt_projections")
"""How far its projections have come: with these, a second rebuild finds nothing left to do."""
_ROOT = Path(__file__).resolve().parent.parent
_RIVALS = Path(__file__).with_name("rivals")

Timed = tuple[float, Expected]
"""Seconds, and what came of it."""


class Offhook:
    """`offhook rebuild start --cutover`: connect, fold, index, compare, put in use."""

    name = "offhook"

    def __init__(self, postgres: PostgresServer, path: Path, workers: int) -> None:
        self._workers = workers
        self._url = postgres.create_database("offhook")
        asyncio.run(_stored(self._url, path))

    def rebuild(self) -> Timed:
        asyncio.run(_emptied(self._url))
        kept = {name: each for name, each in os.environ.items() if not name.startswith("OFFHOOK_")}
        settings = Settings(nats_url="nats://127.0.0.1:9", postgres_url=self._url)
        took_s = float(
            subprocess.run(
                [sys.executable, "-m", "bench.setting.loaded_rebuild", str(self._workers)],
                env={**kept, **environment_from(settings)},
                cwd=_ROOT,
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        )
        return took_s, asyncio.run(_views(self._url))


class EventSourcing:
    """`eventsourcing[postgres]`, from PyPI."""

    name = "eventsourcing"

    def __init__(self, postgres: PostgresServer, path: Path, directory: Path) -> None:
        self._url = postgres.create_database(self.name)
        _run([sys.executable, "-m", "venv", directory / self.name])
        self._python = directory / self.name / "bin" / "python"
        _run([self._python, "-m", "pip", "install", "-q", "eventsourcing[postgres]"])
        parts = make_url(self._url)
        self._environment = {
            "PERSISTENCE_MODULE": "eventsourcing.postgres",
            "POSTGRES_DBNAME": self.name,
            "POSTGRES_HOST": str(parts.query["host"]),
            "POSTGRES_PORT": str(parts.query["port"]),
            "POSTGRES_USER": "postgres",
            "POSTGRES_PASSWORD": "unused",
        }
        self._script = _RIVALS / "eventsourcing_rebuild.py"
        _run([self._python, self._script, "load", path], self._environment)

    def rebuild(self) -> Timed:
        asyncio.run(_dropped(self._url, "calls", "calls_tracking"))
        printed = _run([self._python, self._script, "rebuild"], self._environment)
        return float(printed.split()[-1]), asyncio.run(_calls(self._url))


class Emmett:
    """`@event-driven-io/emmett-postgresql`, from the npm registry."""

    name = "emmett"

    def __init__(self, postgres: PostgresServer, path: Path, directory: Path) -> None:
        self._url = postgres.create_database(self.name)
        self._folder = directory / self.name
        self._folder.mkdir()
        packages = ("@event-driven-io/emmett", "@event-driven-io/emmett-postgresql")
        _run(["npm", "install", "--silent", "--prefix", self._folder, *packages])
        self._script = self._folder / "emmett_rebuild.mjs"
        self._script.write_bytes((_RIVALS / self._script.name).read_bytes())
        url = self._url.replace("+asyncpg", "").replace("@/", "@localhost/")
        self._environment = {"POSTGRES_URL": url}
        _run(["node", self._script, "load", path], self._environment)

    def rebuild(self) -> Timed:
        asyncio.run(_dropped(self._url, "calls", emptied=EMMETT_PROGRESS))
        printed = _run(["node", self._script, "rebuild"], self._environment)
        return float(printed.split()[-1]), asyncio.run(_calls(self._url))


def _run(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{command}: {done.stdout}{done.stderr}")
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="contestants, separated by commas")
    chosen = parser.parse_args()
    console = Console(width=110)
    console.print(describe("bench.rebuild"), highlight=False)
    with tempfile.TemporaryDirectory(prefix="offhook-bench-") as name:
        directory = Path(name)
        path = directory / "history.jsonl"
        write_history(path, events=chosen.events, sessions=chosen.events // 10, seed=chosen.seed)
        expected = expected_of(path)
        with PostgresServer(directory / "postgres") as postgres:
            makers: dict[str, Callable[[], Any]] = {
                "offhook": lambda: Offhook(postgres, path, chosen.workers),
                "eventsourcing": lambda: EventSourcing(postgres, path, directory),
                "emmett": lambda: Emmett(postgres, path, directory),
            }
            wanted = chosen.only.split(",") if chosen.only else [*makers]
            contestants = [makers[each]() for each in wanted]
            rates: dict[str, list[float]] = {each.name: [] for each in contestants}
            wrong: set[str] = set()
            for _ in range(chosen.rounds):
                for contestant in contestants:
                    took_s, found = contestant.rebuild()
                    rates[contestant.name].append(chosen.events / took_s)
                    if found != expected:
                        wrong.add(contestant.name)
                        console.print(f"{contestant.name}: {_first_difference(found, expected)}")
            console.print(_table(rates, wrong, chosen.events))


def _table(rates: dict[str, list[float]], wrong: set[str], events: int) -> Table:
    table = Table(title=f"All views rebuilt from {events:,} events")
    for column in ("", "events/s", "rounds", "offhook is", "target", "views"):
        table.add_column(column, justify="right" if column else "left")
    ours = median(rates.get("offhook", []))
    for name, each in rates.items():
        is_ours = name == "offhook"
        table.add_row(
            name,
            f"{median(each):,.0f}",
            f"{min(each):,.0f}–{max(each):,.0f}",
            "" if is_ours else f"{ours / median(each):.1f} ×",
            f"≥ {TARGET_RATE:,}" if is_ours else f"≥ {TARGET_RATIO} ×",
            "WRONG" if name in wrong else "as the oracle",
        )
    return table


def _first_difference(found: Expected, expected: Expected) -> str:
    for part in ("sessions", "hours"):
        ours, theirs = getattr(found, part), getattr(expected, part)
        for key in sorted({*ours, *theirs}):
            if ours.get(key) != theirs.get(key):
                return f"{part} {key}: {ours.get(key)}, expected {theirs.get(key)}"
    return "no difference"


async def _stored(url: str, path: Path) -> None:
    """The file in event_log, as the projector copies it, and the checkpoint behind it."""
    await migrate(url, MIGRATIONS)
    engine = open_database(url)
    columns = [column.name for column in event_log.columns]
    rows: list[Sequence[Any]] = []
    seen: set[str] = set()
    seq = 0
    for seq, line in enumerate(read_history(path), start=1):
        if line["event_id"] in seen:
            continue
        seen.add(line["event_id"])
        stored = read_stored(
            seq=seq,
            session_id=line["session_id"],
            side="in",
            type="WebhookReceived",
            version=1,
            stored_at=datetime.fromisoformat(line["stored_at"]),
            body=line["body"].encode(),
        )
        row = stored.row()
        rows.append([row[name] for name in columns])
    async with engine.connect() as connection:
        raw = await connection.get_raw_connection()
        driver: Any = raw.driver_connection
        await driver.copy_records_to_table("event_log", records=rows, columns=columns)
        await driver.execute(
            "insert into checkpoint (name, stream_created_at, seq, updated_at)"
            " values ($1, now(), $2, now())",
            PROJECTOR,
            seq,
        )
        for statement in ("vacuum analyze", "checkpoint"):
            await driver.execute(statement)
    await engine.dispose()


async def _emptied(url: str) -> None:
    """Nothing of an earlier round is left."""
    engine = open_database(url)
    async with engine.begin() as connection:
        await connection.execute(text("drop schema if exists public_rebuild cascade"))
        await connection.execute(text("truncate sessions, legs, commands, queue_visits"))
    await engine.dispose()


async def _views(url: str) -> Expected:
    engine = open_database(url)
    try:
        return await _read_views(engine)
    finally:
        await engine.dispose()


async def _read_views(engine: AsyncEngine) -> Expected:
    found = Expected()
    async with engine.connect() as connection:
        result = await connection.execute(
            text(
                "select sessions.session_id, status, sessions.started_at, sessions.answered_at,"
                " sessions.ended_at, talk_s, coalesce(dtmf, '') as keys"
                " from sessions join legs using (session_id) order by started_at"
            )
        )
        for row in result:
            found.sessions[row.session_id] = SessionRow(
                state=row.status,
                started_at=_iso(row.started_at) or "",
                answered_at=_iso(row.answered_at),
                ended_at=_iso(row.ended_at),
                talk_s=row.talk_s,
                keys=row.keys,
            )
    for session in found.sessions.values():
        add_to_hours(found.hours, session)
    return found


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="microseconds").replace("+00:00", "Z")


async def _dropped(url: str, *tables: str, emptied: Sequence[str] = ()) -> None:
    """Nothing of an earlier round is left."""
    engine = open_database(url)
    async with engine.begin() as connection:
        for table in tables:
            await connection.execute(text(f"drop table if exists {table}"))
        for table in emptied:
            await connection.execute(text(f"truncate {table}"))
    await engine.dispose()


async def _calls(url: str) -> Expected:
    """The views of the two libraries, from their one table."""
    found = Expected()
    engine = open_database(url)
    async with engine.connect() as connection:
        for row in await connection.execute(text("select * from calls order by started_at")):
            talk = row.ended_at - row.answered_at if row.answered_at and row.ended_at else None
            keys = json.loads(row.keys) if isinstance(row.keys, str) else row.keys
            found.sessions[row.session_id] = SessionRow(
                state="ended" if row.ended_at else "active",
                started_at=_iso(row.started_at) or "",
                answered_at=_iso(row.answered_at),
                ended_at=_iso(row.ended_at),
                talk_s=talk.total_seconds() if talk is not None else None,
                keys="".join(digit for _, _, digit in sorted(keys)),
            )
    await engine.dispose()
    for session in found.sessions.values():
        add_to_hours(found.hours, session)
    return found


if __name__ == "__main__":
    main()
