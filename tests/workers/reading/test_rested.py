"""A worker that is woken for a session that has rested reads its snapshot and nothing else."""

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import replace

import pytest
from nats.aio.client import Client
from nats.js.api import ConsumerConfig, DeliverPolicy

from offhook.cli.embedded.nats_server import NatsServer
from offhook.codec.facts import encode, encoded_webhook
from offhook.codec.webhooks import wire_body
from offhook.errors import LogUnavailable
from offhook.events import CallAnswered, Decided, Record
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.consuming.delivery import record_delivered
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.provisioning.provision import provision
from offhook.jetstream.reads import Counted
from offhook.jetstream.snapshots import JetStreamSnapshots
from offhook.jetstream.subjects import subject_of
from offhook.position import position_of
from offhook.session import Session, fold
from offhook.workers.metrics import WorkerMetrics
from offhook.workers.reading.cache import SessionCache
from offhook.workers.reading.snapshots import Snapshots
from tests.jetstream.fetched import fetched
from tests.memory_log import MemoryLog
from tests.memory_snapshots import MemorySnapshots
from tests.workers.reading.long_session import (
    EVENTS,
    AskedLog,
    AskedSnapshots,
    Worker,
    at_once,
    counted,
    rested,
    snapshots_in,
    woken,
)
from tests.workers.sessions.stand import (
    LEG,
    SESSION,
    initiated,
)


async def test_nothing_is_read_of_a_session_that_has_rested_but_its_snapshot() -> None:
    log = AskedLog()
    store = AskedSnapshots(log.asked)
    await rested(log, store)
    arrived = await woken(log, 100)
    expected = fold(SESSION, await log.read(SESSION))
    log.asked.clear()

    metrics = WorkerMetrics()
    cache = SessionCache(log, asyncio.sleep, snapshots=snapshots_in(store, metrics=metrics))
    state = await cache.read(SESSION, arrived[-1].seq, arrived=lambda: arrived)

    assert log.asked == ["snapshot", "count"]
    assert counted(metrics) == {"complete": 1}
    assert state.latest() == expected
    cause = await state.next_cause()
    assert cause is not None
    assert cause[0] == arrived[0]


async def test_another_worker_decides_on_it_as_the_first_would_have() -> None:
    log, store = MemoryLog(), MemorySnapshots()
    await rested(log, store)
    [record] = await woken(log, 102)
    expected = fold(SESSION, await log.read(SESSION))
    other = Worker(log, store, "w2")
    await other.settler.settle(SESSION, record.seq, arrived=lambda: [record])
    [(_, session)] = other.flow.seen
    assert session == expected
    assert counted(other.metrics)["complete"] == 1


async def test_several_that_arrived_at_once_are_all_there_is() -> None:
    log, store = AskedLog(), MemorySnapshots()
    await rested(log, store)
    arrived = await woken(log, 100, 101, 102)
    unordered = [arrived[2], arrived[0], arrived[1], arrived[0]]
    assert await asked_for(log, store, unordered) == ["count"]


async def asked_for(log: AskedLog, store: MemorySnapshots, arrived: Sequence[Record]) -> list[str]:
    """What a worker asks the log for that does not know the session, when these are delivered.

    Then it has all that is there.
    """
    expected = fold(SESSION, await log.read(SESSION))
    log.asked.clear()
    cache = SessionCache(log, at_once, snapshots=snapshots_in(store))
    wake_seq = max((each.seq for each in arrived), default=0)
    state = await cache.read(SESSION, wake_seq, arrived=lambda: arrived)
    assert state.latest() == expected
    return log.asked


async def test_what_was_delivered_to_another_worker_is_read() -> None:
    log, store = AskedLog(), MemorySnapshots()
    await rested(log, store)
    _, second = await woken(log, 100, 101)
    assert await asked_for(log, store, [second]) == ["count", "record", "tail"]


async def test_what_came_without_its_record_is_read() -> None:
    log, store = AskedLog(), MemorySnapshots()
    await rested(log, store)
    await woken(log, 100)
    assert await asked_for(log, store, []) == ["count", "record", "tail"]


async def test_what_another_worker_decided_meanwhile_is_read() -> None:
    log, store = AskedLog(), MemorySnapshots()
    await rested(log, store)
    [record] = await woken(log, 100)
    await Worker(log, MemorySnapshots(), "w2").settler.settle(SESSION, record.seq)
    assert await asked_for(log, store, [record]) == ["count", "record", "tail"]


@pytest.mark.parametrize("answer", ["none", "of a server that lags"])
async def test_without_a_number_that_counts_the_tail_is_read(answer: str) -> None:
    log, store = SaidLog(), MemorySnapshots()
    await rested(log, store)
    first, second = await woken(log, 100, 101)
    if answer != "none":
        # It has the first of the two, so that their number is as expected.
        log.said = log.counted_until(SESSION, first.seq)
    assert await asked_for(log, store, [second]) == ["record", "tail"]


