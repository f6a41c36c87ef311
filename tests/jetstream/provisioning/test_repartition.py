"""A log of one stream is moved to several partitions: nothing lost, consumers where they were."""

import asyncio
import dataclasses
import itertools
import uuid
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import ConsumerInfo

from offhook.cli.embedded.nats_server import NatsServer
from offhook.codec.facts import Encoded, encode, encoded_webhook
from offhook.codec.webhooks import wire_body
from offhook.errors import LogReplaced, LogUnsafe, SettingInvalid
from offhook.events import CallAnswered, Decided, Record, SessionParked, TimerOrder, TimerSet
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.consuming.delivery import delivery_of
from offhook.jetstream.log import JetStreamLog
from offhook.jetstream.partitions import partitions_of
from offhook.jetstream.provisioning.provision import created_at, provision, require_provisioned
from offhook.jetstream.provisioning.repartition import StoredSequences, repartition
from offhook.jetstream.stream import (
    SNAPSHOTS,
    TIMERS,
    WORKER,
    WORKER_TIMERS,
    stream_of,
    streams_of,
    wanted_streams,
)
from offhook.jetstream.subjects import partition_for
from offhook.jetstream.timetable import JetStreamTimetable, alarm_from
from offhook.position import partition_of, position_of, seq_of
from offhook.session import fold
from tests.jetstream.fetched import fetched
from tests.jetstream.provisioning.interrupted import Killed, Killing, through_elections
from tests.nats_cluster import NatsCluster

COUNT = 4
SESSIONS = 12
PATIENCE_S = 60.0


def webhook(event_id: str) -> Encoded:
    return encoded_webhook(
        wire_body(CallAnswered(event_id=event_id, call_control_id="v3:a")), event_id
    )


