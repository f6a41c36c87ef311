"""The log: servers that are unsafe or silent, streams and consumers that were changed."""

import asyncio
import socket
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DiscardPolicy,
    StorageType,
    StoreCompression,
    StreamConfig,
)

from offhook.cli.doctor.run import Roles, examine
from offhook.cli.embedded.nats_server import NatsServer
from offhook.cli.embedded.prepare import provision_log
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.stream import (
    RECORD_BYTES_MAX,
    SNAPSHOTS,
    STREAM,
    WORKER,
    consumer_configs,
    snapshots_config,
    stream_config,
)
from offhook.settings import Settings
from tests.cli.carrier import WEBHOOKS
from tests.cli.doctor.checks import NOBODY, NOBODY_REPORTS_S, look, only_wrong


def test_a_server_that_would_lose_writes(good: Settings) -> None:
    with NatsServer(sync_always=False) as unsafe:
        finding = only_wrong(look(replace(good, nats_monitor_urls=(unsafe.monitor_url,))))
        assert finding.check == "flushes every write"
        assert "would lose acknowledged writes" in finding.found
        assert "sync_interval: always" in finding.fix
        found = look(replace(good, nats_url=unsafe.url), listen_s=NOBODY_REPORTS_S)
        missing = [each for each in found.values() if each.state == "wrong" and each.place == "log"]
        assert [each.check for each in missing] == ["streams"]
        assert {each.found for each in missing} == {"they do not exist"}
        assert {each.fix for each in missing} == {"offhook provision"}


def test_servers_that_do_not_answer(good: Settings) -> None:
    found = look(replace(good, nats_monitor_urls=(*good.nats_monitor_urls, NOBODY)))
    assert f"no NATS monitoring answers at {NOBODY}" in only_wrong(found).found
    assert only_wrong(look(replace(good, nats_monitor_urls=()))).found.endswith("is empty")


class _Narrow(NatsServer):
    def _config(self) -> str:
        return super()._config().replace("max_payload: 8MB", "max_payload: 65536")


def test_a_server_that_takes_no_webhook_of_full_size(good: Settings) -> None:
    with _Narrow() as narrow:
        finding = only_wrong(look(replace(good, nats_monitor_urls=(narrow.monitor_url,))))
    assert finding.check == "max_payload"
    assert finding.found.endswith("is 65536 bytes")
    assert finding.fix.startswith(f"set `max_payload` to at least {RECORD_BYTES_MAX}")


def test_a_compressed_stream(good: Settings, tmp_path: Path) -> None:
    async def compress(server: NatsServer) -> None:
        client = await connect(server.url, "test")
        compressed = stream_config(1).evolve(compression=StoreCompression.S2)
        await client.jetstream().add_stream(compressed)
        await close(client)

    with NatsServer(tmp_path) as server:
        asyncio.run(compress(server))
        elsewhere = replace(good, nats_url=server.url)
        found = look(elsewhere, listen_s=NOBODY_REPORTS_S)["log", f"stream {STREAM}"]
    assert found.found.startswith("it is compressed")
    assert found.fix == "stop every role, then offhook provision --rewrite-compressed"


class _Guarded(NatsServer):
    def _config(self) -> str:
        return super()._config() + 'authorization { user: "desk", password: "hunter2" }\n'


def test_a_server_that_refuses_is_told_from_one_that_is_away(good: Settings) -> None:
    away = only_wrong(look(replace(good, nats_url="nats://desk:hunter2@127.0.0.1:1")))
    assert away.found.startswith("no connection to nats://127.0.0.1:1: [Errno 111]")
    with _Guarded() as guarded:
        address = guarded.url.removeprefix("nats://")
        refused = only_wrong(look(replace(good, nats_url=f"nats://desk:hunter1@{address}")))
        assert "Authorization Violation" in refused.found
        assert "OFFHOOK_NATS_URL: its address, user and password" in refused.fix
        with_password = replace(good, nats_url=f"nats://desk:hunter2@{address}")
        let_in = look(with_password, listen_s=NOBODY_REPORTS_S)["log", "NATS"]
    assert let_in.state == "good"
    assert let_in.found.startswith(f"nats://{address}, version ")
    assert "hunter" not in f"{away} {refused} {let_in}"


