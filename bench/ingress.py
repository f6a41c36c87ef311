"""Webhooks verified and durably acknowledged by one ingress process: `python -m bench.ingress`.

    offhook   the real ingress process, with a log of so many partitions
    floor     raw ASGI, one PyNaCl verify, one JetStream publish with a dedupe id, to as many
              streams
    usual     FastAPI, the official SDK's `unwrap`, an insert into PostgreSQL through SQLAlchemy
    log       appends only, as many at once as there are connections: the limit of any ingress

All use the same load generator on the same machine and take turns; a figure is the median of its
rounds. Each number of partitions has a NATS server of its own. Offhook and the floor are served
with the same settings, the usual way by `uvicorn module:app`. `CPU ms each` is the server process
alone, the steadiest figure on a busy machine. NATS flushes before it acknowledges, PostgreSQL
before it commits. WRONG if a store has not, once, each webhook that was answered with 200: byte for
byte, or in PostgreSQL its id and payload.
"""

import argparse
import asyncio
import dataclasses
import hashlib
import json
import tempfile
import time
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import uvloop
from nacl.signing import SigningKey
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig
from rich.console import Console
from rich.table import Table

from bench.setting.children import Child, child, role
from bench.setting.load import Measured, at_rate, body_of, saturate, webhooks
from bench.setting.machine import describe, median, percentile
from offhook.cli.embedded.nats_server import NatsServer
from offhook.cli.embedded.postgres_server import PostgresServer
from offhook.codec.facts import encoded_webhook
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.log import EventLog, JetStreamLog
from offhook.jetstream.provisioning.provision import provision
from offhook.jetstream.stream import stream_config, streams_of
from offhook.settings import Settings
from offhook.telnyx.signature import public_key_text, sign

ROUNDS = 15
CONNECTIONS = 32
PER_SESSION = 5
PER_S_MAX = 8000
"""Webhooks signed beforehand for each second of saturation."""

BATCH = 1000  # records read at once for the comparison
READ_TIMEOUT_S = 30.0
FLOOR_STREAM = "FLOOR"
PARTITIONS = "1,2,4,8"
TARGETS = "targets: ≥ 0.85 of the floor with equal partitions, ≥ 8 × the usual way with 4"


@dataclass(kw_only=True)
class Contender:
    """One measured server and the results of its rounds."""

    name: str
    partitions: int  # of its log; 0: it has none
    child: Child
    cpu_s: float = 0.0  # of its process, while saturated
    saturated: list[Measured] = field(default_factory=list)
    paced: list[Measured] = field(default_factory=list)
    taken: set[bytes] = field(default_factory=set)  # digests of webhooks answered with 200
    not_taken: set[bytes] = field(default_factory=set)  # and of the others
    is_right: bool = True

    @property
    def per_s(self) -> float:
        return median([each.per_s for each in self.saturated])

    @property
    def cpu_ms_each(self) -> float:
        return self.cpu_s * 1000 / sum(each.taken for each in self.saturated)

    @property
    def refused(self) -> int:
        return sum(each.refused for each in (*self.saturated, *self.paced))

    def remember(self, measured: Measured) -> Measured:
        """What was answered, as digests: all requests of a run would be a gigabyte."""
        digest = _digest_of_row if self.name == "usual" else _digest
        for kept, requests in zip((self.taken, self.not_taken), measured.answered, strict=True):
            kept |= {digest(body_of(each)) for each in requests}
            requests.clear()
        return measured

    def compare(self, stored: Sequence[bytes]) -> None:
        """With the digests of its store; a webhook that was refused may be there as well."""
        found = set(stored)
        self.is_right = (
            len(found) == len(stored) and self.taken <= found <= self.taken | self.not_taken
        )

    def latency_ms(self, percent: int) -> float:
        return median([percentile(each.latencies_ms, percent) for each in self.paced])


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench.ingress")
    options.add_argument("--seconds", type=float, default=1.5, help="of saturation, each round")
    options.add_argument("--rate", type=float, default=100.0, help="webhooks/s for the latencies")
    options.add_argument("--rounds", type=int, default=ROUNDS)
    options.add_argument("--partitions", default=PARTITIONS, help="numbers of partitions")
    options.add_argument("--connections", type=int, default=CONNECTIONS, help="kept alive")
    given = options.parse_args()
    console = Console(width=120)
    console.print(describe("bench.ingress"), highlight=False)
    contenders, log_per_s = uvloop.run(
        measure(
            [int(each) for each in given.partitions.split(",")],
            given.seconds,
            given.rate,
            given.rounds,
            given.connections,
        )
    )
    console.print(table_of(contenders, log_per_s, given.rate))