class SaidLog(AskedLog):
    """Answers what is `said` when it is asked how many records there are."""

    said: Counted | None = None

    async def counted(self, session_id: str) -> Counted | None:
        return self.said


async def test_what_ends_at_a_position_of_another_partition_is_not_used() -> None:
    """After the move to partitions there are as many records, at other positions."""
    log, store = SaidLog(), MemorySnapshots()
    await rested(log, store)
    until = position_of(2, log.last_seq)
    log.said = replace(log.counted_until(SESSION, log.last_seq), until=until)
    assert await asked_for(log, store, []) == ["record", "tail"]


@pytest.mark.parametrize("is_read_before", [False, True])
async def test_no_decision_stands_on_other_records_than_the_log_has(is_read_before: bool) -> None:
    """A log that was restored from a copy may have as many records, but others."""
    before, store = MemoryLog(), MemorySnapshots()
    await rested(before, store)
    log = MemoryLog(before.now)
    await log.append("another", "in", encoded_webhook(wire_body(initiated()), "another"))
    await rested(log, MemorySnapshots())
    other = Worker(log, store, "w2")
    if is_read_before:
        await other.settler.settle(SESSION)
    [record] = await woken(log, 100)
    with pytest.raises(LogUnavailable, match="the log has not what its snapshot ends with"):
        await other.settler.settle(SESSION, record.seq, arrived=lambda: [record])
    expected = fold(SESSION, await log.read(SESSION))
    assert not any(
        isinstance(each.fact, Decided)
        for each in await log.read(SESSION, in_after=record.seq, out_after=record.seq)
    )
    await other.settler.settle(SESSION, record.seq, arrived=lambda: [record])
    assert other.flow.seen[-1][1] == expected
    assert counted(other.metrics) == {"complete": 1, "outdated": 2}


async def test_a_session_in_doubt_is_compared_with_the_log() -> None:
    log, store = AskedLog(), MemorySnapshots()
    await rested(log, store)
    [record] = await woken(log, 100)
    cache = SessionCache(log, at_once, snapshots=snapshots_in(store))
    await cache.read(SESSION, record.seq, arrived=lambda: [record])
    cache.drop(SESSION)
    log.asked.clear()
    await cache.read(SESSION, record.seq, arrived=lambda: [record])
    assert log.asked == ["record", "tail"]


@pytest.mark.usefixtures("patient_reads")
async def test_on_jetstream_nothing_else_is_read_either(nats_server: NatsServer) -> None:
    client = await connect(nats_server.url, "test")
    await provision(client, [nats_server.monitor_url])
    log, session_id = ReadingLog(client), str(uuid.uuid4())

    async def append() -> int:
        event = CallAnswered(event_id=str(uuid.uuid4()), call_control_id=LEG)
        encoded = encoded_webhook(wire_body(event), event.event_id)
        return (await log.append(session_id, "in", encoded)).seq

    for _ in range(EVENTS):
        seq = await append()
        said = Decided(
            cause_seq=seq, cause_id="", flow="f", flow_version="1", worker="w1", lease_s=3.0
        )
        await log.append(session_id, "out", encode(said, session_id))
    metrics = WorkerMetrics()
    snapshots = Snapshots(JetStreamSnapshots(client), "code", metrics=metrics, sleep=at_once)
    known = await SessionCache(log, asyncio.sleep).read(session_id)
    assert await known.next_cause() is None
    snapshot = known.last_snapshot()
    assert snapshot is not None
    snapshots.offer(snapshot)
    await snapshots.store_offered()

    async def woken() -> Record:
        """The next record, as a consumer delivers it."""
        seq = await append()
        subscription = await client.jetstream().pull_subscribe(
            subject_of(session_id, "in"),
            config=ConsumerConfig(
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=seq
            ),
        )
        [message] = await fetched(subscription, 1)
        return record_delivered(message)

    async def read_by_another(*arrived: Record) -> Session:
        log.reads.clear()
        cache = SessionCache(log, asyncio.sleep, snapshots=snapshots)
        state = await cache.read(session_id, arrived[-1].seq, arrived=lambda: arrived)
        return state.latest()

    first = await woken()
    assert await read_by_another(first) == fold(session_id, await log.read(session_id))
    assert log.reads == [session_id]  # for the comparison
    second = await woken()
    assert await read_by_another(second) == fold(session_id, await log.read(session_id))
    assert len(log.reads) > 1
    assert await read_by_another(first, second) == fold(session_id, await log.read(session_id))
    assert log.reads == [session_id]
    assert counted(metrics) == {"stored": 1, "complete": 2, "used": 1}
    await close(client)


class ReadingLog(JetStreamLog):
    """Notes each read of records."""

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self.reads: list[str] = []

    async def read(
        self, session_id: str, *, in_after: int = 0, out_after: int = 0, limit: int | None = None
    ) -> Sequence[Record]:
        self.reads.append(session_id)
        return await super().read(session_id, in_after=in_after, out_after=out_after, limit=limit)

    async def record_at(self, session_id: str, position: int) -> Record | None:
        self.reads.append(session_id)
        return await super().record_at(session_id, position)
