"""How fast the views are rebuilt: fills a log, projects it, and runs `offhook rebuild`.

    python -m bench.rebuild [--events 100000] [--kills 3]

With `--kills`, the command is killed (kill -9) that many times before it may finish. The output
includes the machine.
"""

import argparse
import asyncio
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from nats.aio.client import Client
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from bench.machine import describe
from offhook.cli.embedded.nats_server import NatsServer
from offhook.cli.embedded.postgres_server import PostgresServer
from offhook.cli.embedded.prepare import prepare
from offhook.codec import Encoded, encode, encoded_webhook
from offhook.events import (
    CallAnswered,
    CallHangup,
    CallInitiated,
    CarrierEvent,
    CommandSucceeded,
    Decided,
    IssuedCommand,
)
from offhook.jetstream.connection import close, connect
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.subjects import Side
from offhook.projections.projector.project import Projector
from offhook.projections.projector.rebuild import NAME
from offhook.projections.views.database import open_database
from offhook.settings import Settings, environment_from
from offhook.webhooks import wire_body

RECORDS_OF_A_CALL = 8
CALLS_AT_ONCE = 200
_ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    say(describe("bench.rebuild"))
    with (
        tempfile.TemporaryDirectory(prefix="offhook-bench-") as name,
        NatsServer(Path(name) / "nats") as nats,
        PostgresServer(Path(name) / "postgres") as postgres,
    ):
        settings = Settings(
            nats_url=nats.url, nats_monitor_urls=(nats.monitor_url,), postgres_url=postgres.url
        )
        prepare(settings)
        asyncio.run(fill(settings, chosen.events))
        chance = random.Random(chosen.seed)
        for number in range(chosen.kills):
            share = (number + chance.uniform(0.3, 0.9)) / (chosen.kills + 0.5)
            asyncio.run(killed_at(settings, int(share * chosen.events)))
        say("$ offhook rebuild")
        run(settings).wait()


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


def run(settings: Settings) -> "subprocess.Popen[bytes]":
    kept = {name: text for name, text in os.environ.items() if not name.startswith("OFFHOOK_")}
    return subprocess.Popen(
        [sys.executable, "-m", "offhook", "rebuild"],
        env={**kept, **environment_from(settings), "COLUMNS": "110"},
        cwd=_ROOT,
    )


async def killed_at(settings: Settings, seq: int) -> None:
    """Run the command until it has folded the record `seq`, then kill -9."""
    say("$ offhook rebuild")
    process = run(settings)
    engine = open_database(settings.postgres_url)
    try:
        while process.poll() is None and (reached := await _position(engine)) < seq:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    finally:
        process.kill()
        process.wait()
        await engine.dispose()
    say(f"kill -9 at seq {reached:,}, status {process.returncode}\n")


async def _position(engine: AsyncEngine) -> int:
    try:
        async with engine.connect() as connection:
            found = await connection.execute(
                text("select seq from public_rebuild.checkpoint where name = :name"), {"name": NAME}
            )
            return int(found.scalar_one_or_none() or 0)
    except DBAPIError:
        return 0  # not created yet, or dropped because the rebuild is done


async def fill(settings: Settings, events: int) -> None:
    """Append `events` records of concurrent calls to the log, and project all of them."""
    client = await connect(settings.nats_url, "bench")
    engine = open_database(settings.postgres_url)
    try:
        started = time.monotonic()
        await _append_all(client, events)
        say(f"{events:,} events appended in {time.monotonic() - started:.1f} s")
        started, stopping = time.monotonic(), asyncio.Event()
        projector = Projector(
            client,
            engine,
            on_batch=lambda progress: stopping.set() if progress.seq >= events else None,
        )
        await projector.run(stopping)
        took_s = time.monotonic() - started
        say(f"{events:,} events projected in {took_s:.1f} s, {events / took_s:,.0f} events/s\n")
    finally:
        await engine.dispose()
        await close(client)


async def _append_all(client: Client, events: int) -> None:
    log = JetStreamLog(client)
    numbers = iter(range(events // RECORDS_OF_A_CALL))

    async def one_after_another() -> None:
        for number in numbers:
            session_id = f"bench-{number:07d}"
            for side, encoded in call(session_id):
                await log.append(session_id, side, encoded)

    await asyncio.gather(*(one_after_another() for _ in range(CALLS_AT_ONCE)))


def call(session_id: str) -> Iterator[tuple[Side, Encoded]]:
    """The records of an answered call, as ingress and a worker write them."""
    start = datetime(2026, 11, 22, 12, tzinfo=UTC)
    number = int(session_id[-7:])
    ids = {
        "call_control_id": f"v3:{session_id}-{'x' * 40}",
        "call_leg_id": f"leg-{session_id}",
        "call_session_id": session_id,
        "connection_id": "2811212257810187800",
    }
    ends = {"from_": f"+1202555{number % 10_000:04d}", "to": "+12025550101", "start_time": start}

    def at(ordinal: int, seconds: float) -> dict[str, object]:
        event_id = f"{session_id}-event-{ordinal}"
        return {"event_id": event_id, "occurred_at": start + timedelta(seconds=number + seconds)}

    def received(event: CarrierEvent) -> tuple[Side, Encoded]:
        return "in", encoded_webhook(wire_body(event), event.event_id)  # type: ignore[arg-type]

    def decided(cause: int, *commands: IssuedCommand) -> tuple[Side, Encoded]:
        fact = Decided(
            cause_seq=number * RECORDS_OF_A_CALL + cause,
            cause_id=f"{session_id}-event-{cause}",
            flow="bench",
            flow_version="1",
            worker="worker-1",
            lease_s=3.0,
            commands=commands,
        )
        return "out", encode(fact, session_id)

    answer = IssuedCommand(
        command_id=f"{session_id}-answer",
        operation="answer",
        call_control_id=ids["call_control_id"],
        parameters={"client_state": "c3RhdGU="},
    )
    hangup = {"hangup_cause": "normal_clearing", "hangup_source": "caller"}
    yield received(CallInitiated(**at(1, 0), **ids, **ends, direction="incoming"))  # type: ignore[arg-type]
    yield decided(1, answer)
    done = CommandSucceeded(
        command_id=answer.command_id, http_status=200, answer={"data": {"result": "ok"}}
    )
    yield "out", encode(done, session_id)
    yield received(CallAnswered(**at(2, 2), **ids, **ends))  # type: ignore[arg-type]
    yield decided(4)
    yield received(CallHangup(**at(3, 60), **ids, **ends, **hangup, end_time=start))  # type: ignore[arg-type]
    yield decided(6)
    yield received(CallAnswered(**at(4, 2), **ids, **ends))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