async def measure(
    partitions: Sequence[int], seconds: float, rate: float, rounds: int, connections: int
) -> tuple[list[Contender], dict[int, list[float]]]:
    """Run all contenders in turn, `rounds` times.

    Also returns the appends/s of each round, by the number of partitions.
    """
    key = SigningKey.generate()
    log_per_s: dict[int, list[float]] = {count: [] for count in partitions}
    alone = body_of(webhooks(1, key, per_session=1)[0].request)
    with ExitStack() as stack:
        contenders, nats_urls, postgres_url = await _started(stack, key, partitions)
        clients = {count: await connect(url, "bench") for count, url in nats_urls.items()}
        logs = {count: JetStreamLog(client) for count, client in clients.items()}
        for each in contenders:
            work = webhooks(300, key, per_session=PER_SESSION)
            each.remember(await saturate(each.child.port, work, connections=connections, seconds=1))
        for _ in range(rounds):
            for each in contenders:
                work = webhooks(int(seconds * PER_S_MAX), key, per_session=PER_SESSION)
                used_s = each.child.cpu_s()
                measured = await saturate(
                    each.child.port, work, connections=connections, seconds=seconds
                )
                each.cpu_s += each.child.cpu_s() - used_s
                each.saturated.append(each.remember(measured))
            for count, log in logs.items():
                number, took_s = await _append_alone(
                    log, alone, at_once=connections, seconds=seconds
                )
                log_per_s[count].append(number / took_s)
            for each in contenders:
                work = webhooks(int(seconds * rate), key, per_session=PER_SESSION)
                measured = await at_rate(each.child.port, work, per_s=rate, connections=connections)
                each.paced.append(each.remember(measured))
        for each in contenders:
            if each.name == "usual":
                each.compare(await _rows_in(postgres_url))
                continue
            stored = await _records_in(clients[each.partitions], each)
            each.compare([digest for digest in stored if digest != _digest(alone)])
        for client in clients.values():
            await close(client)
    return contenders, log_per_s


async def _records_in(client: Client, contender: Contender) -> list[bytes]:
    """The digest of every record in its streams."""
    count = contender.partitions
    names = streams_of(count) if contender.name == "offhook" else _floor_streams(count)
    jetstream = client.jetstream()
    found: list[bytes] = []
    for name in names:
        left = (await jetstream.stream_info(name)).state.messages
        consumer = await jetstream.add_consumer(name, ConsumerConfig(ack_policy=AckPolicy.NONE))
        pull = await jetstream.pull_subscribe_bind(consumer.name, name)
        while left:
            batch = await pull.fetch(min(left, BATCH), timeout=READ_TIMEOUT_S)
            found += [_digest(message.data) for message in batch]
            left -= len(batch)
    return found


async def _rows_in(postgres_url: str) -> list[bytes]:
    connection = await asyncpg.connect(postgres_url)
    rows = await connection.fetch("select event_id, payload from events")
    await connection.close()
    return [_digest_of(row["event_id"], json.loads(row["payload"])) for row in rows]


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=16).digest()


def _digest_of_row(body: bytes) -> bytes:
    """What the usual way stores of a webhook."""
    data = json.loads(body)["data"]
    return _digest_of(data["id"], data["payload"])


def _digest_of(event_id: str, payload: object) -> bytes:
    return _digest(json.dumps([event_id, payload], sort_keys=True).encode())


def _floor_streams(count: int) -> list[str]:
    return [f"{FLOOR_STREAM}_{number}" for number in range(count)]


