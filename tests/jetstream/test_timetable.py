"""One suite for the timetable: the stand-in and JetStream's scheduled messages ring alike."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

import pytest
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig

from offhook.cli.embedded.nats_server import NatsServer
from offhook.errors import LogMissing
from offhook.jetstream.client.connection import close, connect
from offhook.jetstream.provisioning.provision import provision, require_provisioned
from offhook.jetstream.stream import TIMERS, WORKER, WORKER_TIMERS
from offhook.jetstream.subjects import fired_subject
from offhook.jetstream.timetable import Alarm, JetStreamTimetable, Timetable, alarm_from
from tests.memory_log import MemoryLog
from tests.memory_timetable import MemoryTimetable

TIMEOUT_S = 60.0


class Hall(Protocol):
    """Where alarms are heard; each has a session of its own."""

    session_id: str

    @property
    def timetable(self) -> Timetable: ...
    def now(self) -> datetime: ...
    async def rang(self) -> list[Alarm]:
        """All that rang by now."""
        ...

    async def heard(self, count: int) -> list[Alarm]:
        """All that rang, a while after so many did."""
        ...


@dataclass
class MemoryHall:
    session_id: str
    log: MemoryLog
    timetable: MemoryTimetable
    bells: list[Alarm] = field(default_factory=list)

    def now(self) -> datetime:
        return self.log.now

    async def rang(self) -> list[Alarm]:
        self.bells += self.timetable.rings()
        return self.bells

    async def heard(self, count: int) -> list[Alarm]:
        self.log.now += timedelta(hours=1)
        return await self.rang()


@dataclass
class JetStreamHall:
    session_id: str
    client: Client
    timetable: JetStreamTimetable

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def heard(self, count: int) -> list[Alarm]:
        async with asyncio.timeout(TIMEOUT_S):
            while len(await self.rang()) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        # One too many would come within the server's granularity.
        await asyncio.sleep(0.5)
        return await self.rang()

    async def rang(self) -> list[Alarm]:
        js = self.client.jetstream()
        config = ConsumerConfig(
            filter_subject=fired_subject(self.session_id), ack_policy=AckPolicy.EXPLICIT
        )
        consumer = await js.add_consumer(TIMERS, config)
        pull = await js.pull_subscribe_bind(consumer.name, TIMERS)
        found: list[Alarm] = []
        while consumer.num_pending is not None and len(found) < consumer.num_pending:
            for message in await pull.fetch(10, TIMEOUT_S):
                alarm = alarm_from(message, 1)
                assert alarm is not None
                found.append(alarm)
        return found


@pytest.fixture(params=["memory", "jetstream"])
async def hall(request: pytest.FixtureRequest, nats_server: NatsServer) -> AsyncIterator[Hall]:
    session_id = str(uuid.uuid4())
    if request.param == "memory":
        log = MemoryLog()
        yield MemoryHall(session_id, log, MemoryTimetable(log))
        return
    client = await connect(nats_server.url, "test")
    await provision(client, [nats_server.monitor_url])
    yield JetStreamHall(session_id, client, JetStreamTimetable(client))
    await close(client)


async def test_an_alarm_rings_once_and_not_before_its_time(hall: Hall) -> None:
    due_at = hall.now() + timedelta(seconds=2)
    await hall.timetable.set(hall.session_id, "7-0", due_at=due_at, decided_seq=8)
    early = await hall.rang()
    assert early == [] or hall.now() > due_at
    (alarm,) = await hall.heard(1)
    assert (alarm.session_id, alarm.timer_id, alarm.decided_seq) == (hall.session_id, "7-0", 8)
    assert alarm.rang_at >= due_at


async def test_an_alarm_for_a_time_that_has_passed_rings_at_once(hall: Hall) -> None:
    due_at = hall.now() - timedelta(hours=1)
    await hall.timetable.set(hall.session_id, "7-0", due_at=due_at, decided_seq=8)
    (alarm,) = await hall.heard(1)
    assert alarm.rang_at > due_at


async def test_setting_the_same_alarm_again_changes_nothing(hall: Hall) -> None:
    due_at = hall.now() + timedelta(seconds=1)
    for _ in range(3):
        await hall.timetable.set(hall.session_id, "7-0", due_at=due_at, decided_seq=8)
    was_in_time = hall.now() < due_at
    rang = await hall.heard(1)
    assert len(rang) == 1 or not was_in_time  # set once more after it rang, it rings once more


async def test_alarms_of_one_session_ring_each_for_itself(hall: Hall) -> None:
    for number in range(3):
        due_at = hall.now() + timedelta(seconds=0.3 - number / 10)
        await hall.timetable.set(hall.session_id, f"7-{number}", due_at=due_at, decided_seq=8)
    # In no promised order: the server looks at those that are due a few times a second.
    rang = await hall.heard(3)
    assert sorted(alarm.timer_id for alarm in rang) == ["7-0", "7-1", "7-2"]


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_an_alarm_outlives_the_server(how: str) -> None:
    with NatsServer() as server:
        before = await connect(server.url, "test")
        await provision(before, [server.monitor_url])
        timetable = JetStreamTimetable(before)
        for number, seconds in enumerate((1.0, 3.0)):
            due_at = datetime.now(UTC) + timedelta(seconds=seconds)
            await timetable.set("s", f"7-{number}", due_at=due_at, decided_seq=8)
        await before.close()
        await asyncio.to_thread(getattr(server, how))
        await asyncio.sleep(1.2)
        await asyncio.to_thread(server.start)
        client = await connect(server.url, "test")
        rang = await JetStreamHall("s", client, JetStreamTimetable(client)).heard(2)
        assert sorted(alarm.timer_id for alarm in rang) == ["7-0", "7-1"]
        await close(client)


async def test_a_worker_wants_the_timers_provisioned_too() -> None:
    with NatsServer() as server:
        client = await connect(server.url, "test")
        await provision(client, [server.monitor_url])
        await provision(client, [server.monitor_url])
        await require_provisioned(client, [server.monitor_url], WORKER)
        await client.jetstream().delete_consumer(TIMERS, WORKER_TIMERS)
        with pytest.raises(LogMissing, match="stream TIMERS with consumer worker-timers"):
            await require_provisioned(client, [server.monitor_url], WORKER)
        await client.jetstream().delete_stream(TIMERS)
        with pytest.raises(LogMissing, match="stream TIMERS"):
            await require_provisioned(client, [server.monitor_url], WORKER)
        await close(client)
