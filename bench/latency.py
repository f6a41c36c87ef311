"""Latency from a webhook to the arrival of its command at the carrier: `python -m bench.latency`.

    offhook   HTTP → ingress process → log → worker process (`setting.flows:ANSWERING`) → carrier
    lean      HTTP → FastAPI → a row in PostgreSQL → worker process → carrier (`rivals.lean_worker`)
    floor     publish to JetStream → a bare pull consumer's process → carrier

All have the same fixed rate, one webhook per call and the same carrier stub, and send commands
with httpx; rounds take turns. The floor neither verifies nor records: it shows what the machine,
NATS and httpx cost by themselves. WRONG if a call got commands with more than one `command_id`.
"""

import argparse
import asyncio
import dataclasses
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import uvloop
from nacl.signing import SigningKey
from nats.js import JetStreamContext
from nats.js.api import PubAck
from rich.console import Console
from rich.table import Table

from bench.setting import carrier as stub
from bench.setting.children import Child, child
from bench.setting.load import SignedWebhook, at_rate, webhooks
from bench.setting.machine import describe, hold_collections, percentile
from bench.setting.servers import Servers, running_log
from offhook.cli.embedded.postgres_server import PostgresServer
from offhook.jetstream.stream import stream_config
from offhook.telnyx.signature import public_key_text

ROUNDS = 4
CONNECTIONS = 32
WARM_UP = 100
LATE_S = 5.0
POLL_S = 0.05
FLOOR_STREAM = "FLOOR"
LEAN_SLOTS = 16


@dataclass(kw_only=True)
class Route:
    """One way from a webhook to a command, and how long each took."""

    name: str
    sent: int = 0
    cpu_s: float = 0.0  # processor time of its workers
    workers: list[Child] = field(default_factory=list)
    port: int = 0  # of its ingress
    latencies_ms: list[float] = field(default_factory=list)
    calls: set[str] = field(default_factory=set)
    doubled: int = 0  # calls that got more than one command

    def add(self, sent_at: dict[str, float], arrived_at: dict[str, float]) -> None:
        self.sent += len(sent_at)
        self.calls |= sent_at.keys()
        self.latencies_ms += [
            (arrived_at[each] - at) * 1000 for each, at in sent_at.items() if each in arrived_at
        ]


@dataclass(kw_only=True)
class NotingCarrier(stub.StubCarrier):
    """Notes the ids of the commands that each call got."""

    command_ids: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def arrived(self, call_control_id: str, command_id: str) -> None:
        super().arrived(call_control_id, command_id)
        self.command_ids[call_control_id].add(command_id)


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench.latency")
    options.add_argument("--seconds", type=float, default=20.0, help="total for each route")
    options.add_argument("--rate", type=float, default=100.0, help="webhooks/s")
    options.add_argument("--workers", type=int, default=2, help="worker processes of each route")
    given = options.parse_args()
    console = Console(width=100)
    console.print(describe("bench.latency"), highlight=False)
    console.print(
        table_of(uvloop.run(measure(given.seconds, given.rate, given.workers)), given.rate)
    )


async def measure(seconds: float, rate: float, workers: int) -> list[Route]:
    """Run the routes in turn."""
    key = SigningKey.generate()
    routes = [Route(name="offhook"), Route(name="lean"), Route(name="floor")]
    count = int(seconds * rate / ROUNDS)
    async with stub.listening(NotingCarrier()) as carrier, running_log() as servers:
        await _start(servers, carrier, key, workers, routes)
        publisher = Publisher(servers.client.jetstream())
        for size, counts in ((WARM_UP, False), *[(count, True)] * ROUNDS):
            for route in routes:
                work = webhooks(size, key, per_session=1)
                sent_at: dict[str, float] = {}
                cpu_s = sum(each.cpu_s() for each in route.workers)
                if route.port:
                    await _by_http(route.port, work, rate, sent_at)
                else:
                    await publisher.at_rate(work, rate, sent_at)
                await _all_arrived(sent_at, carrier)
                if counts:
                    route.add(sent_at, carrier.arrived_at)
                    route.cpu_s += sum(each.cpu_s() for each in route.workers) - cpu_s
        for route in routes:
            route.doubled = sum(len(carrier.command_ids[each]) > 1 for each in route.calls)
    return routes


async def _by_http(
    port: int, work: Sequence[SignedWebhook], rate: float, sent_at: dict[str, float]
) -> None:
    def sending(webhook: SignedWebhook, at: float) -> None:
        sent_at[webhook.call_control_id] = at

    measured = await at_rate(port, work, per_s=rate, connections=CONNECTIONS, sending=sending)
    assert not measured.refused, f"{measured.refused} webhooks were not accepted"