async def _append_alone(
    log: EventLog, body: bytes, *, at_once: int, seconds: float
) -> tuple[int, float]:
    """Appends by a client that does nothing else, and the seconds they took."""
    headers = sign(body, SigningKey.generate(), time.time())
    count = 0
    started = time.perf_counter()

    async def keep_on() -> None:
        nonlocal count
        while time.perf_counter() - started < seconds:
            session_id, event_id = str(uuid.uuid4()), str(uuid.uuid4())
            await log.append(session_id, "in", encoded_webhook(body, event_id), headers=headers)
            count += 1

    await asyncio.gather(*(keep_on() for _ in range(at_once)))
    return count, time.perf_counter() - started


async def _started(
    stack: ExitStack, key: SigningKey, partitions: Sequence[int]
) -> tuple[list[Contender], dict[int, str], str]:
    """The measured servers, the URL of the NATS server with so many partitions, and Postgres'."""
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="offhook-bench-")))
    public_key = public_key_text(key)
    contenders: list[Contender] = []
    urls: dict[int, str] = {}
    for count in partitions:
        server = stack.enter_context(NatsServer())
        await _provision(server, count)
        urls[count] = server.url
        settings = Settings(
            nats_url=server.url,
            nats_monitor_urls=(server.monitor_url,),
            ingress_port=0,
            public_keys=(public_key,),
        )
        ours = role("ingress", settings, directory / f"offhook-{count}.log")
        bare = child(
            ["-m", "bench.rivals.floor_ingress", server.url, public_key, FLOOR_STREAM, str(count)],
            {},
            directory / f"floor-{count}.log",
        )
        for name, process in (("offhook", ours), ("floor", bare)):
            contenders.append(
                Contender(name=name, partitions=count, child=stack.enter_context(process))
            )
    postgres_server = stack.enter_context(PostgresServer())
    usual = child(
        ["-m", "uvicorn", "bench.rivals.usual_ingress:app", "--port", "0"],
        {"DATABASE_URL": postgres_server.url, "TELNYX_PUBLIC_KEY": public_key},
        directory / "usual.log",
    )
    contenders.append(Contender(name="usual", partitions=0, child=stack.enter_context(usual)))
    return contenders, urls, postgres_server.libpq_url


async def _provision(server: NatsServer, count: int) -> None:
    """The log, and as many streams for the floor."""
    client = await connect(server.url, "bench")
    await provision(client, [server.monitor_url], partitions=count)
    for number, name in enumerate(_floor_streams(count)):
        floor = dataclasses.replace(
            stream_config(1), name=name, subjects=[f"{FLOOR_STREAM}.{number}"]
        )
        await client.jetstream().add_stream(floor)
    await close(client)


def table_of(contenders: list[Contender], log_per_s: dict[int, list[float]], rate: float) -> Table:
    """Throughputs with their ratios, and the latencies at the fixed rate."""
    table = Table(
        title="Webhooks verified and durably acknowledged, one process; "
        f"p50 and p99 at {rate:g}/s\n{TARGETS}"
    )
    table.add_column("")
    for heading in (
        "partitions",
        "per s",
        "rounds",
        "of floor",
        "× usual",
        "of log",
        "CPU ms each",
        "p50 ms",
        "p99 ms",
        "not 200",
    ):
        table.add_column(heading, justify="right")
    per_s = {(each.name, each.partitions): each.per_s for each in contenders}
    for each in contenders:
        speeds = [measured.per_s for measured in each.saturated]
        is_ours = each.name == "offhook"
        floor = per_s.get(("floor", each.partitions), 0.0)
        if not each.is_right:
            table.add_row(each.name, str(each.partitions or ""), *["WRONG"] * 8)
            continue
        table.add_row(
            each.name,
            str(each.partitions or ""),
            f"{each.per_s:.0f}",
            f"{min(speeds):.0f}–{max(speeds):.0f}",
            f"{each.per_s / floor:.2f}" if is_ours else "",
            f"{each.per_s / per_s['usual', 0]:.1f}" if is_ours else "",
            f"{each.per_s / median(log_per_s[each.partitions]):.2f}" if is_ours else "",
            f"{each.cpu_ms_each:.2f}",
            f"{each.latency_ms(50):.2f}",
            f"{each.latency_ms(99):.2f}",
            str(each.refused),
        )
    for count, speeds in log_per_s.items():
        spread = f"{min(speeds):.0f}–{max(speeds):.0f}"
        table.add_row("log", str(count), f"{median(speeds):.0f}", spread)
    return table


if __name__ == "__main__":
    main()
