"""A log of several partitions: provisioned, discovered, read by position."""

import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from nats.aio.client import Client
from nats.js.api import StreamConfig

from offhook.cli.embedded.nats_server import NatsServer
from offhook.codec.facts import encode, encoded_webhook
from offhook.errors import LogMissing, LogUnsafe, SettingInvalid
from offhook.events import Decided
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.consuming.delivery import delivery_of
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.lookup import StreamLookup
from offhook.jetstream.partitions import partitions_of
from offhook.jetstream.provisioning.provision import provision, require_provisioned
from offhook.jetstream.stream import (
    PROJECTOR,
    SNAPSHOTS,
    TIMERS,
    WORKER,
    WORKER_TIMERS,
    partition_in,
    stream_of,
    streams_of,
    wanted_streams,
)
from offhook.jetstream.subjects import partition_for
from offhook.jetstream.timetable import JetStreamTimetable, alarm_from
from offhook.position import partition_of, position_of, seq_of
from tests.jetstream.fetched import fetched

COUNT = 4
BODY = b'{"data": {}}'


@pytest.fixture
def server() -> Iterator[NatsServer]:
    with NatsServer() as server:
        yield server


@pytest.fixture
async def client(server: NatsServer) -> AsyncIterator[Client]:
    client = await connect(server.url, "test")
    yield client
    await close(client)


def session_in(partition: int, partitions: int = COUNT) -> str:
    while partition_for(session := str(uuid.uuid4()), partitions) != partition:
        pass
    return session


async def test_a_new_log_has_the_partitions_that_were_asked_for(
    server: NatsServer, client: Client
) -> None:
    with pytest.raises(LogMissing, match="stream CALLS does not exist: run `offhook provision`"):
        await partitions_of(client)
    for again in range(2):
        asked = 0 if again else COUNT
        assert await provision(client, [server.monitor_url], partitions=asked) == COUNT
    assert await require_provisioned(client, [server.monitor_url], WORKER) == COUNT
    names = {info.config.name for info in await client.jetstream().streams_info()}
    assert names == {"CALLS_0", "CALLS_1", "CALLS_2", "CALLS_3", TIMERS, SNAPSHOTS}
    for stream in streams_of(COUNT):
        for consumer in (WORKER, PROJECTOR):
            await client.jetstream().consumer_info(stream, consumer)
    await client.jetstream().delete_consumer("CALLS_3", WORKER)
    with pytest.raises(LogMissing, match="stream CALLS_3 with consumer worker does not exist"):
        await require_provisioned(client, [server.monitor_url], WORKER)


async def test_another_number_of_partitions_is_refused(server: NatsServer, client: Client) -> None:
    await provision(client, [server.monitor_url], partitions=COUNT)
    for other in (1, 2, 8):
        with pytest.raises(SettingInvalid, match=f"OFFHOOK_PARTITIONS is {other}, but the log has"):
            await provision(client, [server.monitor_url], partitions=other)


async def test_a_log_of_one_stream_goes_on_as_it_is(server: NatsServer, client: Client) -> None:
    for wanted, consumers in wanted_streams(1, 1):
        assert wanted.name is not None
        await client.jetstream().add_stream(wanted.evolve(metadata={"offhook": "1"}))
        for consumer in consumers:
            await client.jetstream().add_consumer(wanted.name, consumer)
    assert await provision(client, [server.monitor_url]) == 1
    assert await partitions_of(client) == 1
    with pytest.raises(
        SettingInvalid, match=r"the log has 1: .* `offhook provision --repartition`"
    ):
        await provision(client, [server.monitor_url], partitions=COUNT)


async def test_an_interrupted_provisioning_is_completed(server: NatsServer, client: Client) -> None:
    wanted, _ = wanted_streams(1, COUNT)[0]
    await client.jetstream().add_stream(wanted)
    with pytest.raises(LogMissing, match="stream CALLS_1 does not exist"):
        await require_provisioned(client, [server.monitor_url])
    assert await provision(client, [server.monitor_url]) == COUNT
    await require_provisioned(client, [server.monitor_url], PROJECTOR)


