"""Webhooks verified and durably acknowledged by one ingress process: `python -m bench.ingress`.

    offhook   the real ingress process
    floor     raw ASGI, one PyNaCl verify, one JetStream publish with a dedupe id
    usual     FastAPI, the official SDK's `unwrap`, an insert into PostgreSQL through SQLAlchemy
    log       appends only, as many at once as there are connections: the limit of any ingress

All use the same load generator on the same machine and take turns; a figure is the median of its
rounds. The first two are served with the same settings, the usual way by `uvicorn module:app`. `CPU
ms each` is the server process alone, the steadiest figure on a busy machine. NATS flushes before it
acknowledges, PostgreSQL before it commits.
"""

import argparse
import asyncio
import dataclasses
import tempfile
import time
import uuid
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import uvloop
from nacl.signing import SigningKey
from rich.console import Console
from rich.table import Table

from bench.children import Child, child, role
from bench.load import Measured, at_rate, saturate, webhooks
from bench.machine import describe, median, percentile
from offhook.cli.embedded.nats_server import NatsServer
from offhook.cli.embedded.postgres_server import PostgresServer
from offhook.codec import encoded_webhook
from offhook.jetstream.connection import close, connect
from offhook.jetstream.log import EventLog, JetStreamLog
from offhook.jetstream.provisioning.provision import provision
from offhook.jetstream.stream import stream_config
from offhook.settings import Settings
from offhook.telnyx.signature import public_key_text, sign

ROUNDS = 15
CONNECTIONS = 32
PER_SESSION = 5
PER_S_MAX = 4000
"""Webhooks signed beforehand for each second of saturation."""

FLOOR_STREAM = "FLOOR"
TARGETS = {"floor": 0.75, "usual": 6.0}


@dataclass(kw_only=True)
class Contender:
    """One measured server and the results of its rounds."""

    name: str
    child: Child
    cpu_s: float = 0.0  # of its process, while saturated
    saturated: list[Measured] = field(default_factory=list)
    paced: list[Measured] = field(default_factory=list)

    @property
    def per_s(self) -> float:
        return median([each.per_s for each in self.saturated])

    @property
    def cpu_ms_each(self) -> float:
        return self.cpu_s * 1000 / sum(each.taken for each in self.saturated)

    @property
    def refused(self) -> int:
        return sum(each.refused for each in (*self.saturated, *self.paced))

    def latency_ms(self, percent: int) -> float:
        return median([percentile(each.latencies_ms, percent) for each in self.paced])


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench.ingress")
    options.add_argument("--seconds", type=float, default=1.5, help="of saturation, each round")
    options.add_argument("--rate", type=float, default=100.0, help="webhooks/s for the latencies")
    options.add_argument("--rounds", type=int, default=ROUNDS)
    options.add_argument("--connections", type=int, default=CONNECTIONS, help="kept alive")
    given = options.parse_args()
    console = Console(width=100)
    console.print(describe("bench.ingress"), highlight=False)
    contenders, log_per_s = uvloop.run(
        measure(given.seconds, given.rate, given.rounds, given.connections)
    )
    console.print(table_of(contenders, log_per_s, given.rate))


async def measure(
    seconds: float, rate: float, rounds: int, connections: int
) -> tuple[list[Contender], list[float]]:
    """Run all contenders in turn, `rounds` times; also returns the log's appends/s of each."""
    key = SigningKey.generate()
    log_per_s: list[float] = []
    with ExitStack() as stack:
        contenders, nats_url = await _started(stack, key)
        client = await connect(nats_url, "bench")
        log = JetStreamLog(client)
        for each in contenders:
            await saturate(
                each.child.port,
                webhooks(300, key, per_session=PER_SESSION),
                connections=connections,
                seconds=1,
            )
        for _ in range(rounds):
            for each in contenders:
                work = webhooks(int(seconds * PER_S_MAX), key, per_session=PER_SESSION)
                used_s = each.child.cpu_s()
                each.saturated.append(
                    await saturate(each.child.port, work, connections=connections, seconds=seconds)
                )
                each.cpu_s += each.child.cpu_s() - used_s
            log_per_s.append(await _append_alone(log, at_once=connections, seconds=seconds))
            for each in contenders:
                work = webhooks(int(seconds * rate), key, per_session=PER_SESSION)
                each.paced.append(
                    await at_rate(each.child.port, work, per_s=rate, connections=connections)
                )
        await close(client)
    return contenders, log_per_s