class OldLog:
    """A log of one stream as Offhook made it before there were partitions, with what is in it.

    Of each session one record is decided on, with a timer, and one is not.
    """

    def __init__(self, client: Client, monitor_urls: list[str], replicas: int = 1) -> None:
        self.client = client
        self._monitor_urls = monitor_urls
        self._replicas = replicas
        self.sessions = [str(uuid.uuid4()) for _ in range(SESSIONS)]
        self.records: dict[str, list[Record]] = {}
        self.emptied = 0
        self.stored: StoredSequences | None = None

    async def make(self) -> None:
        js = self.client.jetstream(timeout=PATIENCE_S)
        for wanted, consumers in wanted_streams(self._replicas, 1):
            assert wanted.name is not None
            stream = wanted.evolve(metadata={"offhook": "1"})
            await through_elections(partial(js.add_stream, stream))
            for config in consumers:
                await through_elections(partial(js.add_consumer, wanted.name, config))
        log, timetable = JetStreamLog(self.client), JetStreamTimetable(self.client)
        append = partial(log.append, timeout_s=PATIENCE_S)
        now = datetime.now(UTC)
        for session in self.sessions:
            arrived = await append(session, "in", webhook(f"{session}-1"))
            decided = Decided(
                cause_seq=arrived.seq,
                cause_id=f"{session}-1",
                flow="f",
                flow_version="1",
                worker="w",
                lease_s=3,
                timers=(TimerOrder(timer_id=f"{arrived.seq}-0", name="t", after_s=60),),
            )
            decision = await append(session, "out", encode(decided, session), expected_seq=0)
            due_at = now if session == self.sessions[0] else now + timedelta(hours=1)
            timer_id = f"{arrived.seq}-0"
            alarm = partial(timetable.set, due_at=due_at, decided_seq=decision.seq)
            await through_elections(partial(alarm, session, timer_id))
            timer = TimerSet(timer_id=timer_id, name="t", due_at=due_at)
            await append(session, "out", encode(timer, session), expected_seq=decision.seq)
            await append(session, "in", webhook(f"{session}-2"))
        parked = SessionParked(cause_seq=4, error="e", attempts=5)
        await append(self.sessions[0], "out", encode(parked, self.sessions[0]))
        # The first sessions are settled; a record in between and the last one were erased.
        worker = await js.pull_subscribe_bind(WORKER, stream="CALLS")
        for message in await fetched(worker, SESSIONS):
            await message.ack_sync(PATIENCE_S)
        await js.delete_msg("CALLS", 6)
        await js.delete_msg("CALLS", SESSIONS * 4)
        async with asyncio.timeout(PATIENCE_S):  # a replica erases them a little later
            while sum(map(len, self.records.values())) != SESSIONS * 4 + 1 - 2:
                for session in self.sessions:
                    self.records[session] = list(await log.read(session))
        self.created_at = created_at(await through_elections(lambda: js.stream_info("CALLS")))

    async def move(self, partitions: int = COUNT) -> bool:
        async def check_views(stored: StoredSequences) -> None:
            self.stored = stored

        async def empty_views() -> None:
            self.emptied += 1

        return await repartition(
            self.client,
            self._monitor_urls,
            self._replicas,
            partitions,
            check_views=check_views,
            empty_views=empty_views,
        )

    async def require_moved(self) -> None:
        js = self.client.jetstream(timeout=PATIENCE_S)
        names = {info.config.name for info in await through_elections(js.streams_info)}
        assert names - {SNAPSHOTS} == {*streams_of(COUNT), TIMERS}
        assert self.emptied >= 1
        setup = self.client, self._monitor_urls
        assert await through_elections(lambda: provision(*setup, self._replicas)) == COUNT
        assert await through_elections(lambda: require_provisioned(*setup, WORKER)) == COUNT
        log = JetStreamLog(self.client)
        undecided = 0
        for session, before in self.records.items():
            partition = partition_for(session, COUNT)
            after = await log.read(session)
            assert [each.seq for each in after] == [position_of(partition, r.seq) for r in before]
            assert [each.stored_at for each in after] == [each.stored_at for each in before]
            was, state = fold(session, before), fold(session, after)
            moved = {position_of(partition, seq) for seq in was.undecided}
            undecided += len(moved)
            assert set(state.undecided) == moved, "a decision does not fit its record"
            assert state.timer_states.keys() == was.timer_states.keys()
            assert state.is_parked == was.is_parked
        assert undecided == SESSIONS  # of one both, of one none: their records were erased
        await self._require_consumers()
        await self._require_alarm()
        for name in streams_of(COUNT):
            info = await through_elections(partial(js.stream_info, name))
            assert created_at(info) == self.created_at

    async def _require_consumers(self) -> None:
        """What was not acknowledged comes, and what comes new; nothing else does.

        The new ones are the last, so one too many would leave one of them out.
        """
        js = self.client.jetstream(timeout=PATIENCE_S)
        log = JetStreamLog(self.client)
        settled = {seq_of(each.seq) for each in self._arrived()[:SESSIONS]}
        waiting = {each.seq for each in self._arrived() if seq_of(each.seq) not in settled}
        wanted = {
            position_of(partition_for(each.session_id, COUNT), seq_of(each.seq))
            for each in self._arrived()
            if each.seq in waiting
        }
        for session in self.sessions:
            fact = webhook(f"{session}-new")
            new = await log.append(session, "in", fact, timeout_s=PATIENCE_S)
            assert seq_of(new.seq) > SESSIONS * 4
            wanted.add(new.seq)
        came: set[int] = set()
        for partition in range(COUNT):
            worker = await js.pull_subscribe_bind(WORKER, stream=stream_of(partition, COUNT))
            here = {each for each in wanted if partition_of(each) == partition}
            came |= {delivery_of(each).seq for each in await fetched(worker, len(here))}
        assert came == wanted

    def _arrived(self) -> list[Record]:
        every = (record for each in self.records.values() for record in each)
        return sorted((each for each in every if each.side == "in"), key=lambda each: each.seq)

    async def _require_alarm(self) -> None:
        """Of the one that rang: it names its decision, in the new position."""
        alarms = await self.client.jetstream().pull_subscribe_bind(WORKER_TIMERS, stream=TIMERS)
        [message] = await fetched(alarms, 1)
        alarm = alarm_from(message, COUNT)
        assert alarm is not None
        assert alarm.session_id == self.sessions[0]
        assert alarm.decided_seq == position_of(partition_for(self.sessions[0], COUNT), 2)