class Publisher:
    """Publishes the bodies directly to JetStream, as many at once as are due."""

    def __init__(self, jetstream: JetStreamContext) -> None:
        self._jetstream = jetstream
        self._tasks: set[asyncio.Task[PubAck]] = set()

    async def at_rate(
        self, work: Sequence[SignedWebhook], rate: float, sent_at: dict[str, float]
    ) -> None:
        hold_collections()
        started = time.perf_counter()
        for number, webhook in enumerate(work):
            await asyncio.sleep(max(0.0, started + number / rate - time.perf_counter()))
            sent_at[webhook.call_control_id] = time.perf_counter()
            task = asyncio.create_task(self._publish(webhook))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _publish(self, webhook: SignedWebhook) -> PubAck:
        body = webhook.request.partition(b"\r\n\r\n")[2]
        headers = {"Nats-Msg-Id": webhook.call_control_id}
        return await self._jetstream.publish(f"{FLOOR_STREAM}.in", body, headers=headers)


async def _start(
    servers: Servers,
    carrier: stub.StubCarrier,
    key: SigningKey,
    workers: int,
    routes: list[Route],
) -> None:
    """Every process but the carrier."""
    ours, lean, floor = routes
    stream = dataclasses.replace(
        stream_config(1), name=FLOOR_STREAM, subjects=[f"{FLOOR_STREAM}.>"]
    )
    await servers.client.jetstream().add_stream(stream)
    settings = servers.worker_settings(carrier, ingress_port=0, public_keys=(public_key_text(key),))
    bare = [
        *("-m", "bench.rivals.floor_worker"),
        *(servers.nats_server.url, FLOOR_STREAM, carrier.url),
    ]
    database = (await servers.enter(PostgresServer())).libpq_url
    hand_made = ["-m", "bench.rivals.lean_worker", database, carrier.url, str(LEAN_SLOTS)]
    directory = servers.directory
    for number in range(workers):
        ours.workers.append(await servers.start("workers", settings))
        log = directory / f"lean-{number}.log"
        lean.workers.append(await servers.enter(child(hand_made, {}, log)))
        log = directory / f"floor-{number}.log"
        floor.workers.append(await servers.enter(child(bare, {}, log)))
    ours.port = (await servers.start("ingress", settings)).port
    environment = {"DATABASE_URL": database, "PUBLIC_KEY": key.verify_key.encode().hex()}
    program = ["-m", "uvicorn", "bench.rivals.lean_ingress:app", "--port", "0", "--no-access-log"]
    serving = child(program, environment, directory / "lean-ingress.log")
    lean.port = (await servers.enter(serving)).port


async def _all_arrived(sent_at: dict[str, float], carrier: stub.StubCarrier) -> None:
    """Wait until the command of every call has arrived, but at most LATE_S."""
    for _ in range(int(LATE_S / POLL_S)):
        if sent_at.keys() <= carrier.arrived_at.keys():
            return
        await asyncio.sleep(POLL_S)


def table_of(routes: Sequence[Route], rate: float) -> Table:
    table = Table(title=f"Webhook sent → command at the carrier, {rate:g} webhooks/s")
    table.add_column("")
    for heading in ("sent", "no command", "p50 ms", "p90 ms", "p99 ms", "max ms"):
        table.add_column(heading, justify="right")
    table.add_column("worker CPU ms each", justify="right")
    for each in routes:
        missing = each.sent - len(each.latencies_ms)
        figures = [f"{percentile(each.latencies_ms, percent):.1f}" for percent in PERCENTS]
        cpu_ms = each.cpu_s * 1000 / each.sent
        if each.doubled:
            figures = ["WRONG"] * len(figures)
        table.add_row(each.name, str(each.sent), str(missing), *figures, f"{cpu_ms:.2f}")
    ours = routes[0]
    for other in routes[1:]:
        ratios = [
            percentile(ours.latencies_ms, percent) / percentile(other.latencies_ms, percent)
            for percent in PERCENTS
        ]
        cpu = ours.cpu_s / other.cpu_s
        shown = [f"{ratio:.1f} ×" for ratio in (*ratios, cpu)]
        table.add_row(f"offhook / {other.name}", "", "", *shown)
    return table


PERCENTS = (50, 90, 99, 100)

if __name__ == "__main__":
    main()