async def _append_alone(log: EventLog, *, at_once: int, seconds: float) -> float:
    """Appends/s of webhooks of the usual size by a client that does nothing else."""
    key = SigningKey.generate()
    body = webhooks(1, key, per_session=1)[0].request.partition(b"\r\n\r\n")[2]
    headers = sign(body, key, time.time())
    count = 0
    started = time.perf_counter()

    async def keep_on() -> None:
        nonlocal count
        while time.perf_counter() - started < seconds:
            session_id, event_id = str(uuid.uuid4()), str(uuid.uuid4())
            await log.append(session_id, "in", encoded_webhook(body, event_id), headers=headers)
            count += 1

    await asyncio.gather(*(keep_on() for _ in range(at_once)))
    return count / (time.perf_counter() - started)


async def _started(stack: ExitStack, key: SigningKey) -> tuple[list[Contender], str]:
    """The measured servers, and the URL of their NATS."""
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="offhook-bench-")))
    nats_server = stack.enter_context(NatsServer())
    postgres_server = stack.enter_context(PostgresServer())
    client = await connect(nats_server.url, "bench")
    await provision(client, [nats_server.monitor_url])
    floor = dataclasses.replace(stream_config(1), name=FLOOR_STREAM, subjects=[f"{FLOOR_STREAM}.>"])
    await client.jetstream().add_stream(floor)
    await close(client)
    public_key = public_key_text(key)
    settings = Settings(
        nats_url=nats_server.url,
        nats_monitor_urls=(nats_server.monitor_url,),
        ingress_port=0,
        public_keys=(public_key,),
    )
    ours = role("ingress", settings, directory / "offhook.log")
    bare = child(
        ["-m", "bench.floor_ingress", nats_server.url, public_key, FLOOR_STREAM],
        {},
        directory / "floor.log",
    )
    usual = child(
        ["-m", "uvicorn", "bench.usual_ingress:app", "--port", "0"],
        {"DATABASE_URL": postgres_server.url, "TELNYX_PUBLIC_KEY": public_key},
        directory / "usual.log",
    )
    contenders = [
        Contender(name="offhook", child=stack.enter_context(ours)),
        Contender(name="floor", child=stack.enter_context(bare)),
        Contender(name="usual", child=stack.enter_context(usual)),
    ]
    return contenders, nats_server.url


def table_of(contenders: list[Contender], log_per_s: list[float], rate: float) -> Table:
    """Throughputs with their ratios, and the latencies at the fixed rate."""
    ours = contenders[0]
    table = Table(
        title=(
            f"Webhooks verified and durably acknowledged, one process; p50 and p99 at {rate:g}/s"
        )
    )
    table.add_column("")
    for heading in (
        "webhooks/s",
        "rounds",
        "offhook is",
        "target",
        "CPU ms each",
        "p50 ms",
        "p99 ms",
        "not 200",
    ):
        table.add_column(heading, justify="right")
    for each in contenders:
        target = TARGETS.get(each.name)
        speeds = [measured.per_s for measured in each.saturated]
        table.add_row(
            each.name,
            f"{each.per_s:.0f}",
            f"{min(speeds):.0f}–{max(speeds):.0f}",
            f"{ours.per_s / each.per_s:.2f} ×" if target else "",
            f"≥ {target:g} ×" if target else "",
            f"{each.cpu_ms_each:.2f}",
            f"{each.latency_ms(50):.2f}",
            f"{each.latency_ms(99):.2f}",
            str(each.refused),
        )
    table.add_row(
        "log",
        f"{median(log_per_s):.0f}",
        f"{min(log_per_s):.0f}–{max(log_per_s):.0f}",
        f"{ours.per_s / median(log_per_s):.2f} ×",
    )
    return table


if __name__ == "__main__":
    main()