def test_what_listens_and_never_answers_is_told_in_time(good: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = f"127.0.0.1:{silent.getsockname()[1]}"
        silenced = replace(
            good,
            carrier_url=f"http://{where}/v2",
            nats_url=f"nats://{where}",
            nats_monitor_urls=(f"http://{where}",),
            postgres_url=f"postgresql://postgres@{where}/postgres",
        )
        found = asyncio.run(
            examine(
                silenced,
                webhook_url=WEBHOOKS,
                roles=Roles(ingress=f"http://{where}"),
                now=lambda: datetime.now(UTC),
                place_timeout_s=2.0,
            )
        )
    late = [each for each in found if each.check == "answers in time"]
    silent_places = Counter(["carrier", "ingress", "log", "log", "workers", "views", "views"])
    assert silent_places <= Counter(each.place for each in late)  # others on a slow machine
    assert {each.found for each in late} == {"nothing more within 2 s"}


async def _changed(url: str, stream: StreamConfig | None, consumer: ConsumerConfig | None) -> None:
    client = await connect(url, "test")
    js = client.jetstream()
    if stream is not None:
        await js.update_stream(stream)
    if consumer is not None:
        assert consumer.durable_name is not None
        await js.delete_consumer(STREAM, consumer.durable_name)
        await js.add_consumer(STREAM, consumer)
    await close(client)


def test_a_stream_or_consumer_that_somebody_changed(good: Settings) -> None:
    worker = next(each for each in consumer_configs() if each.durable_name == WORKER)
    changed = worker.evolve(ack_wait=30.0, filter_subject="calls.1.*.in")
    stream = stream_config(1).evolve(discard=DiscardPolicy.OLD, max_bytes=10_000_000)
    asyncio.run(_changed(good.nats_url, stream, changed))
    found = look(good)
    assert found["log", f"stream {STREAM}"].found == (
        "max_bytes is 10000000, not -1; discard is old, not new"
    )
    assert found["log", f"consumer {WORKER}"].found == (
        "ack_wait is 30.0, not 1.0; filter_subject is calls.1.*.in, not calls.*.*.in"
    )
    wrong = [each for each in found.values() if each.state == "wrong"]
    assert [each.fix for each in wrong] == ["offhook provision"] * 2
    asyncio.run(provision_log(good))
    assert not [each for each in look(good).values() if each.state == "wrong"]

    asyncio.run(_changed(good.nats_url, None, worker.evolve(ack_policy=AckPolicy.ALL)))
    finding = only_wrong(look(good))
    assert finding.found == "ack_policy is all, not explicit"
    assert finding.fix == (
        f"nats consumer rm {STREAM} {WORKER}, then offhook provision: nothing is lost"
    )
    asyncio.run(_changed(good.nats_url, None, worker))


def test_a_missing_consumer(good: Settings) -> None:
    async def remove() -> None:
        client = await connect(good.nats_url, "test")
        await client.jetstream().delete_consumer(STREAM, WORKER)
        await close(client)

    asyncio.run(remove())
    finding = only_wrong(look(good))
    assert (finding.check, finding.found) == (f"consumer {WORKER}", "it does not exist")
    asyncio.run(provision_log(good))
    assert not [each for each in look(good).values() if each.state == "wrong"]


def test_the_stream_of_snapshots(good: Settings) -> None:
    async def replace_by(config: StreamConfig | None) -> None:
        client = await connect(good.nats_url, "test")
        await client.jetstream().delete_stream(SNAPSHOTS)
        if config is not None:
            await client.jetstream().add_stream(config)
        await close(client)

    asyncio.run(replace_by(None))
    missing = only_wrong(look(good))
    assert missing.check == f"stream {SNAPSHOTS}"
    assert missing.found == "it does not exist: long sessions are read from their beginning"
    assert missing.fix == "offhook provision"
    asyncio.run(provision_log(good))
    asyncio.run(replace_by(snapshots_config(1).evolve(storage=StorageType.FILE)))
    on_disk = only_wrong(look(good))
    assert on_disk.found == "storage is file, not memory"
    assert on_disk.fix == "nats stream rm SNAPSHOTS, then offhook provision: nothing is lost"
    asyncio.run(replace_by(None))
    asyncio.run(provision_log(good))
    assert not [each for each in look(good).values() if each.state == "wrong"]


def test_each_partition_is_examined(good: Settings) -> None:
    with NatsServer() as server:
        partitioned = replace(
            good, nats_url=server.url, nats_monitor_urls=(server.monitor_url,), partitions=2
        )
        asyncio.run(provision_log(partitioned))
        asyncio.run(_without_consumer(server.url, "CALLS_1"))
        found = look(replace(partitioned, partitions=4), listen_s=NOBODY_REPORTS_S)
    assert found["log", "stream CALLS_0"].state == "good"
    assert found["log", "consumer CALLS_0 worker"].state == "good"
    assert found["log", "consumer CALLS_1 worker"].found == "it does not exist"
    assert found["log", "partitions"].found == "the log has 2, OFFHOOK_PARTITIONS is 4"
    assert found["workers", "wake-ups"].found == "none waiting"


async def _without_consumer(url: str, stream: str) -> None:
    client = await connect(url, "test")
    await client.jetstream().delete_consumer(stream, WORKER)
    await close(client)