async def test_a_move_that_has_not_ended_is_refused(server: NatsServer, client: Client) -> None:
    await provision(client, [server.monitor_url], partitions=1)
    await client.jetstream().add_stream(StreamConfig(name="CALLS_0", subjects=["other"]))
    for refusing in (
        partitions_of(client),
        provision(client, [server.monitor_url]),
        require_provisioned(client, [server.monitor_url]),
        JetStreamLog(client).read("s"),
    ):
        with pytest.raises(LogUnsafe, match=r"has not ended; .* `offhook provision --repartition`"):
            await refusing


async def test_records_are_found_by_position(server: NatsServer, client: Client) -> None:
    await provision(client, [server.monitor_url], partitions=COUNT)
    log, lookup = JetStreamLog(client), StreamLookup(client)
    beginnings = [position_of(partition, 0) for partition in range(COUNT)]
    assert await lookup.last_positions() == beginnings
    for partition in (3, 1):
        session = session_in(partition)
        first = await log.append(session, "in", encoded_webhook(BODY, f"{session}-1"))
        second = await log.append(session, "in", encoded_webhook(BODY, f"{session}-2"))
        assert [first.seq, second.seq] == [position_of(partition, seq) for seq in (1, 2)]
        record = await lookup.record_at(second.seq)
        assert record is not None
        assert (record.seq, record.session_id) == (second.seq, session)
        since = await lookup.stored_after(first.seq)
        assert since is not None
        assert abs(since - record.stored_at) <= timedelta(microseconds=1)  # the one is rounded
        assert await lookup.stored_after(second.seq) is None
        worker = await client.jetstream().pull_subscribe_bind(
            WORKER, stream=stream_of(partition, COUNT)
        )
        delivered = [delivery_of(message) for message in await fetched(worker, 2)]
        assert [each.seq for each in delivered] == [first.seq, second.seq]
    ends = [position_of(partition, 2 * (partition in (1, 3))) for partition in range(COUNT)]
    assert await lookup.last_positions() == ends
    assert await lookup.record_at(position_of(COUNT, 1)) is None


async def test_what_a_moved_record_refers_to_is_in_its_partition(
    server: NatsServer, client: Client
) -> None:
    await provision(client, [server.monitor_url], partitions=COUNT)
    log, session = JetStreamLog(client), session_in(2)
    arrived = await log.append(session, "in", encoded_webhook(BODY, session))
    decided = Decided(
        cause_seq=seq_of(arrived.seq),
        cause_id="e",
        flow="f",
        flow_version="1",
        worker="w",
        lease_s=3,
    )
    await log.append(session, "out", encode(decided, session), expected_seq=0)
    _, record = await log.read(session)
    assert isinstance(record.fact, Decided)
    assert record.fact.cause_seq == arrived.seq
    assert record.fact_id == f"decided:{session}:{arrived.seq}:w"


@pytest.mark.parametrize("is_moved", [True, False])
async def test_what_an_alarm_refers_to_is_in_the_partition_of_its_session(
    server: NatsServer, client: Client, is_moved: bool
) -> None:
    await provision(client, [server.monitor_url], partitions=COUNT)
    session, now = session_in(3), datetime.now(UTC)
    decided_seq = 7 if is_moved else position_of(3, 7)
    await JetStreamTimetable(client).set(
        session, "t", due_at=now - timedelta(seconds=1), decided_seq=decided_seq
    )
    alarms = await client.jetstream().pull_subscribe_bind(WORKER_TIMERS, stream=TIMERS)
    [rang] = await fetched(alarms, 1)
    alarm = alarm_from(rang, COUNT)
    assert alarm is not None
    assert alarm.decided_seq == position_of(3, 7)
    assert partition_of(alarm.decided_seq) == partition_for(session, COUNT)


@pytest.mark.parametrize("partitions", [1, 2, 3, 64])
def test_every_slot_is_a_subject_of_one_stream(partitions: int) -> None:
    configs = [config for config, _ in wanted_streams(3, partitions)][:-1]
    assert [partition_in(config.name or "") for config in configs] == list(range(partitions))
    subjects = [subject for config in configs for subject in config.subjects or ()]
    if partitions == 1:
        assert subjects == ["calls.>"]
    else:
        assert sorted(subjects) == sorted(f"calls.{slot}.>" for slot in range(64))