async def test_a_log_is_moved_with_its_consumers_and_alarms(tmp_path: Path) -> None:
    with NatsServer(tmp_path) as server:
        client = await connect(server.url, "provision")
        old = OldLog(client, [server.monitor_url])
        await old.make()
        assert await old.move()
        assert old.stored is not None
        assert (old.stored.first, list(old.stored.deleted)) == (1, [6, SESSIONS * 4])
        await old.require_moved()
        assert not await old.move()
        await close(client)


async def test_a_log_of_replicas_is_moved(tmp_path: Path) -> None:
    with NatsCluster(tmp_path) as cluster:
        client = await connect(cluster.url, "provision")
        old = OldLog(client, cluster.monitor_urls, 3)
        await old.make()
        await through_elections(old.move)
        await old.require_moved()
        await close(client)


@pytest.mark.parametrize("first", [1, 2, 3])
async def test_a_move_continues_wherever_it_was_killed(tmp_path: Path, first: int) -> None:
    """Killed after so many changes, then after one more, and so on until one reaches the end."""
    with NatsServer(tmp_path) as server:
        client = await connect(server.url, "provision")
        old = OldLog(client, [server.monitor_url])
        await old.make()
        kills = 0
        for changes in itertools.count(first):
            with pytest.MonkeyPatch.context() as patched:
                Killing(patched, changes)
                try:
                    await old.move()
                except Killed:
                    kills += 1
                else:
                    break
            names = {info.config.name for info in await client.jetstream().streams_info()}
            if names >= {"CALLS", "CALLS_0"}:
                with pytest.raises(LogUnsafe, match="--repartition"):
                    await partitions_of(client)
        await old.require_moved()
        await close(client)
    assert kills >= 3


async def test_nothing_is_moved_that_would_be_lost(tmp_path: Path) -> None:
    with NatsServer(tmp_path) as server:
        client = await connect(server.url, "provision")
        old = OldLog(client, [server.monitor_url])
        await old.make()

        async def refuse(stored: StoredSequences) -> None:
            raise LogReplaced("the views have more")

        async def never() -> None:
            raise AssertionError

        urls = [server.monitor_url]
        with pytest.raises(LogReplaced):
            await repartition(client, urls, 1, COUNT, check_views=refuse, empty_views=never)
        with pytest.raises(SettingInvalid, match="OFFHOOK_PARTITIONS is 1, and the log has 1"):
            await old.move(1)
        worker = await connect(server.url, "worker")
        with pytest.raises(LogUnsafe, match="offhook-worker still connected"):
            await old.move()
        await close(worker)
        await client.jetstream().publish("calls.64.s.in", b"")
        with pytest.raises(LogUnsafe, match="1 records of CALLS are of no slot from 0 to 63"):
            await old.move()
        assert await partitions_of(client) == 1
        await close(client)


@pytest.mark.parametrize("wrong_by", [-1, 1])
async def test_a_node_that_has_not_all_the_leader_has_counts_no_record_that_would_be_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong_by: int
) -> None:
    """It has not stored the last record yet, or not erased one."""
    wrong = [wrong_by]
    create = JetStreamContext.add_consumer

    async def add_consumer(js: JetStreamContext, *args: Any, **options: Any) -> ConsumerInfo:
        made = await create(js, *args, **options)
        if not made.config.durable_name and wrong:
            assert made.num_pending is not None
            made = dataclasses.replace(made, num_pending=made.num_pending + wrong.pop())
        return made

    with NatsServer(tmp_path) as server:
        client = await connect(server.url, "provision")
        old = OldLog(client, [server.monitor_url])
        await old.make()
        monkeypatch.setattr(JetStreamContext, "add_consumer", add_consumer)
        assert await old.move()
        assert not wrong
        await old.require_moved()
        await close(client)


async def test_a_move_ends_with_as_many_partitions_as_it_began_with(tmp_path: Path) -> None:
    with NatsServer(tmp_path) as server:
        client = await connect(server.url, "provision")
        old = OldLog(client, [server.monitor_url])
        await old.make()
        with pytest.MonkeyPatch.context() as patched:
            Killing(patched, 4)
            with pytest.raises(Killed):
                await old.move()
        with pytest.raises(SettingInvalid, match="is being moved to 4 partitions, not to 8"):
            await old.move(8)
        await old.move()
        await old.require_moved()
        await close(client)
